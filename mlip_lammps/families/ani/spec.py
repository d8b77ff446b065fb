"""What defines an ANI potential besides its weights. This module does not import torch."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from mlip_lammps.families.family import SpecifiedModel

FAMILY_NAME = "ani"

Activation = Literal["celu", "gelu"]


@dataclass(frozen=True)
class CutoffFunction:
    """A function of x = r / cutoff that is one at 0, and zero at 1 and beyond.

    Attributes
    ----------
    form
        ``cosine``: (1 + cos(pi x)) / 2. ``smooth``: exp(1 - 1 / (1 - x^order)). ``biweight``: (1 - x^2)^2.
        ``triweight``: (1 - x^2)^3.
    floor
        Smallest denominator 1 - x^order of ``smooth``.
    """

    form: Literal["cosine", "smooth", "biweight", "triweight"]
    order: int = 2
    floor: float = 1e-10

    def __str__(self) -> str:
        return f"smooth of order {self.order}" if self.form == "smooth" else self.form


@dataclass(frozen=True)
class RadialTerms:
    """Terms exp(-eta (r - shift)^2) / 4 of the distances r, times the cutoff function; lengths in angstrom."""

    cutoff: float
    eta: float
    shifts: tuple[float, ...]


@dataclass(frozen=True)
class AngularTerms:
    """Terms of pairs of neighbours, one for each shift and section; lengths in angstrom, angles in radians.

    A term is 2 ((1 + cos(theta - section)) / 2)^zeta exp(-eta ((r + r') / 2 - shift)^2), times the cutoff function of
    both distances r and r', where theta is the arc cosine of 0.95 times the cosine of the angle.
    """

    cutoff: float
    eta: float
    zeta: float
    shifts: tuple[float, ...]
    sections: tuple[float, ...]

    @property
    def n_terms(self) -> int:
        return len(self.shifts) * len(self.sections)


@dataclass(frozen=True)
class Repulsion:
    """The repulsion of GFN-xTB between pairs of atoms (Grimme, J. Chem. Theory Comput. 15, 1652 (2019))."""

    cutoff: float
    cutoff_function: CutoffFunction


@dataclass(frozen=True)
class Settings:
    """What a state dict of TorchANI lacks.

    Attributes
    ----------
    cutoff, angle_cutoff
        Cutoffs of radial and angular terms in angstrom.
    """

    cutoff: float
    angle_cutoff: float
    cutoff_function: CutoffFunction
    activation: Activation
    repulsion: Repulsion | None = None


@dataclass(frozen=True)
class AniSpec:
    """A trained potential without its weights.

    Attributes
    ----------
    atomic_numbers
        In the order of the inputs of the networks: radial terms for each element, then angular ones for each pair.
    widths
        For each element, the widths of the layers of its network after the input. The last width is 1.
    n_members
        Networks of each element; the energy is their mean.
    self_energies
        Energy of each element that is added, in hartree.
    """

    atomic_numbers: tuple[int, ...]
    radial: RadialTerms
    angular: AngularTerms
    cutoff_function: CutoffFunction
    widths: tuple[tuple[int, ...], ...]
    activation: Activation
    has_biases: bool
    n_members: int
    self_energies: tuple[float, ...]
    repulsion: Repulsion | None = None

    @property
    def n_inputs(self) -> int:
        n = len(self.atomic_numbers)
        return n * len(self.radial.shifts) + n * (n + 1) // 2 * self.angular.n_terms


@dataclass(frozen=True)
class AniModel(SpecifiedModel):
    """A trained potential; see ``TrainedModel``.

    Attributes
    ----------
    weights
        For each atomic number Z and layer K, ``networks.Z.K.weight`` (n_members, n_in, n_out) and, with biases,
        ``networks.Z.K.bias`` (n_members, n_out). With a repulsion, ``repulsion.y``, ``repulsion.sqrt_alpha`` and
        ``repulsion.k`` of pairs of elements, (n_elements, n_elements), in atomic units.
    """

    family = FAMILY_NAME
    spec: AniSpec
    weights: dict[str, NDArray[np.floating]]
    source_sha256: str
    source_name: str
    form: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def cutoff(self) -> float:
        repulsion = self.spec.repulsion
        return max(self.spec.radial.cutoff, repulsion.cutoff if repulsion is not None else 0.0)

    @property
    def dtype(self) -> str:
        return str(next(array.dtype for name, array in self.weights.items() if name.startswith("networks.")))

    @property
    def n_layers(self) -> int:
        return 1

    def facts(self) -> dict[str, Any]:
        """Return the properties that ``mlip-lammps info`` prints."""
        spec = self.spec
        networks = [
            {"element": chemical_symbols[number], "widths": (spec.n_inputs, *widths)}
            for number, widths in zip(spec.atomic_numbers, spec.widths, strict=True)
        ]
        return {
            **self.remarks,
            "atomic_numbers": spec.atomic_numbers,
            "cutoff": self.cutoff,
            "angle_cutoff": spec.angular.cutoff,
            "cutoff_function": str(spec.cutoff_function),
            "dtype": self.dtype,
            **self.describe(),
            "n_weights": sum(array.size for name, array in self.weights.items() if name.startswith("networks.")),
            "networks": networks,
        }

    def describe(self) -> dict[str, Any]:
        """Return the model properties for the metadata of a compiled file."""
        spec = self.spec
        angular = {"angular_shifts": len(spec.angular.shifts), "angular_sections": len(spec.angular.sections)}
        return {
            "radial_shifts": len(spec.radial.shifts),
            **angular,
            "activation": spec.activation,
            "members": spec.n_members,
            "repulsion": "none" if spec.repulsion is None else "GFN-xTB",
        }
