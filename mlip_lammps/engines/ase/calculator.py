"""An ASE calculator that runs a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from mlip_lammps.compilation import runnable_model
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph


class MlipCalculator(Calculator):
    """Energies, forces and stress of a MACE model.

    Parameters
    ----------
    model
        A ``.pt2`` file of ``mlip-lammps export``, the name of a shipped model, a trained or portable file, or an open
        ``CompiledModel``. What is not compiled is compiled in the default precision the first time, and kept.
    n_threads
        Threads of one evaluation on a CPU; as many as torch has if 0.
    device
        ``cpu`` or ``cuda``: of what has to be compiled, for a CPU if None. A compiled file has its own, which must be
        this one.

    Raises
    ------
    ModelFileError
        If the file is missing, is no model, or was compiled for another machine or torch.
    UserInputError
        If a compiled file is for another device; on evaluation, if the model does not know an element.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, model: CompiledModel | Path | str, n_threads: int = 0, device: str | None = None):
        super().__init__()
        is_open = isinstance(model, CompiledModel)
        self.model = model if is_open else CompiledModel(runnable_model(model, device), n_threads)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        has_volume = self.atoms.pbc.any() and self.atoms.cell.rank == 3
        if "stress" in properties and not has_volume:
            raise PropertyNotImplementedError("no stress without a periodic cell; set cell and pbc")
        graph = build_graph(self.atoms, self.model.cutoff)
        found = self.model.evaluate(graph)
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "energies": found.node_energies,
            "forces": found.forces,
        }
        if has_volume:
            self.results["stress"] = found.stress
