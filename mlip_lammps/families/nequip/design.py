"""What determines a NequIP model besides its weights, and the specification that follows from it.

This module does not import torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.gated.irreps import convolution, full_product, gate_spec, harmonics
from mlip_lammps.families.gated.spec import GatedLayerSpec, GatedSpec, LinearSpec, RadialSpec, RepulsionSpec
from mlip_lammps.families.irreps import Entry, format_irreps, parse_irreps, simplify_irreps

COULOMB = 14.399645
"""Strength of the repulsion in eV angstrom, as NequIP has it for the units metal of LAMMPS."""
_EVEN, _ODD = ("silu", "ssp", "tanh", "abs"), ("tanh",)
_MOST_LAYERS, _LARGEST_ORDER, _MOST_CHANNELS = 50, 6, 10**5


@dataclass(frozen=True)
class Design:
    """The arguments of NequIP's most general builder, ``FullNequIPGNNModel``.

    Attributes
    ----------
    type_names
        Names of the atom types, which must be elements.
    hidden
        Irreps that each layer should have after its gate, as far as the layer before leads to them.
    radial_widths
        Widths of the hidden layers of each layer's radial network.
    of_scalars, of_gates
        Activations of the gate for even (1) and odd (-1) scalars.
    readout_widths
        Widths of the hidden layers of the readout.
    repulsion_power
        Power of the polynomial cutoff of the ZBL repulsion; None without repulsion.
    has_odd_harmonics
        Whether spherical harmonics have the parity (-1)^l; otherwise all irreps are labelled even.
    """

    type_names: tuple[str, ...]
    cutoff: float
    l_max: int
    n_embedding: int
    hidden: tuple[tuple[Entry, ...], ...]
    radial_widths: tuple[tuple[int, ...], ...]
    n_basis: int
    cutoff_power: int
    dtype: Literal["float64", "float32"]
    has_self_connections: bool = True
    of_scalars: Mapping[int, str] = field(default_factory=lambda: {1: "silu", -1: "tanh"})
    of_gates: Mapping[int, str] = field(default_factory=lambda: {1: "silu", -1: "tanh"})
    readout_widths: tuple[int, ...] = ()
    readout_activation: str | None = None
    has_pair_cutoffs: bool = False
    repulsion_power: int | None = None
    has_odd_harmonics: bool = True

    def specification(
        self, source: str, made_by: str, charges: NDArray[np.floating] | None, strength: float
    ) -> GatedSpec:
        """Return the specification.

        Parameters
        ----------
        source
            Name of the file for error messages.
        made_by
            Program and version.
        charges, strength
            Atomic numbers of the types and strength in eV angstrom for the repulsion; None and 0 without.

        Raises
        ------
        ModelFileError
            If a number is out of range.
        UnsupportedModelError
            If the model has a feature that is not supported; the message names it.
        """
        self._check(source)
        layers, before = [], (Entry(self.n_embedding, 0, 1),)
        for t, (wanted, widths) in enumerate(zip(self.hidden, self.radial_widths, strict=True)):
            layers.append(self._layer(t, before, wanted, widths))
            before = parse_irreps(layers[-1].irreps_out)
        if len(before) != 1 or before[0].kind != (0, 1):
            raise UnsupportedModelError(f"{source} has {layers[-1].irreps_out} after its last layer, not even scalars")
        numbers = self._numbers(source)
        widths = (before[0].mul, *self.readout_widths, 1)
        readout = tuple(
            LinearSpec(f"readout.{k}", f"{n_in}x0e", f"{n_out}x0e")
            for k, (n_in, n_out) in enumerate(pairwise(widths))
        )
        return GatedSpec(
            atomic_numbers=numbers,
            cutoff=float(self.cutoff),
            l_max=self.l_max,
            has_odd_harmonics=self.has_odd_harmonics,
            has_unit_harmonics=True,
            radial=RadialSpec(self.n_basis, "polynomial", self.cutoff_power, activation_scale=1.0),
            embedding=LinearSpec("embedding", f"{len(numbers)}x0e", f"{self.n_embedding}x0e"),
            layers=tuple(layers),
            readout=readout,
            dtype=self.dtype,
            made_by=made_by,
            readout_activation=self.readout_activation if self.readout_widths else None,
            has_pair_cutoffs=self.has_pair_cutoffs,
            repulsion=self._repulsion(source, charges, strength),
        )

    def _check(self, source: str) -> None:
        if not 0.1 <= self.cutoff <= 100.0:
            raise ModelFileError(f"the cutoff of {source} is {self.cutoff}, expected a distance; copy the file again")
        if not 1 <= len(self.hidden) <= _MOST_LAYERS or len(self.hidden) != len(self.radial_widths):
            raise ModelFileError(f"{source} has {len(self.hidden)} layers, expected 1 to {_MOST_LAYERS}")
        sizes = [self.n_embedding, *self.readout_widths, *(n for widths in self.radial_widths for n in widths)]
        sizes += [entry.mul for entries in self.hidden for entry in entries]
        if not 0 <= self.l_max <= _LARGEST_ORDER or not all(0 < n < _MOST_CHANNELS for n in sizes):
            raise ModelFileError(f"{source} has an order or a number of channels out of range; copy the file again")
        if not (1 <= self.n_basis <= 1000 and 2 <= self.cutoff_power <= 100):
            raise ModelFileError(f"the radial basis of {source} is out of range; copy the file again")
        for entries in self.hidden:
            if len({entry.kind for entry in entries}) < len(entries) or (0, 1) not in {entry.kind for entry in entries}:
                raise UnsupportedModelError(
                    f"{source} has the features {format_irreps(entries)}; supported are features with even scalars and "
                    "with each irrep once"
                )
        for part in (self.of_scalars, self.of_gates):
            if part.get(1) not in _EVEN or part.get(-1) not in _ODD:
                raise UnsupportedModelError(
                    f"{source} has the gate activations {part.get(1)} and {part.get(-1)}; supported are "
                    f"{', '.join(_EVEN)} for even and {', '.join(_ODD)} for odd scalars"
                )
        if self.readout_widths and self.readout_activation not in (None, "silu", "mish", "gelu"):
            raise UnsupportedModelError(
                f"{source} has the activation {self.readout_activation} in its readout; supported are silu, mish, gelu"
            )

    def _numbers(self, source: str) -> tuple[int, ...]:
        other = [name for name in self.type_names if name not in atomic_numbers or name == "X"]
        if other:
            raise UnsupportedModelError(
                f"{source} has the type {str(other[0])[:20]}, which is not an element; train with one type for each "
                "element"
            )
        if not self.type_names or len(set(self.type_names)) < len(self.type_names):
            raise ModelFileError(f"the types of {source} are not a list of different names; copy the file again")
        return tuple(atomic_numbers[name] for name in self.type_names)

    def _repulsion(
        self, source: str, charges: NDArray[np.floating] | None, strength: float
    ) -> RepulsionSpec | None:
        if self.repulsion_power is None:
            return None
        if abs(strength - COULOMB) > 1e-5:
            raise UnsupportedModelError(
                f"the ZBL repulsion of {source} has the strength {strength:.6g}, expected {COULOMB} eV angstrom (units "
                "metal); this package expects energies in eV"
            )
        if len(charges) != len(self.type_names) or not all(1 <= z <= 118 and z == round(z) for z in charges):
            raise ModelFileError(f"the atomic numbers in the ZBL repulsion of {source} are not those of elements")
        return RepulsionSpec(tuple(round(float(z)) for z in charges), float(strength), self.repulsion_power)

    def _layer(
        self, t: int, before: tuple[Entry, ...], wanted: tuple[Entry, ...], widths: tuple[int, ...]
    ) -> GatedLayerSpec:
        edge = harmonics(self.l_max, self.has_odd_harmonics)
        reached = {entry.kind for entry in full_product(before, edge)}
        out = tuple(entry for entry in wanted if entry.kind in reached)
        scalars = tuple(entry for entry in out if entry.order == 0)
        gated = tuple(entry for entry in out if entry.order > 0)
        gate = gate_spec(scalars, gated, dict(self.of_scalars), dict(self.of_gates))
        kinds = {entry.kind for entry in (*scalars, *gated)}
        mid, paths = convolution(before, edge, kinds & reached)
        text, prefix = format_irreps(before), f"layers.{t}"
        return GatedLayerSpec(
            irreps_in=text,
            irreps_mid=format_irreps(mid),
            irreps_out=format_irreps((*scalars, *gated)),
            paths=tuple(paths),
            radial_widths=widths,
            up=LinearSpec(f"{prefix}.up", text, text),
            message=LinearSpec(f"{prefix}.message", format_irreps(simplify_irreps(mid)), gate.irreps_in),
            self_connection="element" if t > 0 and self.has_self_connections else "none",
            gate=gate,
        )
