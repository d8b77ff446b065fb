"""The commands ``relax``, ``eos`` and ``elastic`` from end to end, with the shipped silicon model."""

import json
import re
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from scipy.spatial.transform import Rotation

from mlip_lammps.cli._run import _NOT_SETTINGS, open_folder
from mlip_lammps.cli.main import build_parser, find_subcommands, main
from mlip_lammps.cli.options import read_config
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows import elastic_tensor, equation_of_state, layer_elastic_tensor, phase_change, relax
from mlip_lammps.workflows.crystals.elastic import ElasticTensor
from mlip_lammps.workflows.run_folder import as_table
from mlip_lammps.workflows.symmetry import in_standard_axes

MODEL = "silicon-pbe"


@pytest.fixture
def silicon(tmp_path, monkeypatch):
    """Return the file of a diamond crystal in a folder that is the working folder."""
    monkeypatch.chdir(tmp_path)
    atoms = bulk("Si", a=5.45)
    atoms.rattle(0.03, seed=1)
    ase.io.write("si.extxyz", atoms)
    return "si.extxyz"


def results(folder: str) -> dict:
    return json.loads(Path(folder, "results.json").read_text())


def test_relax_writes_structures_results_and_a_record_that_repeats_it(silicon, capsys):
    assert main(["relax", MODEL, silicon, "--cell", "free"]) == 0
    printed = capsys.readouterr().out
    assert "Fd-3m (227)" in printed
    assert "stress, GPa" in printed
    first = results("out/relax")["si"]
    relaxed = ase.io.read("out/relax/si.extxyz")
    assert relaxed.get_potential_energy() == pytest.approx(first["energy"])
    assert relaxed.cell.volume == pytest.approx(5.469**3 / 4, rel=1e-3)
    assert main(["relax", "--config", "out/relax/run.json"]) == 0
    assert "1 of them" not in capsys.readouterr().out
    assert results("out/relax")["si"] == first


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_a_structure_of_free_atoms_has_a_warning(scale, silicon, capsys):
    atoms = ase.io.read(silicon)
    atoms.set_cell(scale * atoms.cell[:], scale_atoms=True)
    ase.io.write("scaled.extxyz", atoms)
    assert main(["relax", MODEL, "scaled.extxyz"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert ("no two atoms of scaled are closer than the cutoff of the model" in printed) == (scale > 1.0)


def test_a_record_repeats_a_run_in_another_folder(tmp_path, monkeypatch, capsys):
    """The stand-in for the model is a file whose calculator is never asked."""
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "one")
    ase.io.write("cu.extxyz", bulk("Cu"))
    Path("my.model").write_text("a model")
    Path("free").write_text("no file of an option")
    arguments = build_parser().parse_args(["relax", "my.model", "cu.extxyz", "--cell", "free"])
    for _ in range(2):
        with open_folder(arguments, "relax", {"structure 1": Path("cu.extxyz")}, {}) as (folder, _tasks, _console):
            folder.write_results({})
    record = tmp_path / "one/out/relax/run.json"
    monkeypatch.chdir(tmp_path / "other")
    parser = build_parser()
    again = parser.parse_args(["relax", "--config", str(record)])
    again.parser.set_defaults(**read_config(record, again.parser))
    again = parser.parse_args(["relax", "--config", str(record)])
    assert Path(again.model).read_text() == "a model"
    assert again.structures == [str(tmp_path / "one/cu.extxyz")]
    assert (again.cell, again.out) == ("free", Path("out/relax"))
    again.out, again.ranks = record.parent, 2
    with open_folder(again, "relax", {"structure 1": Path(again.structures[0])}, {}) as (folder, _tasks, _console):
        assert folder.earlier is None


def test_a_toml_file_replaces_the_options_and_the_command_line_takes_precedence(silicon, tmp_path):
    (tmp_path / "relax.toml").write_text(
        f'model = "{MODEL}"\nstructures = ["{silicon}"]\ncell = "isotropic"\nkeep-symmetry = true\nout = "a"\n'
    )
    assert main(["relax", "--config", "relax.toml", "--out", "b"]) == 0
    settings = json.loads((tmp_path / "b/run.json").read_text())["settings"]
    assert settings["cell"] == "isotropic"
    assert settings["keep_symmetry"] is True


@pytest.mark.parametrize(
    "words",
    [
        "m a.xyz b.xyz --cell free",
        "m --cell free a.xyz b.xyz", "m a.xyz --cell free b.xyz", "--cell free m a.xyz b.xyz",
    ],
)
def test_structures_may_follow_options(words, tmp_path, monkeypatch):
    seen = []
    (module,) = (m for m in find_subcommands() if m.NAME == "relax")
    monkeypatch.setattr(module, "run", lambda arguments: seen.append(arguments) or 0)
    assert main(["relax", *words.split()]) == 0
    assert (seen[0].model, list(seen[0].structures), seen[0].cell) == ("m", ["a.xyz", "b.xyz"], "free")
    with pytest.raises(SystemExit):
        main(["relax", *words.split(), "--speed"])
    with pytest.raises(SystemExit):
        main(["info", "a", "b"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('speed = "high"', "speed is not an option of this command"),
        ('cell = "loose"', "cell is 'loose', expected one of fixed"),
        ("keep-symmetry = 1", "keep-symmetry is 1, expected true or false"),
        ("mask = [1, 0]", r"mask is \[1, 0\], expected a list of 6"),
        ('pressure = "much"', "pressure is 'much', is not|much is not a finite number"),
        ("pressure = ", "Invalid value"),
    ],
)
def test_a_wrong_configuration_is_refused(text, message, silicon, tmp_path, capsys):
    (tmp_path / "c.toml").write_text(text)
    assert main(["relax", MODEL, silicon, "--config", "c.toml"]) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    "command",
    [
        "relax m a.xyz --mask 1 1 0 0 0 1 --cell free --keep-symmetry",
        "eos m a.xyz b.xyz --range -3 1 --relax-shape",
        "elastic m a.xyz --strain 0.01 --layer",
        "phonons m a.xyz --supercell 2 2 2 --born BORN --qha",
        "slab m a.xyz --miller 1 1 1 --miller 1 0 0 --layers 3 4",
        "adsorb m a.xyz --adsorbate CO --sites top hollow",
        "vibrations m a.xyz --moving 1 2 --symmetry-number 2",
        "neb m a.xyz b.xyz --images 3 --no-climb",
        "formation m a.xyz --reaction a->b --reaction b->c",
        "screen m a.xyz --committee n o",
    ],
)
def test_the_record_of_every_command_is_a_configuration(command, tmp_path):
    words = command.split()
    arguments = build_parser().parse_args(words)
    settings = {name: value for name, value in vars(arguments).items() if name not in _NOT_SETTINGS}
    (tmp_path / "run.json").write_text(json.dumps({"settings": as_table(settings)}))
    parser = build_parser()
    again = parser.parse_args([words[0], "--config", str(tmp_path / "run.json")])
    again.parser.set_defaults(**read_config(again.config, again.parser))
    repeated = vars(parser.parse_args([words[0], "--config", str(tmp_path / "run.json")]))
    assert {name: repeated[name] for name in settings} == settings


