"""Structure factors of liquids and glasses."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.analysis.rdf import RadialDistribution
from mlip_lammps.core.arguments import require_count, require_instance, require_positive


@dataclass(frozen=True)
class StructureFactor:
    """Faber-Ziman partial structure factor; that of the whole structure if there is one element.

    Attributes
    ----------
    k
        Wave numbers in 1/angstrom, shape (n,).
    s
        S(k), shape (n,); 1 without correlation.
    """

    k: NDArray[np.float64]
    s: NDArray[np.float64]


def structure_factor(
    pair: RadialDistribution, number_density: float, k_max: float = 12.0, n_k: int = 240
) -> StructureFactor:
    r"""Return the structure factor that belongs to g(r).

    Parameters
    ----------
    pair
        g(r) up to a distance where it is 1; the longer, the better peaks are resolved.
    number_density
        Atoms of all elements for each cubic angstrom.
    k_max
        Largest wave number in 1/angstrom.
    n_k
        Number of wave numbers.

    Notes
    -----
    :math:`S(k) = 1 + 4 \pi \rho \int r^2 (g(r) - 1) \frac{\sin kr}{kr} \frac{\sin(\pi r / R)}{\pi r / R} dr` with the
    window of Lorch, where R is the end of g(r). Wave numbers below 2 pi / R are left out.

    References
    ----------
    E. Lorch, J. Phys. C 2, 229 (1969), https://doi.org/10.1088/0022-3719/2/2/305
    """
    require_instance("pair", pair, RadialDistribution, "what radial_distribution returns")
    require_positive("number_density", number_density)
    require_positive("k_max", k_max)
    require_count("n_k", n_k)
    width = pair.r[1] - pair.r[0]
    end = pair.r[-1] + width / 2.0
    k = np.linspace(2.0 * np.pi / end, max(k_max, 2.0 * np.pi / end), n_k)
    weights = 4.0 * np.pi * number_density * width * pair.r**2 * (pair.g - 1.0) * np.sinc(pair.r / end)
    return StructureFactor(k, 1.0 + np.sinc(np.outer(k, pair.r) / np.pi) @ weights)
