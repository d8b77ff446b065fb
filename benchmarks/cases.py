"""Benchmark cases: model shapes and structures."""

from dataclasses import dataclass

from mlip_lammps.models import shipped_models


@dataclass(frozen=True)
class Case:
    """One model shape with one structure.

    Attributes
    ----------
    model
        Name of a shipped model, or mace-torch options of a model with random weights.
    structure
        ``silicon`` (rattled diamond, 8 n^3 atoms), ``water`` (the shipped box, repeated), or empty for a structure
        typical of the model's elements.
    repeats
        Repetitions n of the structure; approximate number of atoms if ``structure`` is empty.
    peer_repeats
        Repetitions for mace-torch if the structure needs too much memory there.
    """

    name: str
    title: str
    model: dict[str, object] | str
    structure: str
    repeats: int
    peer_repeats: int | None = None


_NON_LINEAR = {
    "hidden_irreps": "128x0e+128x1o",
    "interactions": ("RealAgnosticResidualNonLinearInteractionBlock",) * 2,
    "more": {
        "edge_irreps": "64x0e+64x1o",
        "apply_cutoff": False,
        "distance_transform": "Agnesi",
        "pair_repulsion": True,
        "use_agnostic_product": True,
    },
}
_DENSITY = {
    "interactions": ("RealAgnosticDensityInteractionBlock", "RealAgnosticDensityResidualInteractionBlock"),
    "more": {"distance_transform": "Agnesi", "pair_repulsion": True},
}
_SILICON = {"atomic_numbers": [14], "r_max": 6.0, "max_ell": 3, "correlation": 3}

CASES = (
    Case("small", "MACE-MP-0 small architecture, 1,728 Si", {"hidden_irreps": "128x0e", **_SILICON}, "silicon", 6),
    Case(
        "medium",
        "MACE-MP-0 medium architecture, 1,728 Si",
        {"hidden_irreps": "128x0e+128x1o", **_SILICON},
        "silicon",
        6,
        peer_repeats=5,  # mace-torch needs more than 22 GB for 1,728 atoms
    ),
    Case(
        "density",
        "MACE-MP-0b3 architecture (medium with density blocks, Agnesi, ZBL), 1,728 Si",
        {"hidden_irreps": "128x0e+128x1o", **_DENSITY, **_SILICON},
        "silicon",
        6,
        peer_repeats=5,
    ),
    Case(
        "water",
        "water architecture 32x0e+32x1o, 1,536 atoms",
        {"hidden_irreps": "32x0e+32x1o", "atomic_numbers": [1, 8], "r_max": 4.5, "max_ell": 3, "correlation": 3},
        "water",
        2,
    ),
    Case(
        "nonlinear",
        "non-linear blocks 128x0e+128x1o, edge irreps 64x0e+64x1o, 1,000 Si",
        {**_NON_LINEAR, **_SILICON},
        "silicon",
        5,
        peer_repeats=4,
    ),
    *(Case(name, f"shipped {name}", name, "", 1536) for name in shipped_models()),
)