@pytest.mark.parametrize(
    ("words", "name", "expected"),
    [
        ("slab --miller 1 1 0 --miller 2 1 1", "miller", [[1, 1, 0], [2, 1, 1]]),
        ("slab", "miller", [[1, 0, 0]]),
        ("formation --reaction c->d", "reaction", ["c->d"]),
        ("relax b.cif", "structures", ["b.cif"]),
        ("relax b.cif c.cif --cell free", "structures", ["b.cif", "c.cif"]),
        ("relax --cell free b.cif", "structures", ["b.cif"]),
        ("relax silicon-pbe", "structures", ["a.cif"]),
        ("relax other.model", "model", "other.model"),
        ("relax b.cif", "model", "configured"),
        ("relax other.pt2 b.cif", "structures", ["b.cif"]),
    ],
)
def test_the_command_line_replaces_what_a_configuration_lists(words, name, expected, tmp_path, monkeypatch):
    """Options that may be repeated, and structures without a model, because the file names one."""
    command, *rest = words.split()
    (module,) = (m for m in find_subcommands() if command == m.NAME)
    seen = []
    monkeypatch.setattr(module, "run", lambda arguments: seen.append(arguments) or 0)
    more = {"slab": "miller = [[1, 0, 0]]", "formation": 'reaction = ["a->b", "b->c"]'}.get(command, "")
    (tmp_path / "c.toml").write_text(f'model = "configured"\nstructures = ["a.cif"]\n{more}')
    assert main([command, "--config", str(tmp_path / "c.toml"), *rest]) == 0
    assert getattr(seen[0], name) == expected


