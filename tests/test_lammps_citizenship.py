"""LAMMPS commands that change atoms, box or ranks: the forces still equal those of the model.

Each block of commands is followed by a dump, and every dump is compared with the ASE calculator.
"""

import numpy as np
import pytest
from lammps_frames import Frame, assert_frame_is_the_models, read_frames, write_frame
from lammps_run import run_lammps
from lammps_structures import write_data

from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = ("H", "O")
STYLES = ("cg", "sd", "fire", "quickmin", "hftn")
RELATIVE = 1e-10
"""Difference between trajectories of two integrators with the same forces after five steps."""


@pytest.fixture(scope="module")
def model(compile_once):
    return compile_once("two_layers")


@pytest.fixture(scope="module")
def calculator(model):
    return MlipCalculator(model, n_threads=1)


@pytest.fixture
def folder(tmp_path):
    write_data(tmp_path / "box.data", rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2), ELEMENTS)
    write_data(tmp_path / "small.data", rattled_triclinic(ELEMENTS, repeat=(2, 2, 2), seed=2), ELEMENTS)
    return tmp_path


def start(model, *, first: str = "", atoms: str = "read_data box.data") -> str:
    return f"""units metal
    atom_modify map yes
    {first}
    {atoms}
    pair_style mlip/torch
    pair_coeff * * {model} H O
    compute e all pe/atom
    compute e_sum all reduce sum c_e
    thermo_style custom step pe etotal temp fmax fnorm lx press c_e_sum
    thermo_modify format float %.16g
    """


def frame_of(folder, name: str) -> Frame:
    return read_frames(folder / name, ELEMENTS)[-1]


BLOCKS = {
    "displaced": "displace_atoms all random 0.1 0.1 0.1 5",
    "box_changed": "change_box all x scale 1.05 xy delta 0.4 z final 0.0 11.0 remap units box",
    "deleted": "group some id 3 7 30\ndelete_atoms group some compress no",
    "type_set": "set atom 5*8 type 2",
    "created": "create_atoms 1 random 3 8 NULL overlap 1.2 maxtry 500",
    "moved": "velocity all create 400 9 loop geom\nfix motion all nve\nrun 5\nrun 5 pre no post no",
    "swapped": "fix swap all atom/swap 1 5 11 3000 types 1 2\nrun 5\nunfix swap",
    "deformed": "fix pull all deform 1 x erate 20 yz erate -10 remap x\nrun 5\nunfix pull",
    "balanced": "fix even all balance 2 1.0 shift xyz 5 1.0\nrun 5\nunfix even",
    "replicated": "replicate 2 1 1",
    "tiled": "comm_style tiled\nbalance 1.0 rcb\nrun 5",
    "reset": "reset_atoms id sort yes",
    "given_again": "pair_style mlip/torch threads 1\npair_coeff * * {model} H O",
}


def test_forces_are_correct_after_commands_that_change_atoms_box_or_ranks(model, calculator, folder):
    blocks = "\n".join(f"{text}\nrun 0\n{write_frame(f'dump.{name}')}" for name, text in BLOCKS.items())
    run_lammps(start(model, first="processors 1 2 1") + blocks.format(model=model), 2, folder)
    frames = {name: frame_of(folder, f"dump.{name}") for name in BLOCKS}
    for frame in frames.values():
        assert_frame_is_the_models(frame, calculator)
    assert len(frames["created"].atoms) == len(frames["deleted"].atoms) + 3 == 36
    assert len(frames["replicated"].atoms) == 72
    assert frames["deformed"].atoms.cell[0, 0] != frames["swapped"].atoms.cell[0, 0]
    assert (frames["swapped"].atoms.numbers != frames["moved"].atoms.numbers).any(), "no swap was accepted"
    assert np.abs(frames["tiled"].atoms.positions - frames["replicated"].atoms.positions).max() > 1e-3


def test_every_minimisation_style_converges(model, calculator, folder):
    def block(style: str) -> str:
        return f"""clear
        {start(model, atoms="read_data small.data")}
        min_style {style}
        timestep 0.001
        minimize 0 2e-4 400 1500
        {write_frame(f"dump.{style}")}
        """

    rows = run_lammps("\n".join(map(block, STYLES)), 1, folder).thermo
    firsts = [k for k, row in enumerate(rows) if row["Step"] == 0]
    assert len(firsts) == len(STYLES)
    for style, first, end in zip(STYLES, firsts, [*firsts[1:], len(rows)], strict=True):
        before, after = rows[first], rows[end - 1]
        assert after["PotEng"] < before["PotEng"] - 1e-3, style
        assert after["Fnorm"] < 0.02 * before["Fnorm"], style
        frame = frame_of(folder, f"dump.{style}")
        assert_frame_is_the_models(frame, calculator)
        assert abs(frame.node_energies.sum() - after["PotEng"]) < 1e-8, style


