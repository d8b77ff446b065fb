"""A model of DeePMD-kit and a model of this package in one LAMMPS process: all results are the sums of both."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from lammps_deck import ATOM_STRESS, ORDER, assert_results_agree, pair_coeff, read_results
from lammps_run import run_command
from lammps_structures import Expected, write_data
from numpy.typing import NDArray

from mlip_lammps.engines.lammps.session import BAR_PER_EV_PER_CUBIC_ANGSTROM
from mlip_lammps.families.mace import write_portable
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.random_models import random_model
from mlip_lammps.testing.structures import rattled_triclinic

SCRIPT = Path(__file__).with_name("deepmd_models.py")
TIME_LIMIT_S = 600
OURS, DEEPMD = "mlip/torch", "deepmd graph.pth"
OURS_COEFF, DEEPMD_COEFF = "m.pt2 Si", "Si"
# DeePMD-kit refuses compute stress/atom
DECK = f"""
compute e all pe/atom
compute v all centroid/stress/atom NULL
compute p all pressure NULL virial
thermo_style custom step pe vol {" ".join(f"c_p[{ATOM_STRESS[name]}]" for name in ORDER)}
thermo_modify format float %.16g
run 0
write_dump all custom dump.out id type fx fy fz c_e {" ".join(f"c_v[{k}]" for k in range(1, 10))} &
    modify format float %.16g
"""


@dataclass(frozen=True)
class Results:
    """Results of LAMMPS, and the virials of atoms in eV, shape (n_atoms, 9)."""

    whole: Expected
    atom_virials: NDArray[np.float64]

    def __add__(self, other: "Results") -> "Results":
        names = ("energy", "forces", "node_energies", "virial")
        whole = Expected(*(getattr(self.whole, name) + getattr(other.whole, name) for name in names))
        return Results(whole, self.atom_virials + other.atom_virials)

    def assert_equal(self, expected: "Results") -> None:
        assert_results_agree(self.whole, expected.whole)
        np.testing.assert_allclose(
            self.atom_virials, expected.atom_virials, rtol=0, atol=tolerances.LAMMPS_VIRIAL_PER_ATOM
        )


@pytest.fixture(scope="module")
def programs() -> Path:
    """Return the folder of the programs of an environment with this package and DeePMD-kit; skip without one."""
    default = Path(__file__).resolve().parents[2] / ".venv-deepmd" / "bin" / "python"
    interpreter = Path(os.environ.get("MLIP_LAMMPS_DEEPMD_PYTHON", default))
    if not interpreter.exists():
        pytest.skip(
            f"no interpreter with this package and DeePMD-kit at {interpreter}; make one as docs/lammps.md says and "
            "name it in MLIP_LAMMPS_DEEPMD_PYTHON"
        )
    return interpreter.absolute().parent


@pytest.fixture(scope="module")
def run(programs, tmp_path_factory):
    """Return a function (number of ranks, pair style, coefficients...) -> Results, in a folder with both models."""
    folder = tmp_path_factory.mktemp("deepmd")
    changes = {"PYTHONPATH": "", "DP_INTRA_OP_PARALLELISM_THREADS": "1", "DP_INTER_OP_PARALLELISM_THREADS": "1"}
    options = {"changes": changes, "time_limit": TIME_LIMIT_S}
    atoms = rattled_triclinic(("Si",), repeat=(4, 4, 4), seed=2)
    atoms.set_cell(1.1 * atoms.cell[:], scale_atoms=True)
    write_data(folder / "box.data", atoms, ("Si",))
    shape = dict(hidden_irreps="6x0e+6x1o", l_max=2, correlation=(3, 2), n_layers=2, cutoff=3.5)
    write_portable(random_model(seed=0, elements=("Si",), **shape), folder / "m.safetensors")
    run_command([programs / "python", SCRIPT, folder], folder, **options)
    export = ["export", "m.safetensors", "-o", "m.pt2", "--dtype", "float64"]
    run_command([programs / "mlip-lammps", *export], folder, **options)

    def run_styles(n_ranks: int, style: str, *coeff: str) -> Results:
        text = f"units metal\nread_data box.data\npair_style {style}\n{pair_coeff(*coeff)}\n{DECK}"
        (folder / "in.test").write_text(text)
        lammps = [programs / "lmp", "-nonbuf", "-nocite", "-log", "none", "-in", "in.test"]
        done = run_command([programs / "mpiexec", "-n", n_ranks, *lammps], folder, **options)
        virials = done.dump("dump.out")[:, 6:] / BAR_PER_EV_PER_CUBIC_ANGSTROM
        return Results(read_results(done), virials)

    return run_styles


@pytest.fixture(scope="module")
def parts(run) -> list[Results]:
    return [run(1, OURS, OURS_COEFF), run(1, DEEPMD, DEEPMD_COEFF)]


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_a_model_and_a_model_of_deepmd_add_up(n_ranks, run, parts):
    assert min(np.abs(part.whole.forces).max() for part in parts) > 1e-2, "a part that adds nothing"
    coeff = (f"mlip/torch {OURS_COEFF}", f"deepmd {DEEPMD_COEFF}")
    both = run(n_ranks, f"hybrid/overlay {OURS} {DEEPMD}", *coeff)
    both.assert_equal(parts[0] + parts[1])
