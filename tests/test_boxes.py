"""Boxes of molecules and their data files."""

import ase.io
import numpy as np
import pytest
from ase import units
from ase.build import molecule

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.boxes import MIN_DISTANCE, build_box
from mlip_lammps.structure.files import read_structure, read_structures
from mlip_lammps.structure.lammps_data import count_atoms, write_lammps_data


@pytest.mark.parametrize(
    ("name", "n_molecules", "density"), [("H2O", 64, 0.9993), ("CH3OH", 20, 0.79), ("CO2", 1, 0.1)]
)
def test_a_box_has_the_requested_density_and_intact_molecules(name, n_molecules, density):
    one = molecule(name)
    box = build_box(one, n_molecules, density, seed=1)
    mass_g = box.get_masses().sum() * units._amu * 1e3
    assert mass_g / (box.get_volume() * 1e-24) == pytest.approx(density, rel=1e-9)
    for k in range(n_molecules):
        part = box[k * len(one) : (k + 1) * len(one)]
        assert list(part.symbols) == list(one.symbols)
        np.testing.assert_allclose(part.get_all_distances(), one.get_all_distances(), atol=1e-12)


def test_molecules_keep_their_distance_across_the_boundary():
    box = build_box(molecule("H2O"), 27, 1.0, seed=3)
    molecule_of = np.arange(len(box)) // 3
    between = molecule_of[:, None] != molecule_of
    assert box.get_all_distances(mic=True)[between].min() > MIN_DISTANCE


def test_equal_seeds_give_equal_boxes():
    boxes = [build_box(molecule("H2O"), 9, 0.9, seed=seed) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(boxes[0].positions, boxes[1].positions)
    assert not np.allclose(boxes[0].positions, boxes[2].positions)


@pytest.mark.parametrize(
    ("n_molecules", "density", "message"),
    [(0, 1.0, "1 or more"), (8, -1.0, "above 0"), (8, float("nan"), "above 0"), (64, 9.0, "angstrom apart")],
)
def test_an_impossible_box_is_refused(n_molecules, density, message):
    with pytest.raises(UserInputError, match=message):
        build_box(molecule("H2O"), n_molecules, density)


def test_a_data_file_keeps_the_order_of_types(tmp_path):
    box = build_box(molecule("H2O"), 8, 0.9, seed=2)
    path = tmp_path / "box.data"
    write_lammps_data(path, box, ["He", "O", "H"])
    again = ase.io.read(path, format="lammps-data", atom_style="atomic", units="metal")
    assert count_atoms(path) == 24
    assert "3 atom types" in path.read_text()
    assert list(again.arrays["type"]) == [2, 3, 3] * 8
    assert list(again.symbols) == list(box.symbols)
    np.testing.assert_allclose(again.positions, box.positions, atol=1e-9)


def test_an_element_without_a_type_is_refused(tmp_path):
    with pytest.raises(UserInputError, match="the structure contains H, but the atom types are O"):
        write_lammps_data(tmp_path / "box.data", build_box(molecule("H2O"), 1, 0.5), ["O"])


def test_a_data_file_of_a_left_handed_cell_contains_no_mirror_image(tmp_path):
    atoms = molecule("CH3CHO")  # any four atoms that are not in one plane
    atoms.set_cell([[0, 9, 0], [8, 0, 0], [0, 1, 10]])
    atoms.pbc = True
    write_lammps_data(tmp_path / "atoms.data", atoms, ["H", "C", "O"])
    written = ase.io.read(tmp_path / "atoms.data", format="lammps-data", units="metal")

    def signed_volume(found):
        i, *others = (k for k in range(len(atoms)) if atoms.symbols[k] in "OH")
        return np.linalg.det(found.get_distances(i, others[:3], mic=True, vector=True))

    assert abs(signed_volume(atoms)) > 0.1
    assert signed_volume(written) == pytest.approx(signed_volume(atoms), rel=1e-6)


def test_a_data_file_is_a_structure_like_any_other(tmp_path):
    box = build_box(molecule("H2O"), 8, 0.9, seed=2)
    write_lammps_data(tmp_path / "box.data", box, ["H", "O"])
    for found in (read_structures([tmp_path / "box.data"])["box"], read_structure(tmp_path / "box.data", ["H", "O"])):
        assert list(found.symbols) == list(box.symbols)
        assert found.pbc.all()
        np.testing.assert_allclose(found.positions, box.positions, atol=1e-9)


def test_repeated_names_of_structures_have_a_count(tmp_path):
    for name in ("a.xyz", "a.extxyz"):
        ase.io.write(tmp_path / name, molecule("H2O"))
    files = [tmp_path / name for name in ("a.xyz", "a.extxyz", "a.xyz")]
    assert list(read_structures(files)) == ["a", "a-2", "a-3"]


DATA = """{title}

2 atoms
2 atom types

0 9 xlo xhi
0 9 ylo yhi
0 9 zlo zhi
{labels}
Masses

1 {one}
2 {two}

Atoms # atomic

1 1 0 0 0
2 2 0 0 2
"""


@pytest.mark.parametrize(
    ("one", "two", "labels"),
    [
        ("28.0855", "15.999", ""),
        ("28.0855 # Si", "17.999 # O", ""),
        ("1.0", "1.0", "\nAtom Type Labels\n\n1 Si\n2 O\n"),
    ],
)
def test_the_elements_of_a_data_file_are_its_labels_comments_or_masses(one, two, labels, tmp_path):
    file = tmp_path / "data.silica"
    file.write_text(DATA.format(title="LAMMPS data file, units = real", one=one, two=two, labels=labels))
    (found,) = read_structures([file]).values()
    assert found.get_chemical_symbols() == ["Si", "O"]
    assert found.get_distance(0, 1) == pytest.approx(2.0)


def test_a_data_file_without_elements_is_refused(tmp_path):
    (tmp_path / "a.data").write_text(DATA.format(title="", one="28.0855", two="2.5", labels=""))
    with pytest.raises(UserInputError, match=r"atom type 2 of .*a.data has the mass 2.5, that of no element within"):
        read_structures([tmp_path / "a.data"])
    text = DATA.format(title="", one="1", two="1", labels="").replace("Masses\n\n1 1\n2 1\n", "")
    (tmp_path / "b.data").write_text(text)
    with pytest.raises(UserInputError, match="has neither atom type labels nor masses; add one of them"):
        read_structures([tmp_path / "b.data"])
    (tmp_path / "c.data").write_text("no data\n")
    with pytest.raises(UserInputError, match=r"c.data contains no structure; give a file in a format of ase.io or"):
        read_structures([tmp_path / "c.data"])
