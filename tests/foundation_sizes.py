"""Models with random weights in the sizes of foundation models, and their export in a process of its own.

    python tests/foundation_sizes.py NAME DTYPE OUTPUT.pt2
"""

import sys

from mlip_lammps.compilation.export import export_trained
from mlip_lammps.families import select_head
from mlip_lammps.families.mace import MaceModel
from mlip_lammps.families.mace.spec import EmbeddingSpec
from mlip_lammps.testing.random_models import DENSITY, DENSITY_RESIDUAL, NON_LINEAR, random_model

_ELEMENTS = tuple(range(1, 90))
_COMMON = {"cutoff": 6.0, "radial_widths": (64, 64, 64), "readout_irreps": "16x0e", "dtype": "float32"}

SIZES = {
    "MACE-MP-0b3 medium": {
        "elements": _ELEMENTS, "hidden_irreps": "128x0e+128x1o", "l_max": 3, "correlation": 3, "n_layers": 2,
        "n_basis": 10, "interaction": (DENSITY, DENSITY_RESIDUAL), "distance_transform": "Agnesi",
        "pair_repulsion": True, "avg_num_neighbors": 1.0,
    },
    "MACE-MH-1": {
        "elements": _ELEMENTS, "hidden_irreps": "512x0e+512x1o", "l_max": 3, "correlation": 3, "n_layers": 2,
        "n_basis": 8, "cutoff_on": "weights", "interaction": NON_LINEAR, "edge_irreps": "128x0e+128x1o",
        "is_product_by_element": False, "distance_transform": "Agnesi", "pair_repulsion": True,
        "heads": ("omat", "mp", "spice", "oc20"),
    },
    "MACE-OMOL": {
        "elements": _ELEMENTS[:83], "hidden_irreps": "1024x0e+1024x1o+1024x2e", "l_max": 3, "correlation": 3,
        "n_layers": 3, "n_basis": 8, "cutoff_on": "weights", "interaction": NON_LINEAR,
        "edge_irreps": "128x0e+128x1o+128x2e", "is_product_by_element": False, "has_embedding_readout": True,
        "embeddings": (
            EmbeddingSpec("total_charge", "categorical", 64, n_classes=201, offset=100),
            EmbeddingSpec("total_spin", "categorical", 64, n_classes=101),
        ),
    },
}  # fmt: skip
"""Options of each family, as its training scripts and papers state them; OMAT-0 medium is as MP-0b3 medium."""
HEADS = {"MACE-MH-1": "omat"}
_READOUT_FACTORS = {"MACE-MH-1": 1e2}
"""Factors of the readouts: without them energies of the random weights are constants."""
_MESSAGE_FACTORS = {"MACE-OMOL": {"weights_max": 1e-3, ".weights.0": 0.03, "linear_2.weight": 0.4}}
"""Factors of weights before and in the products: without them features of random weights grow with each layer."""


def make(name: str) -> MaceModel:
    """Return a model with one head; its energies are some eV, as those of a trained model."""
    trained = random_model(**(_COMMON | SIZES[name]))
    for key, array in trained.weights.items():
        if (".net." in key or "joint_embedding" in key) and array.ndim == 2:
            array /= array.shape[1] ** 0.5
        if key.startswith("readouts.") and not key.endswith("linear_1.weight"):
            array *= _READOUT_FACTORS.get(name, 1.0)
        for part, factor in _MESSAGE_FACTORS.get(name, {}).items():
            if part in key:
                array *= factor
    trained.weights["scale_shift.scale"][...] = 0.02
    return select_head(trained, HEADS.get(name))


if __name__ == "__main__":
    export_trained(make(sys.argv[1]), sys.argv[3], dtype=sys.argv[2], progress=lambda line: print(line, flush=True))
