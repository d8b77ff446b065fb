"""Models with latent Ewald summation: reader, reference, ASE and LAMMPS on several ranks."""

import lzma
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from mlip_lammps.families import family_of, read_model, select_head

DATA = Path(__file__).parent / "data" / "mace_les"
HEADS = {"heads_single_precision": "b"}
N_STRUCTURES = 4
NAMES = sorted(path.name.removesuffix(".npz") for path in DATA.glob("*.npz"))


def model_file(name, folder):
    """Return the trained file ``name``, unpacked in ``folder``."""
    path = folder / f"{name}.model"
    path.write_bytes(lzma.decompress((DATA / f"{name}.model.xz").read_bytes()))
    return path


def structures_of(known):
    """Return the structures of the results ``known``."""
    return [
        Atoms(known[f"numbers_{k}"], known[f"positions_{k}"], cell=known[f"cell_{k}"], pbc=known[f"pbc_{k}"])
        for k in range(N_STRUCTURES)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_gives_the_results_of_mace_torch(name, tmp_path):
    trained = select_head(read_model(model_file(name, tmp_path)), HEADS.get(name))
    reference, known = family_of(trained).reference(trained), np.load(DATA / f"{name}.npz")
    for k, atoms in enumerate(structures_of(known)):
        found = reference.evaluate(atoms)
        assert abs(known[f"long_range_{k}"]) > 1e-3
        assert abs(found.energy - known[f"energy_{k}"]) < 1e-9 * len(atoms), atoms
        np.testing.assert_allclose(found.forces, known[f"forces_{k}"], rtol=0.0, atol=1e-8)
        np.testing.assert_allclose(found.node_properties["latent_charges"], known[f"charges_{k}"], rtol=0.0, atol=1e-10)
        if f"virial_{k}" in known:  # differences of energies
            np.testing.assert_allclose(found.virial, known[f"virial_{k}"], rtol=0.0, atol=1e-6)
