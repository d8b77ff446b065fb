"""Arrays of a NequIP model by their names in it, with averaged weights in place of the last ones.

This module does not import torch.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import TensorArchive

_EMBEDDING = ".type_embed.embed_module.weight"
_AVERAGE = "ema.ema_weight_"


class Arrays:
    """Arrays of the one model in a state dict.

    Parameters
    ----------
    states
        Records of all arrays by their names in the file.

    Raises
    ------
    UnsupportedModelError
        If there is not one model.
    """

    def __init__(self, states: Mapping[str, Any], archive: TensorArchive):
        self._archive, self._states = archive, states
        starts = [name.removesuffix(_EMBEDDING) for name in states if name.endswith(_EMBEDDING)]
        if len(starts) != 1:
            raise UnsupportedModelError(
                f"{archive.name} has {len(starts)} models of NequIP, and this package reads one; train one model"
            )
        prefix = f"{starts[0]}."
        self.records = {name.removeprefix(prefix): record for name, record in states.items() if name.startswith(prefix)}

    def take_averages(self, is_trained: Callable[[str, NDArray[np.generic]], bool]) -> None:
        """Take averaged weights if the file has them, as NequIP does for all but the training itself.

        Raises
        ------
        ModelFileError
            If they are not complete, or do not fit the model.
        """
        averages = [name for name in self._states if name.startswith(_AVERAGE)]
        if not averages:
            return
        source, extra = self._archive.name, self._states.get("ema._extra_state")
        if not isinstance(extra, dict) or extra.get("is_holding_ema_weights") is not True:
            raise ModelFileError(
                f"{source} was written during a validation and has its weights in another order; give another "
                "checkpoint of the training"
            )
        if not extra.get("num_updates"):
            raise ModelFileError(f"{source} has averaged weights of no training step; train the model")
        trained = [name for name in self.records if is_trained(name, self[name])]
        if len(averages) != len(trained):
            raise ModelFileError(
                f"{source} has {len(averages)} averaged weights, expected {len(trained)}; copy it again"
            )
        for number, name in enumerate(trained):
            average = self._states.get(f"{_AVERAGE}{number}")
            if average is None or self._archive.array(average, name).shape != self[name].shape:
                raise ModelFileError(f"the averaged weight {name} of {source} has another shape; copy it again")
            self.records[name] = average

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        if name not in self.records:
            raise ModelFileError(f"{self._archive.name} lacks the weight {name}; copy the file again")
        return self._archive.array(self.records[name], name)

    def __contains__(self, name: str) -> bool:
        return name in self.records
