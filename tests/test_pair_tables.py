"""Files for many elements make tables for the pairs of a run, and give the energies of files for few elements."""

import pytest
import torch
from lammps_files import with_metadata

from mlip_lammps.compilation import export_model
from mlip_lammps.core.errors import MlipError
from mlip_lammps.engines.lammps.session import LammpsSession
from mlip_lammps.families.mace import MaceReference, lower, write_portable
from mlip_lammps.kernels.cpu.neighbour_sums import SLOPE_TOLERANCES
from mlip_lammps.kernels.pair_tables import PairKinds, pair_table
from mlip_lammps.kernels.torch.radial import radial_weights
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.random_models import DENSITY, DENSITY_RESIDUAL, NON_LINEAR, random_model
from mlip_lammps.testing.structures import rattled_triclinic
from mlip_lammps.verify.verify import _compared_elements, find_subject, verify_model

MANY = tuple(range(1, 31))
FEW = ("Si", "O", "Ni")
OPTIONS = {
    "density": {"interaction": (DENSITY, DENSITY_RESIDUAL)},
    "nonlinear": {"interaction": NON_LINEAR, "cutoff_on": "weights", "edge_irreps": "4x0e+4x1o"},
}


def model_of(kind: str):
    return random_model(MANY, "4x0e+4x1o", l_max=1, n_layers=2, distance_transform="Agnesi", seed=5, **OPTIONS[kind])


@pytest.fixture(scope="module", params=list(OPTIONS))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def every(kind, tmp_path_factory):
    """Return the file for all elements; the portable file is beside it."""
    folder = tmp_path_factory.mktemp(kind)
    write_portable(model_of(kind), folder / "model.safetensors")
    export_model(folder / "model.safetensors", folder / "all.pt2", dtype="float64")
    return folder / "all.pt2"


@pytest.fixture(scope="module")
def few(every):
    """Return the file for a few elements."""
    path = every.with_name("few.pt2")
    export_model(every.with_name("model.safetensors"), path, dtype="float64", elements=FEW)
    return path


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_tables_sized_by_some_pairs_are_right_for_all(kind, dtype):
    model = lower(model_of(kind))
    kinds = PairKinds.of(model)
    assert kinds.are_sampled
    assert len(kinds.pairs) > 5 * len(kinds.sample)
    network, tolerance = model.layers[1].radial, SLOPE_TOLERANCES[dtype]
    hidden, last = network.split
    table = pair_table(model, hidden, last, kinds, tolerance, dtype.itemsize)
    distances = torch.linspace(0.1 * model.cutoff, 0.999 * model.cutoff, 2003, dtype=torch.float64)
    largest, error = 0.0, 0.0
    for pair in kinds.pairs[::20]:
        pairs = torch.full(distances.shape, pair)

        def exact(r, pairs=pairs):
            return radial_weights(model.radial, network, model.cutoff, r, pairs)

        _, slopes = torch.func.jvp(exact, (distances,), (torch.ones_like(distances),))
        found = table.tables(torch.tensor([pair]), torch.float64)._value_and_slope(distances)[1]
        largest, error = max(largest, float(slopes.abs().max())), max(error, float((found - slopes).abs().max()))
    assert error <= 1.5 * tolerance * largest


def test_a_file_for_all_elements_gives_the_energies_of_one_for_few(every, few):
    assert every.stat().st_size < 1.5 * few.stat().st_size  # without tables in it
    models = [CompiledModel(path, n_threads=1) for path in (every, few)]
    for elements in (FEW[:1], FEW, FEW[1:]):  # the second structure needs more tables than the first
        atoms = rattled_triclinic(elements, repeat=(2, 2, 3))
        found, expected = (model.evaluate(build_graph(atoms, model.cutoff)) for model in models)
        assert_energies_agree(found.energy, expected.energy, len(atoms), tolerances.TABLE_REFERENCE)
        assert_forces_agree(found.forces, expected.forces, tolerances.TABLE_REFERENCE)


def test_lammps_makes_the_tables_of_the_named_elements(every, kind, tmp_path):
    atoms, expected = rattled_triclinic(FEW, repeat=(2, 2, 3)), MaceReference(model_of(kind))
    log = tmp_path / "log.lammps"
    with LammpsSession(command_line=("-log", str(log), "-screen", "none", "-nocite")) as session:
        session.set_structure(atoms)
        session.set_model(every)
        found = session.evaluate()
    assert_forces_agree(found.forces, expected.evaluate(atoms).forces, tolerances.TABLE_REFERENCE)
    n_kinds = {"density": 6, "nonlinear": 9}[kind]  # unordered and ordered pairs
    assert f"radial tables of {n_kinds} kinds of pairs" in log.read_text()


def test_a_file_for_all_elements_has_the_kinds_of_all_pairs(every):
    assert len(read_metadata(every)["pair_tables"]["kind_of_pair"]) == len(MANY) ** 2


def test_tables_of_more_than_4_gb_are_refused_before_they_are_made(every, kind, tmp_path):
    """The metadata say 24 MB for each kind of pair, so that few kinds would fit and those of all elements do not."""

    def enlarge(metadata):
        metadata["pair_tables"]["tables"][0] |= {"n_values": 3_000_000, "value_bytes": 8}

    large = with_metadata(every, tmp_path / "large.pt2", enlarge)
    n_kinds = {"density": 465, "nonlinear": 900}[kind]
    n_kinds = {"density": 210, "nonlinear": 900}[kind]
    with LammpsSession(command_line=("-log", "none", "-screen", "none", "-nocite")) as session:
        session.set_structure(rattled_triclinic(read_metadata(large)["elements"], repeat=(3, 3, 4)))
        with pytest.raises(MlipError, match=rf"{n_kinds} kinds of pairs .* MB \(limit 4096 MB\); use fewer elements"):
            session.set_model(large)


def test_verify_takes_a_spread_of_the_elements_of_a_file_with_tables_of_pairs():
    elements = [f"X{number}" for number in range(30)]
    found = _compared_elements({"elements": elements, "pair_tables": {}})
    assert found == ("X0", "X4", "X8", "X12", "X17", "X21", "X25", "X29")
    assert _compared_elements({"elements": elements}) == tuple(elements)
    assert _compared_elements({"elements": elements[:8], "pair_tables": {}}) == tuple(elements[:8])


def test_verify_passes_on_two_ranks_with_some_of_the_elements(every, kind):
    if kind != "density":
        pytest.skip("one kind is enough: minutes")
    verification = verify_model(find_subject(every, every.with_name("model.safetensors")), n_ranks=(2,))
    assert not verification.with_verdict("fail")
    assert len(verification.facts["elements"]) == 8
