"""Restart files: runs that stop and continue, and the models that a restart file accepts."""

import re
import shutil

import numpy as np
import pytest
from lammps_files import with_metadata
from lammps_run import error_line, run_lammps
from lammps_structures import write_data

from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = ("H", "O")
RELATIVE = 1e-8

# Both runs write restart files, and therefore rebuild their neighbour lists, at the same steps.
SAME_ORDER = "atom_modify sort 0 0.0"
DUMP = "dump out all custom 50 dump.{name} id x y z vx vy vz fx fy fz\ndump_modify out format float %.17g"
MOTIONS = {
    "nve": "fix motion all nve",
    "nvt": "fix motion all nvt temp 300 300 0.05",
    "npt": "fix motion all npt temp 300 300 0.05 iso 0 0 0.5",
}


@pytest.fixture(scope="module")
def model(compile_once):
    return compile_once("two_layers")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Return an orthogonal box, because LAMMPS rounds positions in tilted boxes whenever it rebuilds its lists."""
    folder = tmp_path_factory.mktemp("start")
    atoms = rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), rattle=0.05)
    atoms.set_cell(np.diag(np.diag(atoms.cell)), scale_atoms=True)
    write_data(folder / "box.data", atoms, ELEMENTS)
    return folder / "box.data"


def dynamics(model, name: str, motion: str, steps: int, *, continued: str = "") -> str:
    atoms = "read_data box.data\nvelocity all create 300 7 loop geom"
    return f"""units metal
    {SAME_ORDER}
    {f"read_restart {continued}" if continued else atoms}
    pair_style mlip/torch
    pair_coeff * * {model} H O
    {MOTIONS[motion]}
    timestep 0.002
    {DUMP.format(name=name)}
    restart 50 {name}.*
    run {steps}
    """


def both_ends(model, motion: str, n_ranks: int, folder) -> tuple[np.ndarray, np.ndarray]:
    """Return positions, velocities and forces after one run of 100 steps, and after two runs of 50 steps."""
    at_once = run_lammps(dynamics(model, "whole", motion, 100), n_ranks, folder).dump("dump.whole")
    run_lammps(dynamics(model, "half", motion, 50), n_ranks, folder)
    text = dynamics(model, "rest", motion, 50, continued="half.50")
    return at_once, run_lammps(text, n_ranks, folder).dump("dump.rest")


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_nve_is_bitwise_identical_after_a_restart(n_ranks, model, start, tmp_path):
    shutil.copy(start, tmp_path)
    at_once, in_parts = both_ends(model, "nve", n_ranks, tmp_path)
    np.testing.assert_array_equal(at_once, in_parts)
    moved = run_lammps(dynamics(model, "early", "nve", 50), n_ranks, tmp_path).dump("dump.early")
    assert np.abs(moved - at_once).max() > 1e-3, "atoms that hardly move"


@pytest.mark.parametrize("motion", ["nvt", "npt"])
def test_a_thermostat_and_a_barostat_continue(motion, model, start, tmp_path):
    shutil.copy(start, tmp_path)
    at_once, in_parts = both_ends(model, motion, 2, tmp_path)
    for columns in (slice(1, 4), slice(4, 7), slice(7, 10)):
        largest = np.abs(at_once[:, columns]).max()
        np.testing.assert_allclose(in_parts[:, columns], at_once[:, columns], rtol=0, atol=RELATIVE * largest)


@pytest.fixture(scope="module")
def written(model, compile_once, start, tmp_path_factory):
    """Return a folder with restart files of a plain style and a hybrid, and with equal and different models."""
    folder = tmp_path_factory.mktemp("written")
    shutil.copy(start, folder)
    for name, change in {
        "head": lambda metadata: metadata.update(head="another"),
        "source": lambda metadata: metadata.update(source={"name": "other.model", "sha256": "f" * 64}),
        "build": lambda metadata: metadata.update(build_id=f"{metadata['build_id']}-again"),
    }.items():
        with_metadata(model, folder / f"{name}.pt2", change)
    (folder / "own.pt2").symlink_to(model)
    (folder / "mixed.pt2").symlink_to(compile_once("two_layers", "mixed"))
    (folder / "member.pt2").symlink_to(compile_once("one_layer_of_two"))
    run_lammps(
        """units metal
        read_data box.data
        pair_style mlip/torch profile yes threads 1
        pair_coeff * * own.pt2 H O
        run 0
        write_restart plain.restart
        pair_coeff * * own.pt2 member.pt2 : H O
        run 0
        write_restart committee.restart
        pair_style hybrid/overlay mlip/torch mlip/torch zero 5.0
        pair_coeff * * mlip/torch 1 own.pt2 H NULL
        pair_coeff * * mlip/torch 2 member.pt2 NULL O
        pair_coeff * * zero
        run 0
        write_restart hybrid.restart
        """,
        2,
        folder,
    )
    return folder


def continued(coeff: str, restart: str = "plain", style: str = "") -> str:
    return f"read_restart {restart}.restart\n{style}\n{coeff}\nrun 0\n"


HYBRID = """pair_coeff * * mlip/torch 1 {} H NULL
pair_coeff * * mlip/torch 2 member.pt2 NULL O
pair_coeff * * zero"""
HYBRID_AGAIN = "pair_style hybrid/overlay mlip/torch mlip/torch zero 5.0"
WRITTEN = "the restart file was written with own.pt2 from random-1, sha256 0{11}1?.*, head Default; types H O"
REFUSED = {
    "another source": (
        continued("pair_coeff * * source.pt2 H O"),
        "names source.pt2 from other.model, sha256 ffffffffffff",
    ),
    "another head": (continued("pair_coeff * * head.pt2 H O"), "names head.pt2 .*, head another"),
    "other elements": (continued("pair_coeff * * own.pt2 O H"), "names own.pt2 .*; types O H"),
    "one model of a committee": (
        continued("pair_coeff * * own.pt2 H O", "committee"),
        "written with own.pt2 .*; member.pt2 .*; types H O, but pair_coeff names own.pt2",
    ),
    "another source under a style given again": (
        continued("pair_coeff * * source.pt2 H O", style="pair_style mlip/torch"),
        "names source.pt2",
    ),
    "another source in a hybrid": (continued(HYBRID.format("source.pt2"), "hybrid"), "names source.pt2 .* H NULL"),
    "another source in a hybrid given again": (
        continued(HYBRID.format("source.pt2"), "hybrid", HYBRID_AGAIN),
        "names source.pt2 .* H NULL",
    ),
    "no model": (continued(""), "All pair coeffs are not set"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_differs_from_the_restart_file_is_refused(name, written):
    text, message = REFUSED[name]
    line = error_line(run_lammps(text, 2, written, is_refused=True))
    assert re.search(message, line), line
    if name != "no model":
        assert line.count("allow another: pair_style mlip/torch restart any") == 1


ANOTHER_BOX = """units metal
read_data box.data
pair_style mlip/torch
pair_coeff * * source.pt2 H O
run 0
"""


def test_the_same_model_may_continue_recompiled_in_another_precision_or_order(written):
    text = f"""{continued("pair_coeff * * build.pt2 H O")}
    clear
    {continued("pair_coeff * * mixed.pt2 H O", style="pair_style mlip/torch")}
    clear
    {continued("pair_coeff * * member.pt2 own.pt2 : H O", "committee")}
    clear
    {continued(HYBRID.format("own.pt2"), "hybrid", HYBRID_AGAIN)}
    clear
    {continued("pair_coeff * * head.pt2 O H", style="pair_style mlip/torch restart any")}
    write_restart any.restart
    clear
    {ANOTHER_BOX}
    clear
    read_restart plain.restart
    pair_style zero 5.0
    clear
    {ANOTHER_BOX}
    """
    output = run_lammps(text, 2, written).output
    told = re.findall(r"the restart file was written with own.pt2 from random-1, sha256 \w+, head Default.*", output)
    assert len(told) == 6
    # the first case and the committee continue without pair_style; the first run requested a profile
    assert output.count("mlip/torch profile") == 2
    line = error_line(run_lammps(continued("pair_coeff * * own.pt2 H O", "any"), 2, written, is_refused=True))
    assert "head another; types O H, but pair_coeff names own.pt2" in line, "consent must not pass on"


@pytest.mark.parametrize("restart", ["plain", "hybrid"])
def test_a_restart_file_stands_for_its_own_models_whatever_was_read_before(restart, written):
    """A style that is gone when the box is cleared cannot say so."""
    other = "pair_style mlip/torch restart any\npair_coeff * * head.pt2 O H\nrun 0\nwrite_restart other.restart"
    before = f"""{continued("", "plain", other)}
    clear
    read_restart other.restart
    pair_style zero 5.0
    clear
    """
    coeff = {"plain": "pair_coeff * * {} H O", "hybrid": HYBRID}[restart]
    run_lammps(before + continued(coeff.format("own.pt2"), restart), 2, written)
    refused = continued("pair_coeff * * head.pt2 O H", restart, "pair_style mlip/torch")
    line = error_line(run_lammps(before + refused, 2, written, is_refused=True))
    assert "the restart file was written with own.pt2" in line


def test_a_restart_file_without_a_model_takes_any(written):
    text = """units metal
    read_data box.data
    pair_style zero 5.0
    pair_coeff * *
    write_restart zero.restart
    clear
    read_restart plain.restart
    pair_style zero 5.0
    clear
    read_restart zero.restart
    pair_style mlip/torch
    pair_coeff * * source.pt2 H O
    run 0
    """
    run_lammps(text, 2, written)


def test_a_file_replaced_between_two_runs_is_reported_and_not_used(model, written, tmp_path):
    shutil.copy(written / "box.data", tmp_path)
    shutil.copy(model, tmp_path / "model.pt2")
    shutil.copy(model, tmp_path / "touched.pt2")
    text = f"""units metal
    read_data box.data
    pair_style hybrid/overlay mlip/torch mlip/torch
    pair_coeff * * mlip/torch 1 model.pt2 H O
    pair_coeff * * mlip/torch 2 touched.pt2 H O
    thermo_modify format float %.16g
    run 0
    shell cp {written / "source.pt2"} model.pt2
    shell touch touched.pt2
    run 0
    run 0
    pair_coeff * * mlip/torch 1 model.pt2 H O
    run 0
    """
    done = run_lammps(text, 2, tmp_path)
    told = [line for line in done.output.splitlines() if "was replaced" in line]
    assert len(told) == 1
    assert "model.pt2 was replaced after pair_coeff read it and now contains other.model, sha256 fffff" in told[0]
    energies = [row["E_pair"] for row in done.thermo]
    assert energies == [energies[0]] * 4
