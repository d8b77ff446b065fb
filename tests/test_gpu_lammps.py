"""GPU files in LAMMPS on the emulated device: results equal those of CPU files on any number of ranks."""

import re
from functools import cache

import numpy as np
import pytest
from lammps_deck import deck, pair_coeff
from lammps_run import Finished, error_line, run_lammps
from lammps_structures import parity_structures, write_data

from mlip_lammps.families.mace import MaceReference
from mlip_lammps.testing.emulated_gpu import write_emulated
from mlip_lammps.testing.random_models import DENSITY, DENSITY_RESIDUAL, random_model
from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = ("H", "O")
STRUCTURES = ("triclinic", "turned", "two_atoms", "molecule_in_a_corner", "open_slab", "one_atom")
FORCE = 1e-9
"""eV/angstrom: float64 sums in two different orders, with radial tables accurate to 1e-9."""
VIRIAL = "compute p all pressure NULL virial\n"
THERMO = VIRIAL + "thermo_style custom step pe c_p[1] c_p[2] c_p[3] c_p[4] c_p[5] c_p[6] {}\nthermo 1\n"
DIGITS = "thermo_modify format float %.16g\n"
DUMP = "write_dump all custom dump.out id type fx fy fz c_e modify format float %.16g\n"


@pytest.fixture(scope="module")
def densities(tmp_path_factory):
    """Return a model with densities and tables of pairs of elements, and its file for the emulated device."""
    trained = random_model(
        elements=ELEMENTS, hidden_irreps="6x0e+6x1o", l_max=2, cutoff=4.0, interaction=(DENSITY, DENSITY_RESIDUAL),
        distance_transform="Agnesi", pair_repulsion=True, seed=4,
    )  # fmt: skip
    return trained, write_emulated(trained, tmp_path_factory.mktemp("densities") / "model.pt2")


def run(
    folder, model, atoms, n_ranks=1, *, runs="run 0", extra="", columns="", style="mlip/torch", **options
) -> Finished:
    """Run a file without per-atom virials, so that the steps are resident on the GPU."""
    folder.mkdir(exist_ok=True)
    write_data(folder / "box.data", atoms, ELEMENTS)
    text = f"units metal\n{'' if atoms.pbc.all() else boundary(atoms)}read_data box.data\npair_style {style}\n"
    text += pair_coeff(f"{model} H O") + "\nneighbor 0.4 bin\ncompute e all pe/atom\n"
    text += f"{extra}\n{THERMO.format('c_sum ' + columns)}{DIGITS}{runs}\n{DUMP}"
    text = text.replace("compute p ", "compute sum all reduce sum c_e\ncompute p ")
    return run_lammps(text, n_ranks, folder, **options)


@pytest.fixture(scope="module")
def on_cpu(compile_once, tmp_path_factory):
    """Return a function (name of a structure) -> run of the CPU file on one rank."""

    @cache
    def run_once(name: str) -> Finished:
        return run(tmp_path_factory.mktemp(name), compile_once("two_layers"), parity_structures(ELEMENTS)[name])

    return run_once


def boundary(atoms) -> str:
    return f"boundary {' '.join('p' if periodic else 'm' for periodic in atoms.pbc)}\n"


def assert_same(found: Finished, expected: Finished) -> None:
    """Raise unless all thermo output, forces and atomic energies agree."""
    assert len(found.thermo) == len(expected.thermo) > 0
    for one, other in zip(found.thermo, expected.thermo, strict=True):
        for name in other:
            assert one[name] == pytest.approx(other[name], rel=1e-9, abs=1e-6 if name.startswith("c_p") else 1e-9), name
    np.testing.assert_allclose(found.dump("dump.out"), expected.dump("dump.out"), rtol=0, atol=FORCE)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_step_equals_that_of_a_cpu_file(name, n_ranks, compile_once, on_cpu, tmp_path):
    atoms = parity_structures(ELEMENTS)[name]
    assert_same(run(tmp_path / "gpu", compile_once("two_layers", device="emulated"), atoms, n_ranks), on_cpu(name))


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_densities_and_tables_of_pairs_give_the_forces_of_the_reference(n_ranks, densities, tmp_path):
    trained, model = densities
    atoms = rattled_triclinic(ELEMENTS, repeat=(2, 2, 2), seed=5)
    found, expected = run(tmp_path / "gpu", model, atoms, n_ranks), MaceReference(trained).evaluate(atoms)
    assert found.thermo[0]["PotEng"] == pytest.approx(expected.energy, rel=0, abs=1e-9 * len(atoms))
    np.testing.assert_allclose(found.dump("dump.out")[:, 2:5], expected.forces, rtol=0, atol=FORCE)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_dynamics_with_new_neighbour_lists_equal_those_of_a_cpu(n_ranks, compile_once, tmp_path):
    atoms = rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)
    given = dict(
        runs="velocity all create 2000 1\nfix move all nve\nrun 12", extra="neigh_modify delay 0\ntimestep 1e-3"
    )
    expected = run(tmp_path / "cpu", compile_once("two_layers"), atoms, **given)
    found = run(tmp_path / "gpu", compile_once("two_layers", device="emulated"), atoms, n_ranks, **given)
    assert "Neighbor list builds = 0" not in found.output
    assert_same(found, expected)


