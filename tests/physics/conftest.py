"""Common fixtures of the physics tests: calculators of the shipped model ``MODEL`` of each test file.

Tests with the mark ``physics`` take minutes and run the compiled model (``make physics``). The others take seconds,
run the reference, and are part of ``make test``.
"""

from functools import cache, partial
from pathlib import Path

import pytest
from ase.calculators.calculator import Calculator

from mlip_lammps.compilation import compiled_model
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.testing.reference_calculator import ReferenceCalculator

compile_once = cache(partial(compiled_model, dtype="float64"))


@pytest.fixture(scope="module")
def compiled_file(request) -> Path:
    return compile_once(request.module.MODEL)


@pytest.fixture(scope="module", params=["reference", pytest.param("compiled", marks=pytest.mark.physics)])
def calculator(request) -> Calculator:
    """Return the reference and, for tests that take minutes, the compiled model."""
    if request.param == "compiled":
        return MlipCalculator(request.getfixturevalue("compiled_file"))
    return ReferenceCalculator(request.module.MODEL)


@pytest.fixture
def inputs() -> Path:
    return Path(__file__).parents[2] / "inputs"
