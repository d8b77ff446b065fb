"""Files that are no supported model: they are named for what they are, and ``info`` says what is missing."""

import io
import json
import pickle
import subprocess
import sys
import zipfile

import pytest

from mlip_lammps.cli.main import EXIT_USER_INPUT, main
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError, UserInputError
from mlip_lammps.families import read_model
from mlip_lammps.families.mace import write_portable
from mlip_lammps.testing.random_models import random_model


def _zip(entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _torchscript(source: str, **extra: bytes) -> bytes:
    """Return an archive of ``torch.jit.save`` with one source file."""
    files = {"a/data.pkl": b"", "a/constants.pkl": b"", f"a/code/__torch__/{source}": b""}
    return _zip(files | {f"a/extra/{name}": content for name, content in extra.items()})


def _dictionary(content: dict) -> bytes:
    return _zip({"a/data.pkl": pickle.dumps(content, protocol=2)})


def _instance(name: str) -> bytes:
    """Return a file of ``torch.save`` with an object of the class ``name``."""
    module, _, class_name = name.rpartition(".")
    return _zip({"a/data.pkl": b"\x80\x02c" + f"{module}\n{class_name}\n".encode() + b")\x81."})


FILES = {
    "mace_torchscript": (_torchscript("mace/modules/models.py"), "TorchScript archive of a MACE model"),
    "nequip_torchscript": (
        _torchscript("nequip/nn/_graph_model.py", nequip_version=b"0.6.1"),
        r"file of NequIP 0\.6\.1 \(TorchScript archive\)",
    ),
    "other_torchscript": (_torchscript("other.py"), "does not contain the model's Python modules"),
    "m3gnet": (_dictionary({"model": {"@module": "matgl.models._m3gnet"}}), "file of MatGL"),
    "chgnet": (_dictionary({"model": {"state_dict": {}, "model_args": {}}}), "file of CHGNet"),
    "alignn": (_dictionary({"model": {"alignn_layers.0.weight": 0}}), "file of ALIGNN"),
    "deepmd": (
        _dictionary({"model": {"model.Default.atomic_model.descriptor.sea.mean": 0}}),
        "file of DeePMD-kit.*runs beside mlip/torch",
    ),
    "mace_state": (_dictionary({"interactions.0.linear.weight": 0}), "weights without a model.*--restart_latest"),
    "mace_checkpoint": (_dictionary({"model": {"interactions.0.linear.weight": 0}}), "--restart_latest"),
    "other_state": (_dictionary({"fc.weight": 0}), "names are those of no architecture"),
    "nequip_pickle": (_instance("nequip.nn.GraphModel"), "file of NequIP"),
    "sevennet_pickle": (_instance("sevenn.nn.sequential.AtomGraphSequential"), "file of SevenNet"),
    "polar": (_instance("mace.modules.extensions.PolarMACE"), "PolarMACE.*long-range electrostatics"),
    "magnetic": (_instance("mace.modules.models.MagneticMACE"), "magnetic moments as an input"),
    "dipoles": (_instance("mace.modules.models.AtomicDipolesMACE"), "AtomicDipolesMACE.*no energy"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_other_programs_and_models_are_named(tmp_path, name):
    content, words = FILES[name]
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    with pytest.raises((ModelFileError, UnsupportedModelError), match=words):
        read_model(path)


@pytest.mark.parametrize("name", FILES)
def test_info_answers_no_with_the_reason(tmp_path, capsys, name):
    content, _words = FILES[name]
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    with pytest.raises(UserInputError) as refusal:
        read_model(path)
    assert main(["info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["supported"], facts["reason"]) == (False, str(refusal.value))
    assert main(["info", str(path)]) == 0
    assert capsys.readouterr().out.split()[:2] == ["supported", "no"]


@pytest.mark.parametrize(
    ("archive", "model"),
    [
        ("water_compiled.model", "water.model"),
        ("water_compiled.model", "water_stagetwo.model"),
        ("water.model-lammps.pt", "water.model"),
    ],
)
def test_a_torchscript_archive_points_to_the_model_beside_it(tmp_path, archive, model):
    (tmp_path / archive).write_bytes(_torchscript("mace/modules/models.py"))
    (tmp_path / model).write_bytes(b"")
    with pytest.raises(ModelFileError, match=f"probably .*/{model}$"):
        read_model(tmp_path / archive)


@pytest.mark.parametrize("archive", ["water_compiled.model", "water.model-lammps.pt"])
def test_a_torchscript_archive_alone_names_the_usual_file(tmp_path, archive):
    (tmp_path / archive).write_bytes(_torchscript("mace/modules/models.py"))
    with pytest.raises(ModelFileError, match=r"usually water\.model in the same folder"):
        read_model(tmp_path / archive)


def test_info_answers_yes_for_a_supported_model(tmp_path, capsys):
    write_portable(random_model(("H", "O")), tmp_path / "model.safetensors")
    assert main(["info", str(tmp_path / "model.safetensors"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["supported"] is True
    assert (facts["family"], facts["elements"], facts["heads"], facts["dtype"]) == (
        "mace", ["H", "O"], ["Default"], "float64",
    )  # fmt: skip
    assert main(["info", str(tmp_path / "model.safetensors")]) == 0
    assert capsys.readouterr().out.split()[:2] == ["supported", "yes"]


def test_info_of_a_missing_file_is_an_error(tmp_path, capsys):
    assert main(["info", str(tmp_path / "none.model")]) == EXIT_USER_INPUT
    assert "there is no file" in capsys.readouterr().err


def test_info_does_not_import_torch(tmp_path):
    write_portable(random_model(), tmp_path / "model.safetensors")
    program = (
        "import sys; from mlip_lammps.cli.main import main; "
        f"main(['info', {str(tmp_path / 'model.safetensors')!r}]); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True, stdout=subprocess.DEVNULL)
