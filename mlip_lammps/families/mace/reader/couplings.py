"""The couplings that e3nn compiled into the convolutions of a file.

e3nn rounds them to the precision in which a model is made, and a conversion of the model (``model.double()``) keeps the
rounded values.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.families.checkpoints.archive import script_buffers
from mlip_lammps.families.checkpoints.pickle_reader import Record
from mlip_lammps.families.mace.reader.module import Module

_PREFIX = "_w3j_"


def stored_couplings(convolution: Module) -> dict[tuple[int, ...], NDArray[np.generic]]:
    """Return the couplings of the e3nn tensor product ``conv_tp`` by their three orders.

    Those with scalars have none, and neither has a convolution that was converted for another library.
    """
    code = convolution.attribute("__codegen__", None)
    found = {}
    for archive in code.values() if isinstance(code, dict) else ():
        if isinstance(archive, Record) and archive.name == "_codecs.encode" and archive.args:
            archive = archive.args[0].encode("latin1", "replace") if isinstance(archive.args[0], str) else b""
        if isinstance(archive, bytes):
            found |= script_buffers(archive, _PREFIX, convolution.source)
    orders = {name: name.removeprefix(_PREFIX).split("_") for name in found}
    return {tuple(map(int, orders[name])): found[name] for name in found if all(map(str.isdecimal, orders[name]))}


def trained_precision(stored: str, couplings: Mapping[str, NDArray[np.generic]]) -> str:
    """Return ``float32`` for a model that was made in this precision, and else the precision in the file."""
    arrays = couplings.values()
    is_rounded = bool(arrays) and all(np.array_equal(array, array.astype(np.float32)) for array in arrays)
    return "float32" if is_rounded else stored
