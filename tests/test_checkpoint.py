"""Reading model files: no code runs, no tensor is read beyond its storage, and the portable format is exact."""

import dataclasses
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families import read_model
from mlip_lammps.families.checkpoints.archive import TorchArchive
from mlip_lammps.families.mace import write_portable
from mlip_lammps.families.mace.reader.validation import check_model
from mlip_lammps.testing.random_models import RESIDUAL, random_model

MODELS = {
    "plain": {},
    "one_layer": {"n_layers": 1, "correlation": 1, "hidden_irreps": "4x0e"},
    "high": {"l_max": 3, "correlation": 3, "hidden_irreps": "4x0e+4x1o+4x2e", "n_layers": 3, "interaction": RESIDUAL},
    "odd": {"hidden_irreps": "4x0e+4x0o+4x1o+4x1e", "cutoff_on": "weights", "model_class": "MACE"},
    "tanh": {"gate": "tanh", "heads": ("pbe", "scan")},
    "biased": {"has_biased_readout": True, "heads": ("pbe", "scan")},
    "last_readout": {"has_last_readout_only": True, "n_layers": 3, "hidden_irreps": "4x0e"},
    "single": {"dtype": "float32", "elements": ("C", "O", "H", "N")},
}


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_the_portable_format_round_trip_is_exact(tmp_path, options):
    model = random_model(**options, seed=4)
    coupling = next(name for name in model.weights if ".U_matrix_" in name)
    model.weights[coupling].reshape(-1)[0] = -0.0
    write_portable(model, tmp_path / "model.safetensors")
    again = read_model(tmp_path / "model.safetensors")
    assert again.spec == model.spec
    assert (again.source_sha256, again.source_name) == (model.source_sha256, model.source_name)
    assert again.weights.keys() == model.weights.keys()
    for name, array in model.weights.items():
        assert (again.weights[name].shape, again.weights[name].dtype) == (array.shape, array.dtype)
        assert again.weights[name].tobytes() == array.tobytes()


