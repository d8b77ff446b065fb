"""The minimum distances in a model file."""

import numpy as np
import pytest

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.structure.min_distances import min_distances, read_min_distances


def test_covalent_radii_give_distances_below_every_bond():
    # Radii of H 0.31, O 0.66, Si 1.11; bonds: H2 0.74, OH 0.96, SiO 1.61, Si2 2.25 angstrom.
    table = np.array(min_distances(["O", "H", "Si"]))
    np.testing.assert_allclose(table, 0.6 * np.add.outer([0.66, 0.31, 1.11], [0.66, 0.31, 1.11]), atol=1e-4)
    assert table[1, 1] < 0.74
    assert table[0, 1] < 0.96
    assert table[0, 2] < 1.61
    assert table[2, 2] < 2.25


def test_distances_may_be_given_for_all_pairs_or_for_some():
    assert min_distances(["H", "O"], read_min_distances("0.8")) == [[0.8, 0.8], [0.8, 0.8]]
    by_pair = min_distances(["H", "O"], read_min_distances("O-H=0.7, O-O=2"))
    assert by_pair == [[min_distances(["H"])[0][0], 0.7], [0.7, 2.0]]
    assert min_distances(["H", "O"], read_min_distances("0,H-H=0.5")) == [[0.5, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("text", ["near", "H-O", "H-O=", "H-O=x", ""])
def test_text_that_is_not_a_distance_is_refused(text):
    with pytest.raises(UserInputError, match="give angstrom"):
        read_min_distances(text)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"H-Xx": 1.0}, "the model knows H, O"), ({"H": 1.0}, "name two of them"), ({"*": -1.0}, "value of 0 or more")],
)
def test_invalid_distances_are_refused(given, message):
    with pytest.raises(UserInputError, match=message):
        min_distances(["H", "O"], given)


def test_a_compiled_model_stores_them_in_the_order_of_its_elements(compile_once):
    metadata = read_metadata(compile_once("one_layer_of_two"))
    assert metadata["elements"] == ["O", "H"]
    assert metadata["min_distances"] == min_distances(["O", "H"])
