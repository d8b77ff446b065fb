"""Files of several versions of mace-torch: each is read, and gives the energies and forces of that very version.

``tests/data/mace_torch/make.py`` wrote them. Files converted for cuEquivariance and OpenEquivariance are those of
``make_converted.py`` and ``make_openequivariance.py``, with the results of the models before their conversion.
"""

import lzma
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms

from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families import family_of, read_model, select_head
from mlip_lammps.families.checkpoints import pickle_reader
from mlip_lammps.families.checkpoints.pickle_reader import Opcodes, Record
from mlip_lammps.families.mace.reader import cuequivariance
from mlip_lammps.families.mace.reader.inspection import inspect_mace_torch
from mlip_lammps.families.mace.reader.module import Module
from mlip_lammps.testing import tolerances

FOLDER = Path(__file__).parent / "data" / "mace_torch"
VERSIONS = {
    "0.3.6": "mace-torch 0.3.0 to 0.3.6",
    "0.3.8": "mace-torch 0.3.7 to 0.3.8",
    "0.3.10": "mace-torch 0.3.9 to 0.3.12",
    "0.3.16": "mace-torch 0.3.15 or newer",
}
HEADS = {"0.3.10": "two"}
CONVERTED = ("cueq-residual", "cueq-nonlinear", "cueq-fused", "oeq-residual")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("versions")
    paths = {version: folder / f"mace-{version}.model" for version in VERSIONS}
    paths |= {name: folder / f"{name}.model" for name in CONVERTED}
    for path in paths.values():
        path.write_bytes(lzma.decompress((FOLDER / f"{path.name}.xz").read_bytes()))
    return paths


def structures(version: str) -> list[tuple[Atoms, float, np.ndarray]]:
    """Return structures with the energies and forces that this version computed."""
    name = version if version in CONVERTED else f"mace-{version}"
    with np.load(FOLDER / f"{name}.npz") as stored:
        found = []
        for k in range(2):
            given = {name: stored[f"{k}.{name}"] for name in ("numbers", "positions", "cell", "pbc")}
            found.append((Atoms(**given), float(stored[f"{k}.energy"]), stored[f"{k}.forces"]))
        return found


def assert_equal(version: str, atoms: Atoms, energy: float, forces: np.ndarray, expected: tuple, factor: float = 1):
    assert abs(energy - expected[0]) <= factor * tolerances.REFERENCE_ENERGY_PER_ATOM * len(atoms), version
    scale = max(1.0, np.abs(expected[1]).max())
    assert np.abs(forces - expected[1]).max() <= factor * tolerances.REFERENCE_FORCE * scale, version


@pytest.mark.parametrize("version", VERSIONS)
def test_the_reference_gives_the_results_of_the_version_that_saved_the_file(version, files):
    trained = select_head(read_model(files[version]), HEADS.get(version))
    reference = family_of(trained).reference(trained)
    for atoms, *expected in structures(version):
        found = reference.evaluate(atoms)
        assert_equal(version, atoms, found.energy, found.forces, expected)


@pytest.mark.parametrize("name", CONVERTED)
def test_a_converted_file_is_the_model_before(name, files):
    trained = read_model(files[name])
    reference = family_of(trained).reference(trained)
    for atoms, energy, forces in structures(name):
        found = reference.evaluate(atoms)
        assert abs(found.energy - energy) <= 1e-12 * abs(energy)
        assert np.abs(found.forces - forces).max() <= 1e-12 * max(1.0, np.abs(forces).max())


@pytest.mark.parametrize(
    ("layout", "optimised", "is_refused"),
    [
        ("ir_mul", ["symmetric"], True),
        ("ir_mul", ["symmetric", "linear", "fctp"], True),
        ("ir_mul", ["symmetric", "linear", "fctp", "channelwise"], False),
        ("ir_mul", ["all"], False),
        ("mul_ir", ["symmetric"], False),
    ],
)
def test_a_product_of_another_layout_than_its_features_is_refused(layout, optimised, is_refused):
    """mace-torch itself computes energies that change with the orientation."""
    config = Record("CuEquivarianceConfig", (), {"layout_str": layout} | {f"optimize_{one}": True for one in optimised})
    record = Record("EquivariantProductBasisBlock", (), {"cueq_config": config})
    product = Module(record, SimpleNamespace(name="some.model"), "products.0")
    with pytest.raises(UnsupportedModelError, match=r"layout ir_mul .* not converted") if is_refused else nullcontext():
        cuequivariance.require_one_layout(product)


@pytest.mark.parametrize("name", ["cueq-residual", "cueq-nonlinear", "cueq-fused"])
def test_a_converted_file_with_other_couplings_is_refused(name, files, monkeypatch):
    """Terms are data of the file, so their form is checked: irreps of another group have couplings of other signs."""
    monkeypatch.setattr(cuequivariance, "_GROUP", "cuequivariance.SO3")
    with pytest.raises(UnsupportedModelError, match=r"irreps of the group .*O3_e3nn, expected"):
        read_model(files[name])
    monkeypatch.undo()
    plain = cuequivariance._array
    monkeypatch.setattr(cuequivariance, "_array", lambda record: 1.1 * plain(record))
    with pytest.raises((UnsupportedModelError, ModelFileError), match=r"not e3nn's|is not one of cuEq"):
        read_model(files[name])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("shared_weights", True, "has shared_weights True, expected False; convert the model with mace-torch"),
        ("layout", "ir_mul", "has layout ir_mul, expected mul_ir"),
        ("irreps_in2", None, "irreps_in2 .* does not contain irreps"),
    ],
)
def test_a_convolution_of_openequivariance_with_other_settings_is_refused(name, value, message, files, monkeypatch):
    plain = Opcodes._build

    def build(vm):
        target, state = vm._stack[-2], vm._stack[-1]
        if getattr(target, "name", "").endswith(".TPProblem"):
            state[name] = value
        plain(vm)

    monkeypatch.setitem(pickle_reader._ACTIONS, "BUILD", lambda vm, _: build(vm))
    with pytest.raises((UnsupportedModelError, ModelFileError), match=message):
        read_model(files["oeq-residual"])


@pytest.mark.parametrize("version", VERSIONS)
def test_info_names_the_version_that_saved_the_file(version, files):
    assert inspect_mace_torch(files[version])["made_by"] == VERSIONS[version]


@pytest.mark.parametrize("version", ["0.3.8", "0.3.16", "cueq-residual"])
def test_the_calculator_gives_the_results_of_the_version_that_saved_the_file(version, files):
    calculator = MlipCalculator(compiled_model(files[version], dtype="float64"))
    for atoms, *expected in structures(version):
        atoms.calc = calculator
        found = atoms.get_potential_energy(), atoms.get_forces()
        assert_equal(version, atoms, *found, expected, tolerances.TABLE_REFERENCE / tolerances.REFERENCE_FORCE)