def test_a_portable_32_channel_model_is_smaller_than_two_megabytes(tmp_path):
    sizes = {"n_basis": 8, "radial_widths": (64, 64, 64), "readout_irreps": "16x0e"}
    model = random_model(hidden_irreps="32x0e+32x1o", l_max=3, correlation=3, **sizes)
    write_portable(model, tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_size < 2_000_000


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_permissions_of_a_portable_file_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_portable(random_model(), tmp_path / "model.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == mode


def test_reading_does_not_import_torch(tmp_path):
    write_portable(random_model(), tmp_path / "model.safetensors")
    _torch_file(tmp_path / "file.model", b"\x80\x02]q\x00.")
    code = (
        "import sys\nfrom mlip_lammps.families import read_model\n"
        f"read_model({str(tmp_path / 'model.safetensors')!r})\n"
        f"try: read_model({str(tmp_path / 'file.model')!r})\n"
        "except Exception: pass\n"
        "assert not {'torch', 'e3nn', 'mace'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(__file__).parents[1])


def _torch_file(path: Path, pickled: bytes, storages: dict[str, bytes] | None = None, compression: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, content in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", content)
    return path


def _value(value: object) -> bytes:
    """Return the opcodes of a plain value."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_value, value)) + b"t"
    if isinstance(value, str):
        text = value.encode()
        return b"X" + len(text).to_bytes(4, "little") + text
    return b"I%d\n" % value


def _call(name: str, *args: object) -> bytes:
    module, _, attribute = name.rpartition(".")
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n" + _value(args) + b"R"


def _module(name: str, state: bytes) -> bytes:
    module, _, attribute = name.rpartition(".")
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n)\x81}(X\x08\x00\x00\x00_modules" + state + b"ub"


HOSTILE = [
    "os.system", "posix.system", "nt.system", "subprocess.Popen", "subprocess.check_output", "builtins.eval",
    "__builtin__.eval", "builtins.exec", "builtins.getattr", "__builtin__.getattr", "builtins.open",
    "builtins.__import__", "functools.partial", "operator.attrgetter", "operator.methodcaller",
    "copyreg._reconstructor", "copy_reg._reconstructor", "importlib.import_module", "runpy._run_code", "pickle.loads",
    "torch.load",
    "torch.storage._load_from_bytes", "torch.jit.load", "torch.hub.load", "torch.fx.graph_module._exec_with_source",
    "torch.utils.collect_env.run", "numpy.load", "numpy.testing._private.utils.runstring", "mace.tools.utils.os.system",
    "e3nn.util.jit.compile", "sys.exit", "socket.create_connection", "webbrowser.open", "types.CodeType",
    "torch.nn.functional.silu.__globals__", "mlip_lammps.families.mace.reader.read_model",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("where", ["root", "state", "argument", "graph_module", "stack_global", "instance"])
def test_malicious_names_are_refused_and_not_run(tmp_path, name, where):
    marker = tmp_path / "ran"
    call = _call(name, f"touch {marker}")
    module, _, attribute = name.rpartition(".")
    pickled = {
        "root": call,
        "state": _module("mace.modules.models.MACE", call),
        "argument": _call("torch._utils._rebuild_parameter", call, 0, ()),
        "graph_module": _call("torch.fx.graph_module.reduce_graph_module", call, "import os"),
        "stack_global": _value(module) + _value(attribute) + b"\x93" + _value((f"touch {marker}",)) + b"R",
        "instance": b"(" + _value(f"touch {marker}") + b"i" + module.encode() + b"\n" + attribute.encode() + b"\n",
    }[where]
    path = _torch_file(tmp_path / "hostile.model", b"\x80\x02" + pickled + b".")
    with pytest.raises(UnsupportedModelError) as refusal:
        read_model(path)
    assert name in str(refusal.value)
    assert not marker.exists()


def test_the_state_of_a_mapping_is_ignored(tmp_path):
    pickled = b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsI1\nsb."
    with pytest.raises(ModelFileError, match="weights without a model"):
        read_model(_torch_file(tmp_path / "state.model", pickled))


SMALL_TENSOR = _value(("storage", b"ctorch\nDoubleStorage\n", "0", "cpu", 6)) + b"Q"


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (7,), (1,)),
        (6, (1,), (1,)),
        (0, (2, 3), (4, 1)),
        (3, (2, 2), (3, 1)),
        (0, (2,), (6,)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (-2,), (1,)),
        (0, (2**40,), (0,)),
        (0, (7,), (0,)),
        (2**47, (1,), (1,)),
        (0, (2, 3), (1,)),
        (0, (2**30, 2**30), (2**30, 1)),
    ],
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, offset, size, stride):
    pickled = _call("torch._utils._rebuild_tensor_v2", SMALL_TENSOR, offset, size, stride, 0, ())
    path = _torch_file(tmp_path / "tensor.model", b"\x80\x02" + pickled + b".", {"0": bytes(48)})
    with TorchArchive(path, frozenset()) as archive, pytest.raises(ModelFileError, match="weight"):
        archive.array(archive.root(), "weight")


@pytest.mark.parametrize("content", [bytes(47), b""])
def test_storages_that_are_too_short_are_refused(tmp_path, content):
    pickled = _call("torch._utils._rebuild_tensor_v2", SMALL_TENSOR, 0, (1,), (1,), 0, ())
    path = _torch_file(tmp_path / "tensor.model", b"\x80\x02" + pickled + b".", {"0": content})
    with TorchArchive(path, frozenset()) as archive, pytest.raises(ModelFileError, match="bytes"):
        archive.array(archive.root(), "weight")


def test_tensors_of_every_layout_are_read_as_torch_reads_them(tmp_path):
    base = torch.arange(60, dtype=torch.float64).reshape(3, 4, 5)
    tensors = {
        "contiguous": base,
        "transposed": base.permute(2, 0, 1),
        "slice": base[1:, ::2, 1:4],
        "column": base[:, 2, 3],
        "scalar": base[1, 1, 1],
        "empty": torch.zeros(0, 3),
        "single": torch.randn(4, 3).t(),
        "integers": torch.arange(7)[2:],
        "int32": torch.arange(4, dtype=torch.int32),
        "flags": torch.tensor([True, False, True]),
        "parameter": torch.nn.Parameter(torch.randn(5)),
    }
    torch.save(tensors, tmp_path / "tensors.pt")
    with TorchArchive(tmp_path / "tensors.pt", frozenset()) as archive:
        root = archive.root()
        for name, tensor in tensors.items():
            expected, found = tensor.detach().numpy(), archive.array(root[name], name)
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            np.testing.assert_array_equal(found, expected)


BROKEN_PICKLES = [
    b"", b".", b"\x80\x02", b"\x80\x02.", b"\x80\x02t.", b"\x80\x02R.", b"\x80\x02b.", b"\x80\x02u.", b"\x80\x02)R.",
    b"\x80\x02h\x05.", b"\x80\x02}(]K\x01u.", b"\x80\x02}}K\x01s.", b"\x80\x02X\xff\xff\xff\x7fa.", b"\x80\x02K\x01Q.",
    b"\x80\x02K\x01K\x02.", b"\x80\x05\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", b"\x80\x02\x82\x01.", b"\xff\xfe",
    b"\x80\x02\x85.", b"\x80\x02(K\x01\x81.", b"\x80\x02]2.", b"\x80\x02P0\n.",
]  # fmt: skip


@pytest.mark.parametrize("pickled", BROKEN_PICKLES)
def test_broken_pickles_are_refused(tmp_path, pickled):
    with pytest.raises(ModelFileError):
        read_model(_torch_file(tmp_path / "broken.model", pickled))


def test_exponentially_nested_tuples_are_refused_immediately(tmp_path):
    nested = b"\x80\x02)q\x00" + b"".join(b"h%ch%c\x86q%c0" % (n, n, n + 1) for n in range(100))
    with pytest.raises(ModelFileError):
        read_model(_torch_file(tmp_path / "bomb.model", nested.replace(b"0", b"") + b"}hd" + b"K\x01s."))


def test_compressed_entries_are_refused(tmp_path):
    path = _torch_file(tmp_path / "bomb.model", b"\x80\x02]." + bytes(10**6), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFileError, match="compressed"):
        read_model(path)


def _zip(entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"H", "is not a model file"),
        (b"LAMMPS data file\n" * 50, "is not a model file"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "before version 1.6"),
        (b"PK\x03\x04" + bytes(100), "truncated"),
        (_zip({"notes.txt": b"hello"}), "torch.save did not write.*; give"),
        (_zip({"a/data.pkl": b"", "a/constants.pkl": b"", "a/code/__torch__.py": b""}), "TorchScript"),
        (_zip({"a/data.pkl": b"\x80\x02K\x05."}), "contains a int, expected a model"),
    ],
)
def test_other_files_are_refused_with_the_next_step(tmp_path, content, words):
    path = tmp_path / "file.model"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=words) as refusal:
        read_model(path)
    assert "give" in str(refusal.value) or "again" in str(refusal.value)


def test_missing_files_and_directories_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match="there is no file"):
        read_model(tmp_path / "none.model")
    with pytest.raises(ModelFileError, match="is a folder without a model"):
        read_model(tmp_path)


def test_a_readout_without_scalars_is_refused():
    """mace-torch keeps the first irrep of the last layer, here vectors."""
    with pytest.raises(UnsupportedModelError, match=r"layer 2 of .* has the features 8x1o, without scalars"):
        check_model(random_model(hidden_irreps="8x1o+8x0e"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": ("pbe", "pbe")}, "a head twice in pbe pbe; .* correct the model"),
        ({"elements": ("O", "O")}, "an atomic number twice in 8 8"),
    ],
    ids=["heads", "elements"],
)
def test_an_invalid_value_is_shown(options, words):
    with pytest.raises(ModelFileError, match=words):
        check_model(random_model(**options))


class OwnModel(torch.nn.Module):
    """Class of a user, outside mace-torch."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.nn.functional.relu, r"function relu \(torch.nn.functional.relu\).* gate silu, tanh, abs or None"),
        (torch.nn.functional.gelu, "activation function gelu"),
        (torch.optim.swa_utils.AveragedModel(torch.nn.Linear(1, 1)), "average of a training .* averaged.module"),
        (OwnModel(), r"OwnModel, which no supported .*model.__class__ = ScaleShiftMACE"),
    ],
    ids=["relu", "gelu", "average", "own class"],
)
def test_what_a_user_can_change_is_refused_with_the_way(tmp_path, content, words):
    torch.save(content, tmp_path / "some.model")
    with pytest.raises(UnsupportedModelError, match=words):
        read_model(tmp_path / "some.model")


def test_a_state_dict_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ModelFileError, match="weights without a model"):
        read_model(tmp_path / "weights.pt")


def test_a_module_that_is_not_mace_is_refused_by_name(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "linear.model")
    with pytest.raises(UnsupportedModelError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_model(tmp_path / "linear.model")


def _rewritten(tmp_path: Path, change) -> Path:
    """Return a portable file with a header or tensors changed by ``change``."""
    path = tmp_path / "model.safetensors"
    write_portable(random_model(), path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])["__metadata__"]
    header.pop("content_sha256")  # as in files of version 0.1.0: what follows must find the fault
    tensors = load_file(path)
    change(header, tensors)
    save_file(tensors, path, metadata=header)
    return path


def _drop(name):
    return lambda header, tensors: tensors.pop(name)


def _cut(name):
    return lambda header, tensors: tensors.__setitem__(name, tensors[name].reshape(-1)[:-1].copy())


def _set(name, value):
    return lambda header, tensors: header.__setitem__(name, value)


def _set_spec(**changes):
    def change(header, tensors):
        header["spec"] = json.dumps(json.loads(header["spec"]) | changes)

    return change


def _move_places(header, tensors):
    name = next(name for name in tensors if name.endswith(".places"))
    tensors[name] = tensors[name] + 10**6


def _poison(header, tensors):
    tensors["node_embedding.linear.weight"][0] = np.nan


def _widen_couplings(header, tensors):
    couplings = json.loads(header["couplings"])
    next(iter(couplings.values()))["shape"] = [10**6, 10**6, 10**6]
    header["couplings"] = json.dumps(couplings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_drop("node_embedding.linear.weight"), "lacks the weight node_embedding"),
        (_cut("interactions.1.linear.weight"), "interactions.1.linear.weight .* shape"),
        (_set("format", "other"), "with format .other., expected"),
        (_set("format_version", "3"), "version 3"),
        (_set("spec", "{"), "header .* damaged"),
        (_set("spec", "[]"), "header .* damaged"),
        (_set("couplings", "{}"), "lacks the weight products"),
        (_set_spec(cutoff=-1.0), "cutoff"),
        (_set_spec(cutoff="4"), "header .* damaged"),
        (_set_spec(irreps_embedding="8x9z"), "not an irrep"),
        (_set_spec(atomic_numbers=[1, 1]), "twice"),
        (_set_spec(layers=[{}]), "header .* damaged"),
        (_set("spec", "[" * 10**5), "header .* damaged"),
        (_set_spec(unknown=1), "header .* damaged"),
        (_set_spec(layers=[]), "layers"),
        (_move_places, "places"),
        (_widen_couplings, "shape"),
        (_poison, "not finite"),
    ],
)
def test_damaged_portable_files_are_refused(tmp_path, change, words):
    with pytest.raises(ModelFileError, match=words):
        read_model(_rewritten(tmp_path, change))


def test_a_truncated_portable_file_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    write_portable(random_model(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="damaged"):
        read_model(path)


def test_weights_keep_the_precision_that_they_have(tmp_path):
    model, name = random_model(dtype="float32"), "atomic_energies_fn.atomic_energies"
    energies = np.array([[-13.587222780835477, -2041.839621]])
    mixed = dataclasses.replace(model, weights=model.weights | {name: energies})
    write_portable(mixed, tmp_path / "model.safetensors")
    again = read_model(tmp_path / "model.safetensors")
    assert again.dtype == "float32"
    assert again.weights[name].tobytes() == energies.tobytes()


def test_weights_of_half_precision_are_refused(tmp_path):
    model, name = random_model(), "products.0.linear.weight"
    half = dataclasses.replace(model, weights=model.weights | {name: model.weights[name].astype(np.float16)})
    with pytest.raises(ModelFileError, match=f"{name} .* float16, expected float32 or float64"):
        write_portable(half, tmp_path / "model.safetensors")


def test_portable_files_of_version_1_are_read(tmp_path):
    read_model(_rewritten(tmp_path, _set("format_version", "1")))