def test_a_file_that_is_no_structure_is_refused_with_a_reason(silicon, tmp_path, capsys):
    (tmp_path / "garbage.cif").write_text("garbage")
    assert main(["relax", MODEL, "garbage.cif"]) == 2
    assert "the contents do not follow the format of this ending; give" in capsys.readouterr().err


def test_a_range_in_the_wrong_order_is_refused(silicon, capsys):
    assert main(["eos", MODEL, silicon, "--range", "2", "2"]) == 2
    assert "--range is 2 2; give the smaller change first" in capsys.readouterr().err


def test_a_run_without_a_model_or_structure_is_refused(silicon, capsys):
    assert main(["relax"]) == 2
    assert "no MODEL is given" in capsys.readouterr().err
    assert main(["relax", MODEL]) == 2
    assert "no structure is given" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["relax", MODEL, silicon, "--ranks", "0"])
    assert "argument --ranks: 0 is not a whole number of 1 or more" in capsys.readouterr().err


def test_water_without_stress_labels_has_no_relaxed_cell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    box = molecule("H2O", cell=[6, 6, 6], pbc=True)
    ase.io.write("ice.extxyz", box)
    assert main(["relax", "water-revpbe0d3", "ice.extxyz", "--cell", "free"]) == 2
    assert "trained without stresses" in capsys.readouterr().err


def test_eos_prints_the_lattice_constant_and_the_pressure_of_a_phase_change(silicon, capsys):
    places = [(0, 0, 0), (0, 0.5, 0.25), (0.5, 0.5, 0.5), (0.5, 0, 0.75)]
    ase.io.write("beta.extxyz", Atoms("Si4", cell=[4.76, 4.76, 2.61], scaled_positions=places, pbc=True))
    ase.io.write("dia.extxyz", bulk("Si", a=5.46))
    assert main(["eos", MODEL, "dia.extxyz", "beta.extxyz", "--range", "-3", "2", "--volumes", "7"]) == 0
    printed = capsys.readouterr().out
    assert "dia to beta" in printed
    found = results("out/eos")
    assert (4 * found["curves"]["dia"]["volume"]) ** (1 / 3) == pytest.approx(5.469, abs=2e-3)
    assert found["curves"]["dia"]["vinet"]["bulk_modulus_gpa"] == pytest.approx(88.8, abs=1)
    assert 5 < found["phase_changes"]["dia to beta"]["pressure_gpa"] < 15
    assert ase.io.read("out/eos/dia-minimum.extxyz").cell.volume == pytest.approx(found["curves"]["dia"]["volume"])


def test_two_cells_of_one_phase_have_no_phase_change(silicon, capsys):
    """Their curves differ by the errors of the fits and cross somewhere."""
    ase.io.write("one.extxyz", bulk("Si", a=5.46))
    ase.io.write("four.extxyz", bulk("Si", a=5.5, cubic=True))
    assert main(["eos", MODEL, "one.extxyz", "four.extxyz"]) == 0
    assert "the same phase within the errors of the fits" in capsys.readouterr().out
    assert list(results("out/eos")["phase_changes"].values()) == [None]


def test_elastic_of_a_primitive_cell_in_any_orientation_gives_the_cubic_constants(silicon, capsys):
    atoms = bulk("Si", a=5.47)
    atoms.rotate(25, (1, 2, 3), rotate_cell=True)
    ase.io.write("turned.extxyz", atoms)
    assert main(["elastic", MODEL, "turned.extxyz", "--ranks", "2"]) == 0
    found = results("out/elastic")
    c = np.array(found["voigt_gpa"])
    assert (c[0, 0], c[0, 1], c[3, 3]) == pytest.approx((145, 61, 74), abs=2)
    assert found["is_stable"]
    # 645 K from measured elastic constants
    assert found["debye_temperature"] == pytest.approx(620, abs=30)
    assert c[0, 3] == pytest.approx(0, abs=0.5)


@pytest.fixture(scope="module")
def hexagonal():
    return relax(bulk("Cu", "hcp", a=2.55, c=4.16), EMT(), cell="free", force_tolerance=1e-4).atoms


def test_the_tensor_of_a_hexagonal_crystal_has_its_symmetry(hexagonal):
    found = elastic_tensor(hexagonal, EMT())
    c = found.voigt_gpa
    assert c[5, 5] == pytest.approx((c[0, 0] - c[0, 1]) / 2, rel=1e-6)
    assert found.symmetry_residual_gpa < 1.5
    assert found.bulk_modulus_reuss_gpa <= found.bulk_modulus_hill_gpa <= found.bulk_modulus_gpa
    assert found.shear_modulus_reuss_gpa <= found.shear_modulus_hill_gpa <= found.shear_modulus_voigt_gpa
    along = found.young_modulus_along(np.array([[1, 0, 0], [0, 2, 0], [0, 0, 1]]))
    assert along[0] == pytest.approx(along[1])
    assert along[2] == pytest.approx(1 / found.compliance[2, 2])
    assert found.universal_anisotropy > 0


