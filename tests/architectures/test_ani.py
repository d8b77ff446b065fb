"""ANI potentials: read as data, equal to TorchANI, and the same in LAMMPS on several ranks."""


import numpy as np
import pytest
import torch
from ani_files import CASES, FOLDER, file_of, numbers_of, write_neurochem, write_state_dict
from ase import Atoms
from package_files import assert_equals_package, assert_lammps_equals, reading_imports_torch, stored_results

from mlip_lammps.cli.main import main
from mlip_lammps.compilation import compiled_model, export_model
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import family_of, read_model
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

SYMBOLS = ("H", "C", "O")
STRUCTURES = {
    "triclinic": rattled_triclinic(SYMBOLS, repeat=(2, 3, 4), seed=2),
    "molecule in a corner": isolated_molecule(SYMBOLS),
    "no angles": Atoms("HOHC", positions=[[1, 1, 1], [2.5, 1, 1], [9, 9, 9], [10, 10, 9]], cell=[20] * 3, pbc=True),
    "one atom": Atoms("O", positions=[[1, 1, 1]], cell=[20, 20, 20], pbc=True),
}


def results_of_torchani(case):
    """Return the structures and what TorchANI computed for them (``tests/peer/ani_models.py``)."""
    return stored_results(FOLDER / f"{case}.npz")


@pytest.fixture(scope="module")
def reference():
    trained = read_model(FOLDER / "gelu.pt")
    return family_of(trained).reference(trained)


@pytest.fixture(scope="module")
def compiled():
    return compiled_model(FOLDER / "gelu.pt", dtype="float64")


@pytest.mark.parametrize("case", CASES)
def test_the_reference_gives_the_results_of_torchani(case, tmp_path):
    trained = read_model(file_of(case, tmp_path))
    assert family_of(trained).name == "ani"
    reference = family_of(trained).reference(trained)
    for atoms, expected in results_of_torchani(case):
        assert_equals_package(reference.evaluate(atoms), atoms, expected)


def test_a_compiled_file_gives_the_results_of_torchani(compiled):
    for atoms, expected in results_of_torchani("gelu"):
        atoms.calc = MlipCalculator(compiled, n_threads=1)
        assert_energies_agree(
            atoms.get_potential_energy(), expected["energy"], len(atoms), tolerances.PACKAGE_ENERGY_PER_ATOM
        )
        limit = tolerances.PACKAGE_FORCE * np.abs(expected["forces"]).max()
        assert_forces_agree(atoms.get_forces(), expected["forces"], limit)


@pytest.mark.parametrize("dtype", ["float64", "float32", "mixed"])
def test_an_ensemble_of_the_size_of_ani_passes_the_check_of_the_export(dtype, tmp_path):
    export_model(file_of("ani2x", tmp_path), tmp_path / "ani.pt2", dtype=dtype, elements=["O", "H"])
    assert read_metadata(tmp_path / "ani.pt2")["members"] == 2


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_compiled_file_equals_the_reference(name, compiled, reference):
    model = CompiledModel(compiled, n_threads=1)
    expected = reference.evaluate(STRUCTURES[name])
    found = model.evaluate(build_graph(STRUCTURES[name], model.cutoff))
    scale = max(1.0, np.abs(expected.edge_gradients).max(initial=0.0))
    np.testing.assert_allclose(found.node_energies, expected.node_energies, rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(
        found.edge_gradients, expected.edge_gradients, rtol=0, atol=scale * tolerances.REFERENCE_FORCE
    )


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(n_ranks, compiled, reference):
    assert_lammps_equals(reference, STRUCTURES, compiled, n_ranks)


def test_only_active_members_are_read():
    """The file has three members, and [0, 2] are active."""
    assert read_model(FOLDER / "gelu.pt").spec.n_members == 2


def test_info_names_the_settings(tmp_path, capsys):
    assert main(["info", str(file_of("ani2xr", tmp_path))]) == 0
    found = capsys.readouterr().out
    rows = dict(line.split(maxsplit=1) for line in found.splitlines() if " " in line)
    assert (rows["supported"], rows["family"], rows["elements"]) == ("yes", "ani", "H C N O S F Cl")
    assert (rows["settings"], rows["activation"], rows["repulsion"]) == ("those of ANI-2xr", "gelu", "GFN-xTB")
    assert "smooth of order 2" in rows["cutoff_function"]


def test_reading_does_not_import_torch():
    assert not reading_imports_torch(FOLDER / "gelu.pt")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"potentials.nnp.aev_computer.radial.eta": [17.0]}, UnsupportedModelError, "another model than ANI-1x or ANI"),
        ({"potentials.dispersion_d3.sqrt_q": [1.0]}, UnsupportedModelError, "D3 dispersion correction"),
        ({"potentials.nnp.charge_networks.H": [1.0]}, UnsupportedModelError, "the array potentials.nnp.charge_netw"),
        ({"potentials.nnp.aev_computer.radial.eta": None}, ModelFileError, "lacks the array eta"),
        ({"energy_shifter.self_energies": [1.0]}, ModelFileError, r"1 self energies, expected different elements"),
        ({"energy_shifter.self_energies": [1.0, np.nan, 1.0, 1.0]}, ModelFileError, "lacks finite shifts"),
    ],
)
def test_a_damaged_or_unknown_state_dict_is_refused(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        read_model(write_state_dict(tmp_path / "ani.pt", "ani1x", **changes))


def test_the_settings_of_another_architecture_are_not_guessed(tmp_path):
    """Without biases the activation function is not that of ANI-1x."""
    changes = {name: None for name in numbers_of("ani1x") if name.endswith(".bias")}
    with pytest.raises(UnsupportedModelError, match=r"neither the activation function .* torch.save\(model, path\)"):
        read_model(write_state_dict(tmp_path / "ani.pt", "ani1x", **changes))


def test_a_torchscript_file_is_refused(tmp_path):
    class Model(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    Model.__module__ = "torchani.arch"
    torch.jit.save(torch.jit.script(Model()), tmp_path / "ani.pt")
    with pytest.raises(ModelFileError, match="TorchScript archive"):
        read_model(tmp_path / "ani.pt")


@pytest.mark.parametrize(
    ("name", "before", "after", "error", "message"),
    [
        ("ani.info", b"ani/train", b"ani/other", ModelFileError, "ANN-H.nnf cannot be read .* copy all files"),
        ("ani.info", b"\n2\n", b"\nmany\n", ModelFileError, "and the number of members"),
        ("ani/sae_linfit.dat", b"O,3=", b"S,3=", ModelFileError, "no self energy of O"),
        ("ani/rHCNO.params", b"EtaR", b"EtaX", ModelFileError, "lacks EtaR"),
        ("ani/rHCNO.params", b"4.0000000e+00]", b"4.0,8.0]", UnsupportedModelError, "several values of EtaR"),
        ("ani/train0/networks/ANN-H.nnf", b"BZh", b"BZx", ModelFileError, "has no compressed text"),
        ("ani/train1/networks/ANN-O-l0.bparam", b"", b"....", ModelFileError, "bytes, expected 8 numbers of float32"),
    ],
)
def test_a_damaged_neurochem_potential_is_refused(tmp_path, name, before, after, error, message):
    info = write_neurochem(tmp_path)
    content = (tmp_path / name).read_bytes()
    assert before in content
    (tmp_path / name).write_bytes(content.replace(before, after, 1))
    with pytest.raises(error, match=message):
        read_model(info)
