"""Mutation tests: ``mlip-lammps verify`` detects each fault planted in a copy of the package.

Every test run plants a few faults; ``make mutations`` plants all of them.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gpu_mutations import GPU_MUTATIONS
from mutation_build import WITHOUT_CHECKS, MutatedPackages, Verified, emulated_from, replaced, verify_from
from mutations import (
    ATTENTION_MODEL,
    CHARGED_MODEL,
    DENSITY_MODEL,
    LATENT_MODEL,
    LAYERED_MODEL,
    NON_LINEAR_MODEL,
    SMALL_MODEL,
    Mutation,
)
from mutations import MUTATIONS as CPU_MUTATIONS

from mlip_lammps.compilation import compiled_model
from mlip_lammps.families.mace import write_portable
from mlip_lammps.families.mace.spec import EmbeddingSpec
from mlip_lammps.structure.latent_ewald import LatentEwald
from mlip_lammps.testing.random_models import ATTENTION, DENSITY, DENSITY_RESIDUAL, NON_LINEAR, random_model

ROOT = Path(__file__).parents[1]
MUTATIONS = (*CPU_MUTATIONS, *GPU_MUTATIONS)


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> MutatedPackages:
    return MutatedPackages(tmp_path_factory.mktemp("mutations"))


@pytest.fixture(scope="module")
def sources(portable_models, tmp_path_factory) -> dict[str, Path]:
    """Return the portable files of all models that show mutations."""
    folder = tmp_path_factory.mktemp("variants")
    shape = dict(elements=("H", "O"), hidden_irreps="4x0e+4x1o", l_max=1, correlation=2, n_layers=2, cutoff=3.5)
    charge = EmbeddingSpec("total_charge", "categorical", 4, n_classes=5, offset=2)
    spin = EmbeddingSpec("total_spin", "categorical", 4, n_classes=4)
    options = {
        NON_LINEAR_MODEL: dict(interaction=NON_LINEAR, distance_transform="Agnesi"),
        CHARGED_MODEL: dict(embeddings=(charge, spin)),
        DENSITY_MODEL: dict(interaction=(DENSITY, DENSITY_RESIDUAL), distance_transform="Agnesi"),
        LATENT_MODEL: dict(latent_ewald=LatentEwald(1.0, 2.0, 90.4756, has_self_interaction=False)),
        ATTENTION_MODEL: dict(interaction=ATTENTION, cutoff_on="weights", n_layers=3, avg_num_neighbors=5.0),
    }
    paths = {name: folder / f"{name}.safetensors" for name in options}
    for name, path in paths.items():
        model = random_model(seed=2, **{**shape, **options[name]})
        write_portable(replace(model, weights=model.weights | {"scale_shift.scale": np.array([0.1])}), path)
    return {**portable_models, **paths}


@pytest.fixture
def verify(packages, sources):
    """Return a function that plants a mutation and verifies a model compiled by this or by the mutated package."""

    def run(mutation: Mutation) -> Verified:
        name, source = f"mutation_{MUTATIONS.index(mutation)}", sources[mutation.model]
        if mutation.is_compiled_into_models and mutation.device == "emulated":
            root = packages.make(name, [mutation])
            return verify_from(root, emulated_from(root, source), "--source", source, n_ranks=mutation.n_ranks)
        if mutation.is_compiled_into_models:
            return verify_from(packages.make(name, [mutation, *WITHOUT_CHECKS]), source, n_ranks=mutation.n_ranks)
        model = compiled_model(sources[mutation.model], dtype="float64", device=mutation.device)
        return verify_from(packages.make(name, [mutation]), model, "--source", source, n_ranks=mutation.n_ranks)

    return run


@pytest.mark.parametrize(
    "mutation",
    [pytest.param(one, marks=() if one.is_fast else pytest.mark.mutations, id=one.name) for one in MUTATIONS],
)
def test_a_mutation_is_caught(mutation, verify):
    found = verify(mutation)
    assert found.code == 1, found.output
    assert mutation.caught_by in found.failed(), found.output


@pytest.mark.mutations
def test_without_a_mutation_everything_passes(packages, compile_once, portable_models):
    """The plugin is built in the same way, from source that differs only in a comment."""
    file = "pair_style/lammps/plugin.cpp"
    harmless = Mutation("a comment", file, '#include "lammps.h"\n', '#include "lammps.h"  // planted\n', ("", ""))
    root, words = packages.make("control", [harmless]), ("--source", portable_models[LAYERED_MODEL])
    found = verify_from(root, compile_once(LAYERED_MODEL), *words)
    assert found.code == 0, found.output
    assert found.failed() == []


@pytest.mark.mutations
def test_a_model_compiled_without_the_checks_of_an_export_passes(packages, portable_models):
    """Mutations of the code that creates models skip the checks of an export; skipping them alone must not fail."""
    found = verify_from(packages.make("compiled_control", WITHOUT_CHECKS), portable_models[SMALL_MODEL])
    assert found.code == 0, found.output


@pytest.mark.parametrize("mutation", [*MUTATIONS, *WITHOUT_CHECKS], ids=lambda mutation: mutation.name)
def test_the_text_of_a_mutation_is_in_its_file_once(mutation):
    assert replaced((ROOT / mutation.file).read_text(), mutation) != (ROOT / mutation.file).read_text()


def test_the_table_of_mutations_is_complete():
    assert len(MUTATIONS) >= 20
    assert 2 * sum(mutation.is_cpp for mutation in MUTATIONS) >= len(MUTATIONS)
    assert any(mutation.is_fast and mutation.is_cpp for mutation in MUTATIONS)
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


def test_a_mutation_whose_text_is_missing_or_repeated_is_named():
    for text in ("nothing of it", MUTATIONS[0].old * 2):
        with pytest.raises(AssertionError, match=f"{MUTATIONS[0].name!r}: its text occurs"):
            replaced(text, MUTATIONS[0])
