"""The small SevenNet checkpoints of ``tests/data/sevennet`` and what SevenNet computed for them."""

from pathlib import Path

import numpy as np
from ase import Atoms

from mlip_lammps.families import read_model, select_head
from mlip_lammps.families.gated import GatedModel

FOLDER = Path(__file__).parent / "data" / "sevennet"
CASES = {
    "linear_xplor": None,
    "parity_bias": None,
    "version_0_9": None,
    "modals.PBE": "PBE",
    "modals.SCAN": "SCAN",
}
"""Models, one for each modal."""


def file_of(case: str) -> Path:
    return FOLDER / f"{case.partition('.')[0]}.pth"


def trained(case: str) -> GatedModel:
    return select_head(read_model(file_of(case)), CASES[case])


def results_of_sevennet(case: str, folder: Path = FOLDER) -> list[tuple[Atoms, dict[str, np.ndarray]]]:
    """Return the structures and the energies, forces and stresses that SevenNet computed for them."""
    with np.load(folder / file_of(case).with_suffix(".npz").name) as stored:
        found = []
        for number in range(2):
            start = f"{CASES[case] or ''}.{number}."
            parts = {key.removeprefix(start): stored[key] for key in stored.files if key.startswith(start)}
            atoms = Atoms(parts["numbers"], positions=parts["positions"], cell=parts["cell"], pbc=parts["pbc"])
            found.append((atoms, parts))
    return found
