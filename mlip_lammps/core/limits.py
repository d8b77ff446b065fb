"""How well engines agree, by the precision of the compiled model: limits of exports and verifications, with reasons.

Energies are in eV. Limits of forces and virials are multiplied by the largest force component of the structure, or by 1
eV/angstrom if that is more: structures that a test makes up have forces of hundreds.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Largest differences of two engines.

    Attributes
    ----------
    energy
        Of one atom, and of the total energy divided by the number of atoms, eV.
    force
        Of a component, as a part of the largest.
    virial
        Of a component, angstrom: eV per atom as a part of the largest force component.
    """

    energy: float
    force: float
    virial: float

    def widened_to(self, other: "Limits") -> "Limits":
        """Return the wider of each pair of limits."""
        return Limits(
            max(self.energy, other.energy), max(self.force, other.force), max(self.virial, other.virial)
        )


@dataclass(frozen=True)
class DerivativeLimits:
    """How derivatives are taken numerically, and how well that goes.

    Attributes
    ----------
    step
        Of the coordinates, angstrom; twice and once that step are extrapolated to none.
    force, virial
        As in `Limits`.
    """

    step: float
    force: float
    virial: float


@dataclass(frozen=True)
class DynamicsLimits:
    """How far a constant-energy run goes.

    Attributes
    ----------
    n_steps
        At the longer time step.
    lowest, highest
        Of the fluctuation of the energy over that at half the time step.
    """

    n_steps: int
    lowest: float
    highest: float


TO_REFERENCE = {
    # Radial tables (slopes to 1e-9 of the steepest) and sums in another order, over 100 to 200 edges an atom.
    "float64": Limits(energy=1e-9, force=1e-8, virial=1e-8),
    # Features in float32: 6e-8 an operation, grown by the products of the correlation order and by sums over edges.
    "mixed": Limits(energy=2e-4, force=1e-4, virial=2e-4),
    "float32": Limits(energy=2e-3, force=2e-4, virial=4e-4),
}
"""Of the compiled model from the reference in float64."""

TABLE_FORCE = {"float64": 1e-7, "mixed": 1e-6, "float32": 1e-6}
"""Of forces because of the radial tables alone, as a part of the largest component.

For two atoms closer than a bond the limit of forces in ``TO_REFERENCE`` holds if it is larger: where no data were,
radial functions may be large and cancel, and a table is in the type of the features.
"""

BETWEEN_ENGINES = {
    # The same programs: edges in another order, sums over ranks, positions wrapped and turned.
    "float64": Limits(energy=1e-9, force=1e-9, virial=1e-9),
    "mixed": Limits(energy=2e-5, force=2e-5, virial=4e-5),
    "float32": Limits(energy=5e-4, force=1e-4, virial=2e-4),
}
"""Of LAMMPS from the ASE calculator, and of one structure from another that must have the same energy."""

ROTATION = {
    "float64": Limits(energy=0.0, force=0.0, virial=0.0),
    # e3nn rounds the couplings in such a file to float32, and the model is trained with them: it is itself no more
    # exact under rotations (1.7e-10 eV in the shipped water model, orders more where irreps above l = 1 travel).
    "float32": Limits(energy=1e-6, force=1e-6, virial=1e-6),
}
"""Of a rotated molecule from the molecule, by the precision of the trained file."""

DERIVATIVES = {
    # Extrapolated central differences: truncation of fourth order, rounding of 1e-13 eV over the step.
    "float64": DerivativeLimits(step=1e-3, force=1e-8, virial=1e-7),
    # Energies carry a noise of 1e-6 to 1e-5 eV: a longer step, and a limit to match.
    "mixed": DerivativeLimits(step=2e-2, force=2e-3, virial=2e-3),
    "float32": DerivativeLimits(step=2e-2, force=5e-3, virial=5e-3),
}
"""Of forces and virial from differences of energies."""

DYNAMICS = {
    # A second-order integrator gives 4 where forces are the derivative of the energy; 0.1 % amiss gives 0.7 or 8.
    "float64": DynamicsLimits(n_steps=40, lowest=3.6, highest=4.4),
    # Fewer and longer steps over the same time: the fluctuation must stand out of the noise of the energy.
    "mixed": DynamicsLimits(n_steps=10, lowest=3.6, highest=4.4),
    "float32": DynamicsLimits(n_steps=10, lowest=3.0, highest=5.0),
}
"""Of the energy at constant energy."""

EDGE_VECTOR = 1e-9
"""Angstrom, in cells of up to 100 angstrom: positions are turned and wrapped; in larger cells it grows with them."""

SUM = 1e-11
"""Relative, of a sum over atoms from the total: a few thousand terms in float64, added in another order."""
