"""What every file format of ANI potentials contains, and the model that it makes. This module does not import torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families.ani.spec import AngularTerms, AniModel, AniSpec, RadialTerms, Settings

CITATION = "Gao et al., J. Chem. Inf. Model. 60, 3408 (2020), doi:10.1021/acs.jcim.0c00451"

Floats = NDArray[np.floating]

REPULSION_NAMES = ("y", "sqrt_alpha", "k")


@dataclass(frozen=True)
class LayerParts:
    """One layer of a network: weight (n_out, n_in) and bias (n_out,) or None."""

    weight: Floats
    bias: Floats | None


@dataclass(frozen=True)
class Parts:
    """Numbers of a file.

    Attributes
    ----------
    radial
        ``eta`` (1,) and ``shifts``.
    angular
        ``eta`` (1,), ``zeta`` (1,), ``shifts`` and ``sections``.
    members
        For each member and element the layers of the network.
    self_energies
        In hartree, shape (n_elements,).
    repulsion
        Parameters of pairs of elements by `REPULSION_NAMES`, (n_elements, n_elements); empty without a repulsion.
    """

    atomic_numbers: tuple[int, ...]
    radial: dict[str, Floats]
    angular: dict[str, Floats]
    members: tuple[tuple[tuple[LayerParts, ...], ...], ...]
    self_energies: Floats
    repulsion: dict[str, Floats] = field(default_factory=dict)

    @property
    def widths(self) -> tuple[tuple[int, ...], ...]:
        """Widths of the layers of each element."""
        return tuple(tuple(len(layer.weight) for layer in network) for network in self.members[0])

    @property
    def has_biases(self) -> bool:
        return self.members[0][0][0].bias is not None

    def spec(self, settings: Settings) -> AniSpec:
        """Return the specification of the potential."""
        radial = RadialTerms(settings.cutoff, float(self.radial["eta"][0]), _floats(self.radial["shifts"]))
        eta, zeta = (float(self.angular[name][0]) for name in ("eta", "zeta"))
        shifts, sections = (_floats(self.angular[name]) for name in ("shifts", "sections"))
        return AniSpec(
            atomic_numbers=self.atomic_numbers,
            radial=radial,
            angular=AngularTerms(settings.angle_cutoff, eta, zeta, shifts, sections),
            cutoff_function=settings.cutoff_function,
            widths=self.widths,
            activation=settings.activation,
            has_biases=self.has_biases,
            n_members=len(self.members),
            self_energies=_floats(self.self_energies),
            repulsion=settings.repulsion,
        )

    def model(self, path: Path, settings: Settings, digest: str, form: str, remarks: dict[str, str]) -> AniModel:
        """Return the potential.

        Raises
        ------
        ModelFileError
            If numbers are not finite, or arrays have other shapes than the potential needs.
        """
        spec = self.spec(settings)
        _check_numbers(path, spec)
        weights = self._weights(path, spec)
        for name in REPULSION_NAMES if spec.repulsion is not None else ():
            weights[f"repulsion.{name}"] = self.repulsion[name]
            _require_shape(path, f"repulsion {name}", self.repulsion[name], (len(spec.atomic_numbers),) * 2)
        for name, array in weights.items():
            if not np.isfinite(array).all():
                raise ModelFileError(f"{path} has numbers that are not finite in {name}; copy the file again")
        return AniModel(spec, weights, digest, path.name, form, {"citation": CITATION, **remarks})

    def _weights(self, path: Path, spec: AniSpec) -> dict[str, Floats]:
        weights = {}
        for row, (number, widths) in enumerate(zip(spec.atomic_numbers, spec.widths, strict=True)):
            n_in, symbol = spec.n_inputs, chemical_symbols[number]
            if widths[-1] != 1:
                raise ModelFileError(f"{path}: the network of {symbol} has {widths[-1]} outputs, expected an energy")
            for k, n_out in enumerate(widths):
                layers = [member[row][k : k + 1] for member in self.members]
                if not all(layers) or any(len(member[row]) != len(widths) for member in self.members):
                    raise ModelFileError(f"{path} has members whose networks of {symbol} differ in their layers")
                for (layer,) in layers:
                    what = f"layer {k} of the network of {symbol}"
                    _require_shape(path, f"weight of {what}", layer.weight, (n_out, n_in))
                    if (layer.bias is not None) != spec.has_biases:
                        raise ModelFileError(f"{path} has biases in some layers, but not in {what}; copy it again")
                    if layer.bias is not None:
                        _require_shape(path, f"bias of {what}", layer.bias, (n_out,))
                name = f"networks.{number}.{k}"
                weights[f"{name}.weight"] = np.ascontiguousarray(np.stack([one.weight.T for (one,) in layers]))
                if spec.has_biases:
                    weights[f"{name}.bias"] = np.stack([one.bias for (one,) in layers])
                n_in = n_out
        return weights


def _check_numbers(path: Path, spec: AniSpec) -> None:
    n_elements = len(spec.atomic_numbers)
    is_known = all(0 < number < len(chemical_symbols) for number in spec.atomic_numbers)
    if not is_known or len(set(spec.atomic_numbers)) != n_elements or len(spec.self_energies) != n_elements:
        raise ModelFileError(
            f"{path} has the elements {spec.atomic_numbers} and {len(spec.self_energies)} self energies, expected "
            "different elements and an energy for each; copy the file again"
        )
    radial, angular = spec.radial, spec.angular
    numbers = (*radial.shifts, *angular.shifts, *angular.sections, radial.eta, angular.eta, *spec.self_energies)
    if not radial.shifts or not angular.shifts or not angular.sections or not np.isfinite(numbers).all():
        raise ModelFileError(f"{path} lacks finite shifts and widths of the radial and angular terms; copy it again")
    if not (min(radial.eta, angular.eta) > 0.0 and 1.0 <= angular.zeta < 1e4):
        raise ModelFileError(
            f"{path} has terms with eta {radial.eta:g} and {angular.eta:g} and zeta {angular.zeta:g}, expected "
            "positive widths and zeta of at least 1; copy the file again"
        )
    if not 0.0 < angular.cutoff <= radial.cutoff < 1e3:
        raise ModelFileError(
            f"{path} has a radial cutoff of {radial.cutoff:g} and an angular one of {angular.cutoff:g} angstrom, "
            "expected positive cutoffs, the angular one not longer; copy the file again"
        )


def _require_shape(path: Path, what: str, array: Floats, shape: Sequence[int]) -> None:
    if array.shape != tuple(shape):
        raise ModelFileError(
            f"the {what} in {path} has the shape {array.shape}, expected {tuple(shape)}; copy the file again"
        )


def _floats(array: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in array.reshape(-1))
