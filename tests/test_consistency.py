"""Checks of layers before a file is written: each finds a planted fault."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_families import COUNTING, LENNARD_JONES, ToyChain, ToyLayers, sum_over, write_toy

from mlip_lammps.compilation import consistency, export_model, programs
from mlip_lammps.compilation.libraries import ProgramFiles, require_own_libraries
from mlip_lammps.compilation.programs import compile_programs
from mlip_lammps.core.errors import MlipError
from mlip_lammps.families import register_family, registry
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.graph import Graph, build_graph
from mlip_lammps.structure.probes import SHEARED, SMALL, large_probes


@pytest.fixture(autouse=True)
def registered(monkeypatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    for family in (LENNARD_JONES, COUNTING):
        register_family(family)


def layers_of(folder: Path, family=COUNTING) -> ToyLayers:
    model = family.read(write_toy(family, folder / "toy.json"))
    return family.layers(model, model.atomic_numbers)


class _SumsItsOwnAtoms(ToyChain):
    """The energy of an atom depends on how many atoms the rank has."""

    def layer(self, t, graph, features, skips):
        handed, energies = super().layer(t, graph, features, skips)
        return handed, energies + 1e-6 * graph.n_local


class _LayersOfSum(ToyLayers):
    def chain(self, dtype, operators):
        return _SumsItsOwnAtoms(self.model, dtype)


def test_layers_that_are_exact_on_ranks_pass(tmp_path):
    for family in (LENNARD_JONES, COUNTING):
        consistency.check_ranks(layers_of(tmp_path, family), tmp_path)


def test_layers_that_depend_on_the_rank_are_refused(tmp_path):
    good = layers_of(tmp_path)
    with pytest.raises(MlipError, match="other results on two ranks than on one: energies differ by"):
        consistency.check_ranks(_LayersOfSum(good.model, good.atomic_numbers), tmp_path)


@pytest.mark.parametrize(("factor", "shown"), [(1e60, r"e\+\d\d eV"), (float("nan"), "nan eV")])
def test_energies_that_leave_no_digits_are_refused(factor, shown, tmp_path):
    good = layers_of(tmp_path)

    class Exploded(ToyChain):
        def layer(self, t, graph, features, skips):
            handed, energies = super().layer(t, graph, features, skips)
            return handed, factor * (1.0 + energies)

    class Layers(ToyLayers):
        def chain(self, dtype, operators):
            return Exploded(self.model, dtype)

    with pytest.raises(MlipError, match=f"gives an energy of .*{shown} for an atom .*check the training"):
        consistency.check_ranks(Layers(good.model, good.atomic_numbers), tmp_path)


class _ForgetsGhosts(ToyChain):
    """Gradients of the features of ghosts are lost."""

    def layer(self, t, graph, features, skips):
        if t == 2:
            own = (torch.arange(len(features)) < graph.n_local).to(features.dtype).unsqueeze(1)
            features = features.detach() * (1 - own) + features * own
        return super().layer(t, graph, features, skips)


class _LayersOfForgetting(ToyLayers):
    def chain(self, dtype, operators):
        return _ForgetsGhosts(self.model, dtype)


def test_lost_gradients_of_ghosts_are_found(tmp_path):
    good = layers_of(tmp_path)
    with pytest.raises(MlipError, match=r"other results on two ranks than on one: energies differ by 0\.0"):
        consistency.check_ranks(_LayersOfForgetting(good.model, good.atomic_numbers), tmp_path)


class _Compiled:
    """A pair energy in place of a compiled file."""

    elements, cutoff, metadata = ("H", "O"), 4.0, {"dtype": "float64"}

    def __init__(self, energy_of_distance):
        self._energy = energy_of_distance

    def evaluate(self, graph: Graph) -> Evaluation:
        vectors = torch.tensor(graph.edge_vectors, requires_grad=True)
        energies = self._energy(vectors.norm(dim=1))
        (gradients,) = torch.autograd.grad(energies.sum(), vectors)
        total = sum_over(energies, torch.from_numpy(graph.edge_centre), graph.n_atoms)
        return Evaluation.of_edges(graph, total.detach().numpy(), gradients.numpy())


def test_a_smooth_energy_within_the_cutoff_passes():
    consistency.check_edges(_Compiled(lambda r: (4.0 - r).clamp(min=0.0) ** 3))


def test_edges_beyond_the_cutoff_that_count_are_found():
    with pytest.raises(MlipError, match="edges beyond the cutoff change an energy by"):
        consistency.check_edges(_Compiled(lambda r: (4.0 - r) ** 3))


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        (lambda r: 0.01 * (r < 4.0) + 0.0 * r, "energies jump by 1.0e-02 eV"),
        (lambda r: 0.01 * (4.0 - r).clamp(min=0.0), r"forces by 2.0e-02 eV/angstrom"),
    ],
)
def test_a_jump_at_the_cutoff_is_found(energy, words):
    with pytest.raises(MlipError, match=words):
        consistency.check_edges(_Compiled(energy))


def archive_of(path: Path, parts: dict[str, tuple[bytes, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, (library, weights) in parts.items():
            archive.writestr(f"programs/data/aotinductor/{name}/program.so", library)
            archive.writestr(f"programs/data/aotinductor/{name}/program.blob", weights)
    return path


def programs_of(folder: Path, **parts: tuple[str, bytes, bytes]) -> dict[str, ProgramFiles]:
    """Return programs by name, each with the digest of its code and the bytes of its library and of its weights."""
    found = {}
    for name, (code, library, weights) in parts.items():
        (folder / name).mkdir()
        files = folder / name / "program.so", folder / name / "program.blob"
        for file, content in zip(files, (library, weights), strict=True):
            file.write_bytes(content)
        found[name] = ProgramFiles(code, tuple(map(str, files)))
    return found


def test_programs_with_their_own_libraries_pass(tmp_path):
    parts = {"forward_1": (b"1", b"x"), "forward_2": (b"2", b"y"), "forward_3": (b"2", b"z")}
    codes = {"forward_1": "a", "forward_2": "b", "forward_3": "b"}
    compiled = programs_of(tmp_path, **{name: (codes[name], *files) for name, files in parts.items()})
    require_own_libraries(compiled, archive_of(tmp_path / "m.pt2", parts))


def test_two_programs_with_one_library_are_refused(tmp_path):
    compiled = programs_of(tmp_path, forward_2=("a", b"1", b"x"), forward_3=("b", b"1", b"y"))
    archive = archive_of(tmp_path / "m.pt2", {"forward_2": (b"1", b"x"), "forward_3": (b"1", b"y")})
    with pytest.raises(MlipError, match="programs forward_2 and forward_3 differ, but have one library"):
        require_own_libraries(compiled, archive)


def test_two_layers_with_one_file_are_refused(tmp_path):
    compiled = programs_of(tmp_path, forward_2=("a", b"1", b"x"))
    compiled["forward_3"] = compiled["forward_2"]
    archive = archive_of(tmp_path / "m.pt2", {"forward_2": (b"1", b"x"), "forward_3": (b"1", b"x")})
    with pytest.raises(MlipError, match=r"forward_2 and forward_3 share the file program\.so"):
        require_own_libraries(compiled, archive)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"forward_2": (b"2", b"x"), "forward_3": (b"1", b"y")}, "another library for the program forward_2"),
        ({"forward_2": (b"1", b"y"), "forward_3": (b"2", b"x")}, "other weights for the program forward_2"),
    ],
)
def test_files_under_another_name_in_the_archive_are_refused(parts, words, tmp_path):
    compiled = programs_of(tmp_path, forward_2=("a", b"1", b"x"), forward_3=("b", b"2", b"y"))
    with pytest.raises(MlipError, match=words):
        require_own_libraries(compiled, archive_of(tmp_path / "m.pt2", parts))


def test_an_export_whose_programs_share_a_library_is_not_written(tmp_path, monkeypatch):
    """The fault that a cache folder shared by programs causes: the last program gets the library of the first."""
    run_worker = programs._run_worker

    def share(folder: Path, progress) -> None:
        run_worker(folder, progress)
        first, last = (ProgramFiles.read(folder / f"{name}{programs.FILES}") for name in ("forward_1", "last"))
        source, target = (next(file for file in one.files if file.endswith(".so")) for one in (first, last))
        shutil.copy(source, target)

    monkeypatch.setattr(programs, "_run_worker", share)
    source = write_toy(COUNTING, tmp_path / "toy.json")
    with pytest.raises(MlipError, match="programs forward_1 and last differ, but have one library"):
        export_model(source, tmp_path / "toy.pt2", dtype="float64")
    assert not (tmp_path / "toy.pt2").exists()


class _Stack(ToyChain):
    """Four layers; the second and the third one have the same code and other constants."""

    def __init__(self, model, dtype):
        super().__init__(model, dtype)
        self.n_layers = 4
        # AOTInductor writes up to eight numbers into the code.
        self.factors = [torch.full((16,), factor / 16, dtype=torch.float64) for factor in (1.0, 1.5, 2.5, 0.5)]

    def layer(self, t, graph, features, skips):
        weights = (1.0 - (graph.edge_vectors**2).sum(dim=1) / 16.0).clamp(min=0.0) ** 3
        if features is not None:
            weights = weights * features.index_select(0, graph.edge_neighbour)[:, 0]
        sums = sum_over(weights, graph.edge_centre, graph.n_local)
        result = torch.tanh((self.factors[t - 1].clone() * sums.unsqueeze(1)).sum(dim=1))
        if t == self.n_layers:
            return {}, result
        return {f"features_{t}": result.unsqueeze(1)}, torch.zeros_like(result)


class _LayersOfStack(ToyLayers):
    """Compiles the two layers of one shape only."""

    def chain(self, dtype, operators):
        return _Stack(self.model, dtype)

    def programs_with(self, operators):
        return tuple(spec for spec in self.programs if spec.name in ("forward_2", "forward_3"))


def test_layers_of_one_shape_get_their_own_weights(tmp_path):
    good = layers_of(tmp_path)
    layers = _LayersOfStack(good.model, good.atomic_numbers)
    layers.feature_widths = (1, 1, 1)
    output = tmp_path / "programs.pt2"
    compile_programs(layers, "float64", "exact", "torch", output, lambda line: None)
    with zipfile.ZipFile(output) as archive:
        names = {name.split("/")[3]: name for name in archive.namelist() if name.endswith(".blob")}
        weights = {name: archive.read(place) for name, place in names.items()}
    assert len(weights["forward_2"]) == len(weights["forward_3"]) > 0
    assert weights["forward_2"] != weights["forward_3"]


@pytest.mark.parametrize("cutoff", [3.5, 5.0, 6.0])
@pytest.mark.parametrize("name", [SMALL, SHEARED])
def test_no_distance_of_a_small_cell_is_the_end_of_a_table_interval(cutoff, name):
    """There, rounding decides which of two polynomials gives the slope: engines differ by the error of the table."""
    atoms = large_probes(("H", "O"), cutoff)[name]
    fractions = np.linalg.norm(build_graph(atoms, cutoff).edge_vectors, axis=1) / cutoff
    for n_intervals in (16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 120, 128, 160, 192, 256, 320, 384, 448, 512):
        places = fractions * n_intervals
        assert np.abs(places - np.round(places)).min() > 1e-6
