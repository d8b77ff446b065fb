"""Nine-component per-atom virials in LAMMPS, and the heat flux computed from them."""

import numpy as np
import pytest
from lammps_deck import deck, pair_coeff
from lammps_run import run_lammps
from lammps_structures import write_data

from mlip_lammps.engines.lammps.session import BAR_PER_EV_PER_CUBIC_ANGSTROM
from mlip_lammps.families.mace import MaceReference
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = {"one_layer": ("Si",), "two_layers": ("H", "O"), "three_layers": ("C", "O", "Ni")}
COMPONENTS = ("xx", "yy", "zz", "xy", "xz", "yz", "yx", "zx", "zy")
NINE = " ".join(f"c_s[{k}]" for k in range(1, 10))

STRESS = f"""compute s all centroid/stress/atom NULL pair
compute s_sum all reduce sum {NINE}"""
COLUMNS = " ".join(f"c_s_sum[{k}]" for k in range(1, 10))

FLUX = """mass * 10.0
velocity all create 3000 7 loop geom mom no
compute ke all ke/atom
compute pe all pe/atom
compute s all centroid/stress/atom NULL virial
compute flux all heat/flux ke pe s
compute moved all property/atom xu yu zu
variable mx atom (c_ke+c_pe)*c_moved[1]
variable my atom (c_ke+c_pe)*c_moved[2]
variable mz atom (c_ke+c_pe)*c_moved[3]
compute m all reduce sum v_mx v_my v_mz
fix motion all nve
timestep 1e-5
thermo 1"""


def with_virials(done, n_atoms: int) -> np.ndarray:
    """Return centroid virials in eV, shape (n_atoms, 3, 3)."""
    table = done.dump("dump.out")[:, 6:15] / -BAR_PER_EV_PER_CUBIC_ANGSTROM
    virials = np.empty((n_atoms, 3, 3))
    for column, (a, b) in enumerate(COMPONENTS):
        virials[:, "xyz".index(a), "xyz".index(b)] = table[:, column]
    return virials


def stress_deck(coeff: str, **options: str) -> str:
    return deck(coeff=coeff, last=STRESS, columns=COLUMNS, atom_columns=NINE, **options)


@pytest.mark.parametrize("name", ELEMENTS)
def test_nine_components_do_not_depend_on_ranks_and_add_up_to_the_virial(name, compile_once, tmp_path):
    atoms = rattled_triclinic(ELEMENTS[name], repeat=(3, 3, 4), seed=2)
    write_data(tmp_path / "box.data", atoms, ELEMENTS[name])
    coeff = pair_coeff(f"{compile_once(name)} {' '.join(ELEMENTS[name])}")
    found = {}
    for n_ranks in (1, 2, 4):
        done = run_lammps(stress_deck(coeff), n_ranks, tmp_path)
        row, found[n_ranks] = done.thermo[-1], with_virials(done, len(atoms))
        total = found[n_ranks].sum(axis=0)
        volume = row["Volume"] / BAR_PER_EV_PER_CUBIC_ANGSTROM
        for number, (a, b) in enumerate(COMPONENTS[:6], start=1):
            first, second = "xyz".index(a), "xyz".index(b)
            symmetric = 0.5 * (total[first, second] + total[second, first])
            assert abs(volume * row[f"c_p[{number}]"] - symmetric) < len(atoms) * tolerances.LAMMPS_VIRIAL_PER_ATOM
    for n_ranks in (2, 4):
        np.testing.assert_allclose(found[n_ranks], found[1], rtol=0, atol=tolerances.LAMMPS_VIRIAL_PER_ATOM)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_virials_of_a_cluster_equal_derivatives_of_all_energies(n_ranks, compile_once, trained_models, tmp_path):
    atoms = rattled_triclinic(ELEMENTS["two_layers"], repeat=(2, 2, 3), seed=3)
    atoms.pbc = False
    write_data(tmp_path / "box.data", atoms, ELEMENTS["two_layers"])
    text = stress_deck(pair_coeff(f"{compile_once('two_layers')} H O"), first="boundary s s s")
    expected = MaceReference(trained_models["two_layers"]).centroid_virials(atoms)
    found = with_virials(run_lammps(text, n_ranks, tmp_path), len(atoms))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerances.LAMMPS_VIRIAL_PER_ATOM)


RUNS = [("one_layer", 2), ("two_layers", 1), ("two_layers", 4), ("three_layers", 2)]


@pytest.mark.parametrize(("name", "n_ranks"), RUNS)
def test_the_heat_flux_is_the_time_derivative_of_the_moment_of_energy(name, n_ranks, compile_once, tmp_path):
    atoms = rattled_triclinic(ELEMENTS[name], repeat=(3, 3, 3), seed=4)
    atoms.pbc = False
    write_data(tmp_path / "box.data", atoms, ELEMENTS[name])
    columns = " ".join(f"c_m[{k}] c_flux[{k}] c_flux[{k + 3}]" for k in (1, 2, 3))
    text = deck(
        coeff=pair_coeff(f"{compile_once(name)} {' '.join(ELEMENTS[name])}"),
        first="boundary s s s",
        last=FLUX,
        columns=columns,
        runs="run 4",
    )
    rows = run_lammps(text, n_ranks, tmp_path).thermo
    moment = np.array([[row[f"c_m[{k}]"] for k in (1, 2, 3)] for row in rows])
    flux, convective = ([rows[2][f"c_flux[{k}]"] for k in numbers] for numbers in ((1, 2, 3), (4, 5, 6)))
    # five-point formula: the error of the derivative is of fourth order in the time step
    derivative = (moment[0] - 8 * moment[1] + 8 * moment[3] - moment[4]) / (12 * 1e-5)
    # relative to the whole vector, because a component may be small by chance
    allowed = 1e-5 * np.linalg.norm(np.subtract(flux, convective))
    np.testing.assert_allclose(flux, derivative, rtol=0, atol=allowed)


def test_a_committee_and_a_hybrid_give_the_mean_and_the_sum(compile_once, tmp_path):
    atoms = rattled_triclinic(("H", "O"), repeat=(3, 3, 4), seed=2)
    write_data(tmp_path / "box.data", atoms, ("H", "O"))
    two, one = compile_once("two_layers"), compile_once("one_layer_of_two")

    def found(text: str) -> np.ndarray:
        return with_virials(run_lammps(text, 2, tmp_path), len(atoms))

    single = [found(stress_deck(pair_coeff(f"{model} H O"))) for model in (two, one)]
    mean = found(stress_deck(pair_coeff(f"{two} {one} : H O")))
    overlay = stress_deck(
        pair_coeff(f"mlip/torch 1 {two} H O", f"mlip/torch 2 {one} H O"), style="hybrid/overlay mlip/torch mlip/torch"
    )
    total = found(overlay)
    np.testing.assert_allclose(mean, 0.5 * (single[0] + single[1]), rtol=0, atol=tolerances.LAMMPS_VIRIAL_PER_ATOM)
    np.testing.assert_allclose(total, single[0] + single[1], rtol=0, atol=tolerances.LAMMPS_VIRIAL_PER_ATOM)
