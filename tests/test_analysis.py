"""Radial distributions, thermo output and plots."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule

from mlip_lammps.analysis.plots import RdfReference, plot_dynamics
from mlip_lammps.analysis.rdf import RadialDistribution, radial_distribution, read_lammps_rdf
from mlip_lammps.analysis.thermo import read_thermo
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.engines.lammps.process import LammpsProcess
from mlip_lammps.structure.boxes import build_box
from mlip_lammps.structure.lammps_data import write_lammps_data

N_BINS = 60
R_MAX = 5.5

# LAMMPS computes g(r) of two element pairs in a moving box and dumps the same frames.
LAMMPS_RDF = f"""
units           metal
atom_style      atomic
read_data       ${{data}}
pair_style      lj/cut 4.0
pair_coeff      * * 0.005 1.2
neighbor        1.0 bin
comm_modify     cutoff {R_MAX + 1.0}
timestep        0.0005
velocity        all create 300.0 7
fix             move all nve/limit 0.05
compute         g all rdf {N_BINS} 2 2 cutoff {R_MAX}
fix             g all ave/time 10 1 10 c_g[*] mode vector ave running ${{overwrite}} file ${{out}}/rdf.txt
dump            frames all custom 10 ${{out}}/frames.lammpstrj id element x y z
dump_modify     frames element H O sort id format float %.12g
thermo_style    custom step time temp pe
thermo          10
run             ${{steps}}
"""


def run_lammps(folder: Path, n_steps: int, overwrite: str = "") -> Path:
    """Run a box of 27 water-like molecules on two ranks and return its log."""
    write_lammps_data(folder / "box.data", build_box(molecule("H2O"), 27, 0.5, seed=4), ["H", "O"])
    (folder / "in.rdf").write_text(LAMMPS_RDF)
    variables = {"data": folder / "box.data", "out": folder, "steps": n_steps, "overwrite": overwrite}
    with LammpsProcess(folder / "in.rdf", 2, variables, folder / "log.lammps") as process:
        rows = list(process.rows())
    assert len(rows) == n_steps // 10 + 1
    return folder / "log.lammps"


@pytest.mark.parametrize("overwrite", ["", "overwrite"])
def test_radial_distribution_equals_that_of_lammps(tmp_path, overwrite):
    run_lammps(tmp_path, 100, overwrite)
    theirs = read_lammps_rdf(tmp_path / "rdf.txt")
    frames = ase.io.read(tmp_path / "frames.lammpstrj", ":", format="lammps-dump-text")
    ours = radial_distribution(frames, ("O", "O"), R_MAX, N_BINS)
    assert theirs.g.max() > 0
    np.testing.assert_allclose(ours.r, theirs.r, atol=1e-4)
    # LAMMPS prints six digits; a misplaced pair at the edge of a bin would change g by 0.1 or more.
    np.testing.assert_allclose(ours.g, theirs.g, atol=1e-4)


def test_thermo_output_is_read_from_the_log(tmp_path):
    (run,) = read_thermo(run_lammps(tmp_path, 30))
    np.testing.assert_array_equal(run["Step"], [0, 10, 20, 30])
    np.testing.assert_allclose(run["Time"], [0, 0.005, 0.01, 0.015])
    assert run["Temp"][0] == pytest.approx(300.0)


def test_a_log_without_a_finished_run_is_refused(tmp_path):
    log = tmp_path / "log.lammps"
    with pytest.raises(UserInputError, match="does not exist"):
        read_thermo(log)
    log.write_text("   Step          Temp\n         0   300\n")
    with pytest.raises(UserInputError, match="no finished run"):
        read_thermo(log)


def test_an_incomplete_rdf_file_is_refused(tmp_path):
    path = tmp_path / "rdf.txt"
    with pytest.raises(UserInputError, match="does not exist"):
        read_lammps_rdf(path)
    for text in ("", "# TimeStep\n", "100 3\n1 0.5 0 0\n2 1.5 0 0\n", "100 1\n1 0.5 0 0 0 0\n"):
        path.write_text(text)
        with pytest.raises(UserInputError, match="does not end with a complete g"):
            read_lammps_rdf(path)


def test_a_neighbour_shell_is_counted_in_a_cell_smaller_than_the_range():
    cell = bulk("Cu", "fcc", a=3.6, cubic=True)
    rdf = radial_distribution([cell], ("Cu", "Cu"), 3.5, 70)
    shells = 4 / 3 * np.pi * np.diff(np.linspace(0, 3.5, 71) ** 3)
    assert (rdf.g * shells).sum() * 3 / cell.get_volume() == pytest.approx(12)
    assert rdf.r[np.argmax(rdf.g)] == pytest.approx(3.6 / np.sqrt(2), abs=0.025)


def test_a_gas_without_correlation_has_a_distribution_of_one():
    rng = np.random.default_rng(0)
    box = ase.Atoms("Ar2000", positions=rng.random((2000, 3)) * 30, cell=[30] * 3, pbc=True)
    rdf = radial_distribution([box], ("Ar", "Ar"), 10.0, 10)
    np.testing.assert_allclose(rdf.g[3:], 1.0, atol=0.03)


@pytest.mark.parametrize("symbols", ["H2", "OH"])
def test_a_frame_without_the_pair_is_refused(symbols):
    atoms = ase.Atoms(symbols, positions=[[0, 0, 0], [1, 0, 0]], cell=[5] * 3, pbc=True)
    with pytest.raises(UserInputError, match="has no O-O pair"):
        radial_distribution([atoms], ("O", "O"), 3.0, 30)


def test_the_highest_peak_lies_between_bins():
    r = np.linspace(0.05, 5.95, 60)
    peak = RadialDistribution(r=r, g=np.exp(-((r - 2.83) ** 2) / 0.5)).highest_peak()
    assert peak == pytest.approx((2.83, 1.0), abs=2e-3)


def test_peaks_and_troughs_are_found_in_their_range():
    r = np.linspace(0.05, 5.95, 60)
    rdf = RadialDistribution(r=r, g=1.0 + np.exp(-r / 4) * np.cos(4 * r))
    assert rdf.maximum_between(4.0, 5.5)[0] == pytest.approx(4.70, abs=0.03)
    assert rdf.minimum_between(3.0, 4.5)[0] == pytest.approx(3.91, abs=0.03)
    assert rdf.minimum_between(3.0, 4.5)[1] == pytest.approx(1.0 - np.exp(-3.91 / 4), abs=0.02)
    with pytest.raises(UserInputError, match="no bin"):
        rdf.maximum_between(7.0, 8.0)


def test_the_plot_of_a_run_is_written(tmp_path):
    time = np.linspace(0.0, 1.0, 20)
    thermo = {"Time": time, "Temp": 300 + 10 * np.sin(9 * time), "PotEng": np.cos(9 * time)}
    r = np.linspace(0.05, 5.95, 60)
    path = tmp_path / "run.png"
    plot_dynamics(
        path,
        thermo,
        3,
        RadialDistribution(r=r, g=np.exp(-((r - 3) ** 2))),
        title="test",
        target_temperature=300.0,
        pair_label="O-O",
        reference=RdfReference("known", (3.0,), (1.0,)),
    )
    assert path.read_bytes().startswith(b"\x89PNG")
