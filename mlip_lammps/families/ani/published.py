"""Settings of the published models, which their state dicts lack. This module does not import torch."""

from dataclasses import dataclass
from math import pi

import numpy as np
from ase.data import chemical_symbols

from mlip_lammps.families.ani.parts import Parts
from mlip_lammps.families.ani.spec import Activation, CutoffFunction, Repulsion, Settings

_ANGLE_CUTOFF = 3.5
_WIDTHS_1X = {"H": (160, 128, 96), "C": (144, 112, 96), "N": (128, 112, 96), "O": (128, 112, 96)}
_WIDTHS_2X = {"H": (256, 192, 160), "C": (224, 192, 160), "N": (192, 160, 128), "O": (192, 160, 128)}
_WIDTHS_2X |= {symbol: (160, 128, 96) for symbol in ("S", "F", "Cl")}
_COSINE, _SMOOTH = CutoffFunction("cosine"), CutoffFunction("smooth")


@dataclass(frozen=True)
class _Published:
    """Constants by which a model is recognised, and its settings.

    Shifts begin at ``start`` and divide the length up to the cutoff into ``n_radial`` or ``n_shifts`` parts; sections
    divide the half circle.
    """

    names: str
    elements: frozenset[str]
    widths: dict[str, tuple[int, ...]]
    start: float
    cutoff: float
    n_radial: int
    radial_eta: float
    n_shifts: int
    n_sections: int
    angular_eta: float
    zeta: float
    cutoff_function: CutoffFunction
    activation: Activation
    has_biases: bool
    has_repulsion: bool = False

    @property
    def settings(self) -> Settings:
        repulsion = Repulsion(self.cutoff, self.cutoff_function) if self.has_repulsion else None
        return Settings(self.cutoff, _ANGLE_CUTOFF, self.cutoff_function, self.activation, repulsion)

    def fits(self, parts: Parts) -> bool:
        """Return whether a state dict has the elements, networks and constants of this model."""
        symbols = [chemical_symbols[number] for number in parts.atomic_numbers]
        if set(symbols) != self.elements or (parts.has_biases, bool(parts.repulsion)) != (
            self.has_biases,
            self.has_repulsion,
        ):
            return False
        if parts.widths != tuple((*self.widths[symbol], 1) for symbol in symbols):
            return False
        expected = {
            "radial eta": [self.radial_eta],
            "radial shifts": _divided(self.start, self.cutoff, self.n_radial),
            "angular eta": [self.angular_eta],
            "angular zeta": [self.zeta],
            "angular shifts": _divided(self.start, _ANGLE_CUTOFF, self.n_shifts),
            "angular sections": _divided(0.5 * pi / self.n_sections, pi + 0.5 * pi / self.n_sections, self.n_sections),
        }
        found = {f"radial {name}": array for name, array in parts.radial.items()}
        found |= {f"angular {name}": array for name, array in parts.angular.items()}
        return all(
            found[name].size == len(values) and np.allclose(found[name].reshape(-1), values, rtol=1e-5, atol=1e-6)
            for name, values in expected.items()
        )


_HCNO, _ALL = frozenset(_WIDTHS_1X), frozenset(_WIDTHS_2X)
_PUBLISHED = (
    _Published(
        "ANI-1x or ANI-1ccx", _HCNO, _WIDTHS_1X, 0.9, 5.2, 16, 16.0, 4, 8, 8.0, 32.0, _COSINE, "celu", True
    ),
    _Published("ANI-2x", _ALL, _WIDTHS_2X, 0.8, 5.1, 16, 19.7, 8, 4, 12.5, 14.1, _COSINE, "celu", True),
    _Published("ANI-1xnr", _HCNO, _WIDTHS_2X, 0.5, 5.2, 32, 65.7, 8, 4, 10.1, 14.1, _COSINE, "celu", True),
    _Published("ANI-2xr", _ALL, _WIDTHS_2X, 0.9, 5.2, 16, 19.7, 8, 4, 12.5, 14.1, _SMOOTH, "gelu", False, True),
)
NAMES = ", ".join(one.names for one in _PUBLISHED)
"""The models whose settings are known."""


def published_settings(parts: Parts) -> tuple[str, Settings] | None:
    """Return name and settings of the published model that a state dict belongs to; None if there is none."""
    return next(((one.names, one.settings) for one in _PUBLISHED if one.fits(parts)), None)


def _divided(start: float, end: float, n: int) -> list[float]:
    return [start + (end - start) / n * k for k in range(n)]