def test_steps_with_per_atom_virials_alternate_with_others(compile_once, tmp_path):
    atoms = rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)
    given = dict(
        extra="compute v all stress/atom NULL\ncompute v_sum all reduce sum c_v[1] c_v[4]\n"
        "fix other all ave/time 2 1 2 c_v_sum[1] c_v_sum[2] mode scalar",
        columns="f_other[1] f_other[2]",
        runs="thermo 2\nvelocity all create 300 1\nfix move all nve\nrun 6",
    )
    expected = run(tmp_path / "cpu", compile_once("two_layers"), atoms, **given)
    found = run(tmp_path / "gpu", compile_once("two_layers", device="emulated"), atoms, **given)
    for one, other in zip(found.thermo, expected.thermo, strict=True):
        for k in (1, 2):
            assert one[f"f_other[{k}]"] == pytest.approx(other[f"f_other[{k}]"], rel=1e-8)


def test_atoms_of_another_style_are_ignored(compile_once, tmp_path):
    atoms = rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)
    results = []
    for device in ("cpu", "emulated"):
        folder = tmp_path / device
        folder.mkdir()
        write_data(folder / "box.data", atoms, ELEMENTS)
        text = "units metal\nread_data box.data\npair_style hybrid/overlay mlip/torch zero 5.0\n"
        text += f"pair_coeff * * mlip/torch {compile_once('two_layers', device=device)} NULL O\npair_coeff * * zero\n"
        text += f"compute e all pe/atom\ncompute sum all reduce sum c_e\n{THERMO.format('c_sum')}{DIGITS}run 0\n{DUMP}"
        results.append(run_lammps(text, 2, folder))
    assert_same(*reversed(results))


def test_a_committee_of_two_files_runs_on_edges(compile_once, tmp_path):
    atoms = rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)
    results = []
    for device in ("cpu", "emulated"):
        files = [compile_once(name, device=device) for name in ("two_layers", "one_layer_of_two")]
        results.append(run(tmp_path / device, f"{files[0]} {files[1]} :", atoms))
    assert_same(*reversed(results))


def test_atoms_that_are_too_close_are_named(compile_once, tmp_path):
    atoms = rattled_triclinic(ELEMENTS, repeat=(2, 2, 2), seed=2)
    atoms.positions[1] = atoms.positions[0] + [0.3, 0.0, 0.0]
    lines = []
    for device in ("cpu", "emulated"):
        model = compile_once("two_layers", device=device)
        done = run(tmp_path / device, model, atoms, 2)
        lines.append(next(line for line in done.output.splitlines() if "apart" in line))
    assert lines[0].split("mlip/torch")[1] == lines[1].split("mlip/torch")[1]


NINE = " ".join(f"c_s[{k}]" for k in range(1, 10))
FLUX = """velocity all create 3000 7 loop geom
compute ke all ke/atom
compute pe all pe/atom
compute s all centroid/stress/atom NULL virial
compute flux all heat/flux ke pe s
fix motion all nve
timestep 1e-3
thermo 1"""


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_nine_components_and_the_heat_flux_equal_those_of_a_cpu(n_ranks, compile_once, tmp_path):
    write_data(tmp_path / "box.data", rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2), ELEMENTS)
    expected, found = [], []
    for device, results in (("cpu", expected), ("emulated", found)):
        coeff = pair_coeff(f"{compile_once('two_layers', device=device)} H O")
        columns = " ".join(f"c_flux[{k}]" for k in range(1, 7))
        text = deck(coeff=coeff, last=FLUX, columns=columns, atom_columns=NINE, runs="run 2")
        done = run_lammps(text, n_ranks, tmp_path)
        results += [done.dump("dump.out"), np.array([list(row.values()) for row in done.thermo])]
    for one, other in zip(found, expected, strict=True):
        # relative to each column, so that a component that is small by chance does not fail
        assert (np.abs(one - other) <= 1e-8 * np.maximum(1.0, np.abs(other).max(axis=0))).all()


@pytest.mark.parametrize("n_ranks", [1, 4])
def test_two_atoms_at_the_same_position_stop_all_ranks(n_ranks, compile_once, tmp_path):
    atoms = rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)
    atoms.positions[1] = atoms.positions[0]
    model = compile_once("two_layers", device="emulated")
    line = error_line(run(tmp_path, model, atoms, n_ranks, is_refused=True))
    assert re.search(r"step 0, rank \d: the energy of atom \d+ at .* is not finite; check for overlapping atoms", line)
    assert not (tmp_path / "dump.out").exists()