def test_a_box_relaxes_to_the_requested_pressure(model, calculator, folder):
    # fix box/relax measures strain from the box at the start of a minimization: the second one ends closer
    text = f"""{start(model, atoms="read_data small.data")}
    fix relax all box/relax tri 500.0 vmax 0.002
    thermo 1000
    minimize 0 1e-6 2000 4000
    minimize 0 1e-6 2000 4000
    {write_frame("dump.relaxed")}
    """
    rows = run_lammps(text, 1, folder).thermo
    assert abs(rows[-1]["Press"] - 500.0) < 0.1
    assert abs(rows[0]["Press"] - 500.0) > 500.0
    assert_frame_is_the_models(frame_of(folder, "dump.relaxed"), calculator)


def test_rerun_and_respa_at_one_level_repeat_a_run(model, folder):
    move = "velocity all create 300 7 loop geom\nfix motion all nve\nthermo 1\ntimestep 0.001"
    dump = "dump out all custom 1 {} id type x y z ix iy iz\ndump_modify out format float %.17g sort id\n{}\nundump out"
    text = f"""{start(model)}
    {move}
    {dump.format("dump.verlet", "run 5")}
    clear
    {start(model)}
    {move}
    run_style respa 1
    {dump.format("dump.respa", "run 5")}
    clear
    {start(model)}
    thermo 1
    rerun dump.verlet dump x y z ix iy iz box yes
    """
    done = run_lammps(text, 2, folder)
    rows = done.thermo
    verlet, respa, rerun = rows[:6], rows[6:12], rows[12:]
    for other in (respa, rerun):
        assert [row["Step"] for row in other] == list(range(6))
        np.testing.assert_allclose([r["PotEng"] for r in other], [r["PotEng"] for r in verlet], rtol=RELATIVE)
    np.testing.assert_allclose(done.dump("dump.respa"), done.dump("dump.verlet"), rtol=RELATIVE, atol=1e-9)
    assert np.ptp([row["PotEng"] for row in verlet]) > 1e-3


def test_an_elastic_band_has_the_models_energies_in_every_partition(model, calculator, folder):
    atoms = rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)
    (folder / "final.txt").write_text("1\n1 {:.6f} {:.6f} {:.6f}\n".format(*(atoms.positions[0] + [0.5, 0.2, 0.0])))
    text = f"""{start(model)}
    variable replica uloop 3
    fix band all neb 1.0
    min_style quickmin
    timestep 0.0005
    thermo 5
    neb 0.0 0.001 5 5 5 final final.txt
    unfix band
    run 0
    {write_frame("dump.${replica}")}
    """
    run_lammps(text, 3, folder, lammps=["-partition", "3x1", "-plog", "none", "-pscreen", "none", "-log", "log.band"])
    last = [float(word) for word in (folder / "log.band").read_text().splitlines()[-1].split()]
    energies = []
    for replica in (1, 2, 3):
        frame = frame_of(folder, f"dump.{replica}")
        assert_frame_is_the_models(frame, calculator)
        energies.append(frame.node_energies.sum())
    assert len(set(energies)) == 3
    # columns: step, force measures, gradients, barriers, length, then RD and PE of every replica
    np.testing.assert_allclose(last[-5::2], energies, atol=1e-6)


def test_numerical_derivatives_agree_with_forces_and_virial(model, folder):
    step = tolerances.CENTRAL_DIFFERENCE_STEP
    text = f"""{start(model)}
    group few id 1 17 36
    fix slopes few numdiff 1 {step}
    fix strain all numdiff/virial 1 1e-6
    compute p all pressure NULL virial
    thermo_style custom step {" ".join(f"c_p[{k}] f_strain[{k}]" for k in range(1, 7))}
    thermo_modify format float %.16g
    run 0
    write_dump few custom dump.slopes id fx fy fz f_slopes[1] f_slopes[2] f_slopes[3] modify format float %.17g
    """
    done = run_lammps(text, 2, folder)
    table = done.dump("dump.slopes")
    assert np.abs(table[:, 1:4] - table[:, 4:7]).max() < tolerances.CENTRAL_DIFFERENCE_FORCE
    assert np.abs(table[:, 1:4]).max() > 1e-3
    # both are in pressure units; fix numdiff/virial has the order xx yy zz yz xz xy
    row = done.thermo[-1]
    exact = np.array([row[f"c_p[{k}]"] for k in (1, 2, 3, 6, 5, 4)])
    found = np.array([row[f"f_strain[{k}]"] for k in range(1, 7)])
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-4 * np.abs(exact).max())