def test_the_smallest_eigenvalue_does_not_depend_on_the_axes():
    """C11 - C12 is 80 and 2 C44 is 150 GPa in the axes of the cube."""
    c11, c12, c44 = 140.0, 60.0, 75.0
    cube = np.diag([c11 - c12] * 3 + [c44] * 3)
    cube[:3, :3] += c12
    i, j = np.array([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]).T
    voigt = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
    tensor = cube[voigt[:, :, None, None], voigt[None, None]]
    r = Rotation.from_rotvec([0.3, 0.7, -0.4]).as_matrix()
    turned = np.einsum("ai,bj,ck,dl,ijkl", r, r, r, r, tensor)[i, j][:, i, j]
    for found in (cube, turned):
        assert ElasticTensor(found, 0.0, 0.0, None, bulk("Si")).smallest_eigenvalue_gpa == pytest.approx(80)


def test_averages_do_not_depend_on_the_orientation(hexagonal):
    turned = hexagonal.copy()
    turned.rotate(40, (1, 1, 3), rotate_cell=True)
    one, other = (elastic_tensor(atoms, EMT()) for atoms in (hexagonal, turned))
    assert other.shear_modulus_hill_gpa == pytest.approx(one.shear_modulus_hill_gpa, rel=2e-2)
    assert other.debye_temperature == pytest.approx(one.debye_temperature, rel=1e-2)
    assert abs(in_standard_axes(turned).cell[2, :2]).max() < 1e-6


def test_the_layer_tensor_of_a_slab_is_isotropic_in_the_plane_and_independent_of_the_vacuum():
    found = []
    for vacuum in (6.0, 9.0):
        slab = fcc111("Cu", (1, 1, 3), vacuum=vacuum, periodic=True)
        relaxed = relax(slab, EMT(), cell="free", mask=(1, 1, 0, 0, 0, 1), force_tolerance=1e-4).atoms
        found.append(layer_elastic_tensor(relaxed, EMT()))
    c = found[0].voigt_n_per_m
    assert found[1].voigt_n_per_m == pytest.approx(c, rel=1e-3, abs=0.1)
    assert c[0, 0] == pytest.approx(c[1, 1], rel=1e-2)
    assert c[2, 2] == pytest.approx((c[0, 0] - c[0, 1]) / 2, rel=2e-2)
    assert found[0].is_stable
    with pytest.raises(UserInputError, match="put the layer into the xy plane"):
        layer_elastic_tensor(bulk("Cu", cubic=True), EMT())


def test_the_enthalpies_of_two_phases_are_equal_at_the_pressure_of_the_phase_change():
    """An energy offset is added to the stable phase, so that a less dense phase is stable at zero pressure."""
    curves = [
        equation_of_state(atoms, EMT(), np.linspace(0.97, 1.02, 7))
        for atoms in (relax(bulk("Cu", "sc", a=2.4), EMT(), cell="isotropic").atoms, bulk("Cu", a=3.59))
    ]
    sc = curves[0]
    lower = replace(sc, **{
        name: replace(getattr(sc, name), energy=curves[1].energy - 0.05) for name in ("birch_murnaghan", "vinet")
    })  # fmt: skip
    change = phase_change(lower, curves[1])
    # the slope of the difference of enthalpies is the difference of volumes
    difference = lower.volume - curves[1].volume
    assert change.pressure_gpa == pytest.approx(0.05 / difference * 160.2, rel=0.1)
    assert change.pressure_vinet_gpa == pytest.approx(change.pressure_gpa, rel=0.05)
    assert change.volumes[0] > change.volumes[1]
    assert phase_change(curves[1], curves[0]) is None
    assert 0 < change.pressure_error_gpa < 0.01
    uncertain = replace(lower, birch_murnaghan=replace(lower.birch_murnaghan, energy_error=1.0))
    assert phase_change(uncertain, curves[1]) is None
    with pytest.raises(UserInputError, match="different compositions"):
        phase_change(curves[0], equation_of_state(bulk("Ag", a=4.06), EMT()))
