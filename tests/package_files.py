"""The small checkpoints in ``tests/data``, and what these packages computed for them."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from mlip_lammps.compilation import compiled_model
from mlip_lammps.engines.lammps.cases import Case, run_cases
from mlip_lammps.families import family_of, read_model, select_head
from mlip_lammps.families.gated import GatedModel
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.families.reference import ReferenceModel
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree, assert_virials_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

SILENCE = 240
FOLDER = Path(__file__).parent / "data"
SEVENNET = {
    "linear_xplor": None,
    "parity_bias": None,
    "version_0_9": None,
    "modals.PBE": "PBE",
    "modals.SCAN": "SCAN",
}
"""Models of SevenNet, one for each modal."""
NEQUIP = ("averages", "two_orders", "in_float64", "repulsion", "tuned")
"""Checkpoints of NequIP."""
NEQUIP_OLD = ("checkpoint_0_9",)
"""Checkpoints of NequIP 0.9, which newer versions of it do not read."""
NEQUIP_PACKAGES = ("packaged", "package_0_9")
"""Files of ``nequip-package``, without the sources in them."""


@dataclass(frozen=True)
class StoredModels:
    """Trained files of one package in a folder of ``tests/data``, and what the package computed for them.

    Attributes
    ----------
    folder
        Folder in ``tests/data``.
    ending
        Ending of the trained files; empty for folders.
    """

    folder: str
    ending: str = ""

    def file_of(self, name: str) -> Path:
        return FOLDER / self.folder / f"{name}{self.ending}"

    def reference_of(self, name: str) -> ReferenceModel:
        model = read_model(self.file_of(name))
        return family_of(model).reference(model)

    def layers_of(self, name: str, n_elements: int | None = None) -> LayeredModel:
        model = read_model(self.file_of(name))
        return family_of(model).layers(model, model.atomic_numbers[:n_elements])

    def results_of(self, name: str) -> list[tuple[Atoms, dict[str, np.ndarray]]]:
        return stored_results(FOLDER / self.folder / f"{name}.npz")


def file_of(case: str) -> Path:
    name = case.partition(".")[0]
    if name in NEQUIP_PACKAGES:
        return FOLDER / "nequip" / f"{name}.nequip.zip"
    return FOLDER / "nequip" / f"{name}.ckpt" if name in (*NEQUIP, *NEQUIP_OLD) else FOLDER / "sevennet" / f"{name}.pth"


def head_of(case: str) -> str | None:
    return SEVENNET.get(case)


def trained(case: str) -> GatedModel:
    return select_head(read_model(file_of(case)), head_of(case))


def results_of_package(case: str, folder: Path | None = None) -> list[tuple[Atoms, dict[str, np.ndarray]]]:
    """Return the structures and the energies, forces and stresses that the package computed for them."""
    path = file_of(case).with_suffix(".npz")
    return stored_results(path if folder is None else folder / path.name, head_of(case) or "")


def reading_imports_torch(path: Path) -> bool:
    """Return whether torch is imported where a model is read, which would cost commands such as ``info`` seconds."""
    code = (
        "import sys; from mlip_lammps.families import read_model;"
        f"read_model({str(path)!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip() != "False"


def stored_results(path: Path, head: str = "") -> list[tuple[Atoms, dict[str, np.ndarray]]]:
    """Return the structures and results in a file, see ``results_of_package``."""
    with np.load(path) as stored:
        found = []
        n_structures = sum(key.startswith(f"{head}.") and key.endswith(".positions") for key in stored.files)
        for number in range(n_structures):
            start = f"{head}.{number}."
            parts = {key.removeprefix(start): stored[key] for key in stored.files if key.startswith(start)}
            atoms = Atoms(parts["numbers"], positions=parts["positions"], cell=parts["cell"], pbc=parts["pbc"])
            found.append((atoms, parts))
    return found


def assert_equals_package(found: Evaluation, atoms: Atoms, expected: dict[str, np.ndarray]) -> None:
    """Compare an evaluation with what the package computed."""
    assert np.abs(expected["forces"]).max() > 1e-2
    limit = tolerances.PACKAGE_FORCE * max(1.0, np.abs(expected["forces"]).max())
    assert_energies_agree(found.energy, expected["energy"], len(atoms), tolerances.PACKAGE_ENERGY_PER_ATOM)
    assert_forces_agree(found.forces, expected["forces"], limit)
    if "stress" in expected:
        assert_virials_agree(found.stress, expected["stress"], tolerances.REFERENCE_STRESS, "eV/angstrom^3")


def assert_lammps_equals_the_reference(case: str, n_ranks: int) -> None:
    """Compare LAMMPS on some ranks with the reference, for a crystal and for a molecule across the faces of the box."""
    model, path = trained(case), compiled_model(file_of(case), dtype="float64", head=head_of(case))
    symbols = read_metadata(path)["elements"]
    structures = {
        "triclinic": rattled_triclinic(symbols, repeat=(3, 3, 4), seed=2),
        "molecule in a corner": isolated_molecule(symbols),
    }
    assert_lammps_equals(family_of(model).reference(model), structures, path, n_ranks)


def assert_lammps_equals(
    reference: ReferenceModel, structures: Mapping[str, Atoms], path: Path, n_ranks: int, is_relative: bool = True
) -> None:
    """Compare a compiled file in LAMMPS with the reference; limits may be relative to the largest force."""
    cases = [Case(name, atoms) for name, atoms in structures.items()]
    found = run_cases(cases, path, n_ranks, silence_seconds=SILENCE)
    assert found.faults == {}
    for name, atoms in structures.items():
        expected, results = reference.evaluate(atoms), found.results[name].evaluation
        scale = max(1.0, np.abs(expected.forces).max()) if is_relative else 1.0
        assert_energies_agree(results.energy, expected.energy, len(atoms), tolerances.LAMMPS_ENERGY_PER_ATOM)
        assert_forces_agree(results.forces, expected.forces, scale * tolerances.LAMMPS_FORCE)
        if results.virial is None:  # no cell
            continue
        virials = results.virial / len(atoms), expected.virial / len(atoms)
        assert_virials_agree(*virials, scale * tolerances.LAMMPS_VIRIAL_PER_ATOM)
