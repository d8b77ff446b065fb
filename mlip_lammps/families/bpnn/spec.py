"""What an input.nn says: symmetry functions, networks and units. This module does not import torch."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from ase.data import chemical_symbols
from ase.units import Bohr, Hartree
from numpy.typing import NDArray

from mlip_lammps.families.family import SpecifiedModel

FAMILY_NAME = "bpnn"

ANGSTROM = {"bohr": Bohr, "angstrom": 1.0}
"""Lengths of the units in angstrom."""
EV = {"hartree": Hartree, "ev": 1.0}
"""Energies of the units in eV."""


@dataclass(frozen=True)
class RadialShape:
    """A function of a distance in the length unit of the file.

    Attributes
    ----------
    kind
        ``gaussian``: exp(-eta (r - shift)^2) times the cutoff function. ``compact``: a polynomial or exponential that
        vanishes outside ``left`` to ``cutoff``.
    cutoff
        Distance from which on the function is zero.
    form
        Name of the cutoff function or of the compact one, see ``shapes.FORMS``; compact ones may end in ``a`` for
        asymmetric.
    alpha
        Fraction of the cutoff up to which the cutoff function is one.
    """

    kind: Literal["gaussian", "compact"]
    cutoff: float
    form: str
    alpha: float = 0.0
    eta: float = 0.0
    shift: float = 0.0
    left: float = 0.0


@dataclass(frozen=True)
class AngularShape:
    """A function of the angle between two neighbours.

    Attributes
    ----------
    kind
        ``cosine``: 2^(1 - zeta) (1 + lambda cos theta)^zeta. ``compact``: a function as in ``RadialShape``, between
        the angles ``left`` and ``right`` in degrees.
    """

    kind: Literal["cosine", "compact"]
    sign: float = 1.0
    zeta: float = 1.0
    left: float = 0.0
    right: float = 180.0
    form: str = ""


@dataclass(frozen=True)
class SymmetryFunction:
    """A symmetry function of one element.

    Attributes
    ----------
    number
        Its type in input.nn.
    neighbours
        Atomic numbers of the neighbours, one for radial and two for angular functions. Empty for functions of all
        neighbours, weighted with their atomic numbers.
    angular
        None for a radial function. An angular function is the sum over pairs of neighbours of the angular shape, and
        of the radial shape of both distances and, if ``is_narrow``, of the distance between the neighbours.
    """

    number: int
    neighbours: tuple[int, ...]
    radial: RadialShape
    angular: AngularShape | None = None
    is_narrow: bool = False


@dataclass(frozen=True)
class NetworkSpec:
    """A network of one element: widths of its layers after the input, and their activation functions."""

    widths: tuple[int, ...]
    activations: tuple[str, ...]


@dataclass(frozen=True)
class BpnnSpec:
    """A trained potential without its weights.

    Attributes
    ----------
    atomic_numbers
        In ascending order.
    functions
        Symmetry functions of each element, in the order of the rows in scaling.data.
    energy_scale
        conv_energy: factor of the networks' energies; they are divided by it.
    mean_energy
        Energy per atom that is added, in the energy unit of the file.
    atom_energies
        Further energy of each element, in the energy unit of the file.
    has_normalized_nodes
        Whether sums of a layer are divided by the width of the layer before.
    """

    atomic_numbers: tuple[int, ...]
    functions: tuple[tuple[SymmetryFunction, ...], ...]
    networks: tuple[NetworkSpec, ...]
    length_unit: str
    energy_unit: str
    energy_scale: float
    mean_energy: float
    atom_energies: tuple[float, ...]
    has_normalized_nodes: bool
    scaling: str

    def longest(self, is_angular: bool) -> float:
        """Return the longest cutoff of radial or angular functions in the length unit of the file; 0 without any."""
        every = (one for functions in self.functions for one in functions)
        return max((one.radial.cutoff for one in every if (one.angular is not None) == is_angular), default=0.0)


@dataclass(frozen=True)
class BpnnModel(SpecifiedModel):
    """A trained potential; see ``TrainedModel``.

    Attributes
    ----------
    weights
        float64 arrays: for each atomic number Z, ``scaling.Z.factor`` and ``scaling.Z.offset`` (n_functions,), by which
        inputs are factor * G + offset, ``networks.Z.K.weight`` (n_in, n_out) and ``networks.Z.K.bias`` (n_out,).
    """

    family = FAMILY_NAME
    spec: BpnnSpec
    weights: dict[str, NDArray[np.float64]]
    source_sha256: str
    source_name: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def cutoff(self) -> float:
        return max(self.spec.longest(False), self.spec.longest(True)) * ANGSTROM[self.spec.length_unit]

    @property
    def dtype(self) -> str:
        return "float64"

    @property
    def n_layers(self) -> int:
        return 1

    def facts(self) -> dict[str, Any]:
        """Return the properties that ``mlip-lammps info`` prints."""
        spec, elements = self.spec, []
        for number, functions, network in zip(spec.atomic_numbers, spec.functions, spec.networks, strict=True):
            counts = Counter(one.number for one in functions)
            elements.append(
                {
                    "element": chemical_symbols[number],
                    "symmetry_functions": ", ".join(f"{n} of type {kind}" for kind, n in sorted(counts.items())),
                    **asdict(network),
                }
            )
        return {
            **self.remarks,
            "atomic_numbers": spec.atomic_numbers,
            "cutoff": self.cutoff,
            "length_unit": spec.length_unit,
            "energy_unit": spec.energy_unit,
            "scaling": spec.scaling,
            "n_weights": sum(array.size for name, array in self.weights.items() if name.startswith("networks.")),
            "networks": elements,
        }

    def describe(self) -> dict[str, Any]:
        """Return the model properties for the metadata of a compiled file."""
        counts = [len(functions) for functions in self.spec.functions]
        units = {"length_unit": self.spec.length_unit, "energy_unit": self.spec.energy_unit}
        return {"n_symmetry_functions": counts, **units, **self.remarks}
