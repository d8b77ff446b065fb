"""A trained network of gated convolutions: specification and weights, independent of the program that trained it.

This module does not import torch.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.families.family import SpecifiedModel
from mlip_lammps.families.irreps import Entry, parse_irreps

Weights = dict[str, NDArray[np.generic]]

MODALS = "+{}x0e"
"""Irreps that a linear map takes in addition if it depends on the modal: a one-hot vector."""


@dataclass(frozen=True)
class LinearSpec:
    """An ``o3.Linear`` of e3nn with the weights ``NAME.weight`` and, if it has biases, ``NAME.bias``.

    Attributes
    ----------
    irreps_in, irreps_out
        Irreps in e3nn's notation, without the modal.
    n_modals
        Length of the one-hot modal that the map takes after ``irreps_in``; 0 if it takes none.
    has_bias
        Whether the even scalars of the result have biases.
    """

    name: str
    irreps_in: str
    irreps_out: str
    n_modals: int = 0
    has_bias: bool = False

    @property
    def full_irreps_in(self) -> str:
        """Irreps of everything that the map takes."""
        return self.irreps_in + (MODALS.format(self.n_modals) if self.n_modals else "")


@dataclass(frozen=True)
class GateSpec:
    """The gate after the message: scalars through activations, and other irreps times activated scalars.

    Attributes
    ----------
    scalars, gates
        Entries of scalars in e3nn's notation, each with its activation.
    gated
        Irreps that the gates multiply, one scalar for each copy; empty if there are none.
    irreps_in
        Irreps before the gate: all entries, sorted and merged as e3nn does.
    """

    scalars: tuple[tuple[str, str], ...]
    gates: tuple[tuple[str, str], ...]
    gated: str
    irreps_in: str


@dataclass(frozen=True)
class GatedLayerSpec:
    """One layer: linear map, convolution, linear map, self-connection and gate.

    Attributes
    ----------
    paths
        For each path of the convolution, in the order of its weights: entry of ``irreps_in``, order of the spherical
        harmonics, and entry of ``irreps_mid``.
    irreps_mid
        Result of the convolution; each entry has one path.
    radial_widths
        Widths of the hidden layers of the radial network.
    self_connection
        ``linear``, ``element`` (a tensor product with the one-hot element) or ``none``.
    """

    irreps_in: str
    irreps_mid: str
    irreps_out: str
    paths: tuple[tuple[int, int, int], ...]
    radial_widths: tuple[int, ...]
    up: LinearSpec
    message: LinearSpec
    self_connection: Literal["linear", "element", "none"]
    gate: GateSpec


@dataclass(frozen=True)
class RadialSpec:
    """Radial basis: factor sin(k_n r) / r times a cutoff function.

    Attributes
    ----------
    cutoff_kind, cutoff_parameter
        ``polynomial`` and its power, or ``xplor`` and the distance in angstrom from which on it decreases.
    activation_scale
        Factor of silu in the radial network; None for that of e3nn, which normalises the second moment.
    """

    n_basis: int
    cutoff_kind: Literal["polynomial", "xplor"]
    cutoff_parameter: float
    activation_scale: float | None = None


@dataclass(frozen=True)
class RepulsionSpec:
    """Repulsion of nuclei (ZBL): half of strength Z_i Z_j / r times a screening function, times the polynomial cutoff.

    Attributes
    ----------
    charges
        Atomic numbers in the order of the model's elements.
    strength
        Of two protons in eV angstrom.
    cutoff_power
        Power of its polynomial cutoff, which ends at the cutoff of the pair.
    """

    charges: tuple[int, ...]
    strength: float
    cutoff_power: int


@dataclass(frozen=True)
class GatedSpec:
    """A trained model without its weights.

    Attributes
    ----------
    modals
        Data sets or levels of theory among which one is chosen; empty for a model of one.
    modal
        Index of the chosen one; None before ``select_modal``.
    l_max
        Largest order of the spherical harmonics.
    has_odd_harmonics
        Whether the parity of the spherical harmonics is (-1)^l; otherwise all are labelled even.
    has_unit_harmonics
        Whether they are those of the unit vector; otherwise they are multiplied by r^l.
    readout
        Linear maps from the features after the last layer to the atomic energy, one after the other.
    made_by
        Program and version that wrote the file.
    readout_activation
        Activation between the maps of the readout, without a factor; None if there is none.
    has_pair_cutoffs
        Whether the basis takes the distance times the cutoff over the cutoff of the pair, ``pair_cutoffs``.
    repulsion
        Repulsion of nuclei that is added to the energies; None without.
    """

    atomic_numbers: tuple[int, ...]
    cutoff: float
    l_max: int
    has_odd_harmonics: bool
    has_unit_harmonics: bool
    radial: RadialSpec
    embedding: LinearSpec
    layers: tuple[GatedLayerSpec, ...]
    readout: tuple[LinearSpec, ...]
    dtype: Literal["float64", "float32"]
    made_by: str
    modals: tuple[str, ...] = ()
    modal: int | None = None
    readout_activation: Literal["silu", "mish", "gelu"] | None = None
    has_pair_cutoffs: bool = False
    repulsion: RepulsionSpec | None = None

    @property
    def n_layers(self) -> int:
        return len(self.layers)


@dataclass(frozen=True)
class GatedModel(SpecifiedModel):
    """A trained model; see ``TrainedModel``.

    Attributes
    ----------
    family
        Name of the family in the registry.
    weights
        Arrays in the precision of the file: those of the linear maps by their names, of layer T
        ``layers.T.self_connection.weight``, ``layers.T.radial.K.weight`` and ``layers.T.denominator``, and
        ``wave_numbers``, ``shift`` and ``scale``. The last two have the shape (n_elements,) or
        (n_modals, n_elements). A denominator is a number, or has one for each element of the neighbours.
        ``pair_cutoffs`` are distances in angstrom for each element of the centre and of the neighbour, if the
        specification has them. ``couplings.L1_L2_L3`` are Wigner 3j symbols of the file, as far as it has them.
    remarks
        Licence, source and citation of the model, as far as they are known.
    """

    family: str
    spec: GatedSpec
    weights: Weights
    source_sha256: str
    source_name: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        return self.spec.dtype

    def facts(self) -> dict[str, Any]:
        """Return the properties that ``mlip-lammps info`` prints."""
        n_weights = sum(array.size for name, array in self.weights.items() if not name.startswith("couplings."))
        found = asdict(self.spec)
        heads = found.pop("modals")
        found.pop("modal")
        found["layers"] = [{"number": t, **layer} for t, layer in enumerate(found["layers"], start=1)]
        return {**self.remarks, "heads": list(heads), "n_weights": n_weights, **found}

    def describe(self) -> dict[str, Any]:
        """Return the model properties for the metadata of a compiled file."""
        modals, chosen = self.spec.modals, self.spec.modal
        head = {} if not modals else {"heads": list(modals), "head": modals[chosen]}
        layers = [layer.irreps_out for layer in self.spec.layers]
        return {"made_by": self.spec.made_by, **head, "hidden_irreps": layers, **self.remarks}


def gate_places(gate: GateSpec) -> list[tuple[str, int, Entry, int]]:
    """Return where each entry of a gate begins among the copies of its irrep in ``gate.irreps_in``.

    Returns
    -------
    list
        (part, number of the entry in that part, entry, first copy); parts are ``scalars``, ``gates`` and ``gated``.
    """
    reached: dict[tuple[int, int], int] = {}
    places = []
    for part, number, entry in gate_entries(gate.scalars, gate.gates, gate.gated):
        start = reached.get(entry.kind, 0)
        places.append((part, number, entry, start))
        reached[entry.kind] = start + entry.mul
    return places


def gate_entries(
    scalars: tuple[tuple[str, str], ...], gates: tuple[tuple[str, str], ...], gated: str
) -> Iterator[tuple[str, int, Entry]]:
    """Yield the entries of a gate in the order of its parts, which e3nn's stable sort keeps within one irrep."""
    for part, entries in (("scalars", scalars), ("gates", gates)):
        for number, (text, _) in enumerate(entries):
            yield part, number, parse_irreps(text)[0]
    for number, entry in enumerate(parse_irreps(gated) if gated else ()):
        yield "gated", number, entry
