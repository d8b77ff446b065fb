"""Faults planted in copies of the package, in the path that runs, are each caught by ``mlip-lammps verify``.

A few are planted in every run of the tests, all of them by ``make teeth``.
"""

from pathlib import Path

import pytest
from gpu_plants import GPU_PLANTS
from plant_build import WITHOUT_CHECK, PlantedPackages, Verified, emulated_from, replaced, verify_from
from plants import LAYERED_MODEL, SMALL_MODEL, Plant
from plants import PLANTS as CPU_PLANTS

ROOT = Path(__file__).parents[1]
PLANTS = (*CPU_PLANTS, *GPU_PLANTS)


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> PlantedPackages:
    return PlantedPackages(tmp_path_factory.mktemp("plants"))


@pytest.fixture
def verify(packages, compile_once, portable_models):
    """Return a function that plants a fault and verifies a model: compiled here, or by the copy if that is at fault."""

    def run(plant: Plant) -> Verified:
        name, source = f"plant_{PLANTS.index(plant)}", portable_models[plant.model]
        if plant.is_compiled_into_models and plant.device == "emulated":
            root = packages.make(name, [plant])
            return verify_from(root, emulated_from(root, source), "--source", source, n_ranks=plant.n_ranks)
        if plant.is_compiled_into_models:
            return verify_from(packages.make(name, [plant, WITHOUT_CHECK]), source, n_ranks=plant.n_ranks)
        model = compile_once(plant.model, device=plant.device)
        return verify_from(packages.make(name, [plant]), model, "--source", source, n_ranks=plant.n_ranks)

    return run


@pytest.mark.parametrize(
    "plant", [pytest.param(plant, marks=() if plant.is_fast else pytest.mark.teeth, id=plant.name) for plant in PLANTS]
)
def test_a_planted_fault_is_caught(plant, verify):
    found = verify(plant)
    assert found.code == 1, found.output
    assert plant.caught_by in found.failed(), found.output


def test_without_a_plant_everything_passes(packages, compile_once, portable_models):
    """The plugin is built in the same way, from a source that differs in a comment."""
    file = "pair_style/lammps/plugin.cpp"
    harmless = Plant("a comment", file, "#include <string>\n", "#include <string>  // planted\n", ("", ""))
    root, words = packages.make("control", [harmless]), ("--source", portable_models[LAYERED_MODEL])
    found = verify_from(root, compile_once(LAYERED_MODEL), *words)
    assert found.code == 0, found.output
    assert found.failed() == []


@pytest.mark.teeth
def test_a_model_that_is_compiled_without_the_check_of_the_export_passes(packages, portable_models):
    """The plants in what makes models leave that check out; by itself this is no fault."""
    found = verify_from(packages.make("compiled_control", [WITHOUT_CHECK]), portable_models[SMALL_MODEL])
    assert found.code == 0, found.output


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_the_text_of_a_plant_is_in_its_file_once(plant):
    assert replaced((ROOT / plant.file).read_text(), plant) != (ROOT / plant.file).read_text()


def test_the_table_of_plants_is_as_promised():
    assert len(PLANTS) >= 20
    assert 2 * sum(plant.is_cpp for plant in PLANTS) >= len(PLANTS)
    assert any(plant.is_fast and plant.is_cpp for plant in PLANTS)
    assert len({plant.name for plant in PLANTS}) == len(PLANTS)


def test_a_plant_whose_text_is_gone_or_stands_twice_is_named():
    for text in ("nothing of it", PLANTS[0].old * 2):
        with pytest.raises(AssertionError, match=f"plant {PLANTS[0].name!r}: its text stands"):
            replaced(text, PLANTS[0])
