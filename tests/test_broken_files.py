"""Broken and hostile model files end in a clear error within 10 s and 1 GB: no crash, no code run, no other weights.

The ordinary tests take a few mutations of each kind; ``make broken`` takes a thousand for each form of file.
"""

import lzma
import mmap
import os
import signal
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from broken_files import (
    BYTES,
    OTHER,
    REFUSED,
    SAFETENSORS,
    SAME,
    ZIPPED,
    calling,
    open_in_fork,
    with_a_changed_entry,
    zip_bomb,
)

from mlip_lammps.core.errors import MlipError, ModelFileError
from mlip_lammps.families import read_model
from mlip_lammps.families.mace import write_portable
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import Graph, build_graph
from mlip_lammps.testing.structures import rattled_triclinic

FOLDER = Path(__file__).parent / "data" / "mace_torch"
CHECKPOINTS = "mace-0.3.8", "cueq-nonlinear", "cueq-fused"
FEW, MANY = 12, 1000
COUNTS = [pytest.param(FEW, id="few"), pytest.param(MANY, id="all", marks=pytest.mark.broken)]


def same_weights(trained):
    """Return a function that tells whether a file has the spec and the weights of ``trained``."""

    def inspect(path: Path) -> str:
        found = read_model(path)
        is_same = found.spec == trained.spec and found.weights.keys() == trained.weights.keys()
        is_same = is_same and all(np.array_equal(found.weights[name], array) for name, array in trained.weights.items())
        return SAME if is_same else OTHER

    return inspect


def same_results(compiled: Path):
    """Return a function that tells whether a compiled file gives the results of ``compiled``."""
    model = CompiledModel(compiled, n_threads=1)
    graph = build_graph(rattled_triclinic(model.elements, repeat=(2, 2, 2)), model.cutoff)
    expected = model.evaluate(graph).energy

    def inspect(path: Path) -> str:
        found = CompiledModel(path, n_threads=1).evaluate(Graph(**vars(graph))).energy
        return SAME if found == expected else OTHER

    return inspect


def outcomes(content: bytes, mutations, n: int, path: Path, inspect) -> list[tuple[str, str, str]]:
    """Open ``n`` mutations of each file, kind after kind; return (kind, verdict, message) of each."""
    found = []
    for seed in range(n):
        mutation = mutations[seed % len(mutations)]
        path.write_bytes(mutation(content, np.random.default_rng(seed)))
        outcome = open_in_fork(path, inspect, (MlipError,))
        found.append((f"{mutation.__name__} {seed}", outcome.verdict, outcome.message))
    return found


def assert_all(found, allowed: set[str]) -> None:
    wrong = [one for one in found if one[1] not in allowed]
    assert not wrong, f"{Counter(verdict for _, verdict, _ in found)}, for example {wrong[:5]}"
    unclear = [one for one in found if one[1] == REFUSED and ";" not in one[2]]
    assert not unclear, f"messages without a next step, for example {unclear[:3]}"


@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_damaged_checkpoint_is_refused(name, n, tmp_path):
    """A checkpoint that is packed again with another content is another model, and may be read as one."""
    path = tmp_path / "model.model"
    content = lzma.decompress((FOLDER / f"{name}.model.xz").read_bytes())
    path.write_bytes(content)
    inspect = same_weights(read_model(path))
    assert_all(outcomes(content, BYTES, n, path, inspect), {REFUSED, SAME})
    canary = tmp_path / "canary"
    hostile = (*ZIPPED, calling(canary))
    assert_all(outcomes(content, hostile, n, path, inspect), {REFUSED, SAME, OTHER})
    assert_all(outcomes(content, (zip_bomb, calling(canary)), 6, path, inspect), {REFUSED})
    assert not canary.exists()


@pytest.mark.parametrize("n", COUNTS)
def test_a_damaged_portable_file_is_refused(n, trained_models, tmp_path):
    path = tmp_path / "model.safetensors"
    write_portable(trained_models["two_layers"], path)
    found = outcomes(path.read_bytes(), (*BYTES, *SAFETENSORS), n, path, same_weights(trained_models["two_layers"]))
    assert_all(found, {REFUSED, SAME})


@pytest.mark.parametrize("n", COUNTS)
def test_a_damaged_compiled_file_is_refused(n, compile_once, tmp_path):
    path, compiled = tmp_path / "model.pt2", compile_once("two_layers")
    found = outcomes(compiled.read_bytes(), (*BYTES, *ZIPPED), n, path, same_results(compiled))
    assert_all(found, {REFUSED, SAME})


@pytest.mark.parametrize("name", ["compiled", *CHECKPOINTS])
def test_a_changed_table_of_contents_is_refused(name, compile_once, tmp_path):
    path = tmp_path / ("model.pt2" if name == "compiled" else "model.model")
    if name == "compiled":
        compiled = compile_once("two_layers")
        content, inspect = compiled.read_bytes(), same_results(compiled)
    else:
        content = lzma.decompress((FOLDER / f"{name}.model.xz").read_bytes())
        path.write_bytes(content)
        inspect = same_weights(read_model(path))
    found = outcomes(content, (with_a_changed_entry,), 16, path, inspect)
    assert_all(found, {REFUSED, SAME})


def test_the_fork_reports_crashes_memory_and_other_errors(tmp_path):
    """The tests above could not fail if it did not."""

    def crash(path: Path) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return SAME

    def large(path: Path) -> str:
        pages = np.frombuffer(mmap.mmap(-1, 1 << 31), dtype=np.uint8)  # new ones: malloc may have freed some before
        pages[:] = 1
        return SAME

    def other(path: Path) -> str:
        raise KeyError("name")

    def refuse(path: Path) -> str:
        raise ModelFileError("wrong; copy it again")

    verdicts = [open_in_fork(tmp_path, one, (MlipError,)).verdict for one in (crash, large, other, refuse)]
    assert verdicts == ["crash", "memory", "KeyError", REFUSED]


def test_a_portable_file_with_other_weights_is_refused(trained_models, tmp_path):
    path = tmp_path / "model.safetensors"
    write_portable(trained_models["two_layers"], path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ModelFileError, match="does not match its checksum; copy the model again"):
        read_model(path)


def test_a_compiled_file_whose_programs_were_exchanged_is_refused(compile_once, tmp_path):
    """With the right checksums of the zip format: the list in the file tells which program has which name."""
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(compile_once("two_layers")) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    one, two = [name for name in members if name.endswith(".so") and ("forward_1/" in name or "last/" in name)]
    members[one], members[two] = members[two], members[one]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ModelFileError, match=r"wrong checksum of .*; copy it again, or make it again"):
        CompiledModel(path)
