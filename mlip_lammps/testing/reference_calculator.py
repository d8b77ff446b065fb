"""The reference model as an ASE calculator: slow, but without compilation."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mlip_lammps.families import read_model
from mlip_lammps.families.mace import MaceReference


class ReferenceCalculator(Calculator):
    """ASE calculator for energies, forces and stress of the reference in float64.

    Parameters
    ----------
    model
        mace-torch or portable file, or the name of a shipped model.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, model: Path | str):
        super().__init__()
        self.model = MaceReference(read_model(model))

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        found = self.model.evaluate(self.atoms)
        self.results = {"energy": found.energy, "free_energy": found.energy, "forces": found.forces}
        if found.stress is not None:
            self.results["stress"] = found.stress
