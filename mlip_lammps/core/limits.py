"""Tolerances of exports and verifications, by the precision of the compiled model, with their reasons.

Energies are in eV. Limits of forces and virials are multiplied by the largest force component of the structure, or by 1
eV/angstrom if that is more, because generated test structures have forces of several hundred eV/angstrom.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Largest accepted differences between two engines.

    Attributes
    ----------
    energy
        Difference of an atomic energy, and of the total energy per atom, in eV.
    force
        Difference of a force component, relative to the largest component.
    virial
        Difference of a virial component per atom (eV) divided by the largest force component, in angstrom.
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
    """Step and accuracy of numerical derivatives.

    Attributes
    ----------
    step
        Displacement of the coordinates in angstrom; Richardson extrapolation uses this step and half of it.
    force, virial
        See `Limits`.
    """

    step: float
    force: float
    virial: float


@dataclass(frozen=True)
class DynamicsLimits:
    """Length of a constant-energy run and bounds on its energy fluctuation.

    Attributes
    ----------
    n_steps
        Number of steps with the longer time step.
    lowest, highest
        Bounds on the energy fluctuation divided by the fluctuation with half the time step.
    """

    n_steps: int
    lowest: float
    highest: float


TO_REFERENCE = {
    # Radial tables (slopes within 1e-9 of the steepest) and sums in a different order over 100 to 200 edges per atom.
    "float64": Limits(energy=1e-9, force=1e-8, virial=1e-8),
    # Features in float32: 6e-8 per operation, amplified by products of the correlation order and by sums over edges.
    "mixed": Limits(energy=2e-4, force=1e-4, virial=2e-4),
    "float32": Limits(energy=2e-3, force=2e-4, virial=4e-4),
}
"""Limits between the compiled model and the reference in float64."""

FINE_TABLE_FORCE = 5e-10
"""Relative force difference above which a file in float64 gets finer radial tables: 0.8 MB more and 8 % slower for a
layer of 128 channels, so not for the many models that do not need them."""

TABLE_FORCE = {"float64": 1e-7, "mixed": 1e-6, "float32": 1e-6}
"""Largest force difference due to the radial tables alone, relative to the largest component.

For two atoms closer than a bond length, the force limit of ``TO_REFERENCE`` applies if it is larger: radial functions
may be large and cancel there for lack of training data, and a table has the dtype of the features.
"""

BETWEEN_ENGINES = {
    # The same programs, but edges in a different order, sums over ranks, and positions wrapped and rotated.
    "float64": Limits(energy=1e-9, force=1e-9, virial=1e-9),
    "mixed": Limits(energy=2e-5, force=2e-5, virial=4e-5),
    "float32": Limits(energy=5e-4, force=1e-4, virial=2e-4),
}
"""Limits between LAMMPS and the ASE calculator, and between two structures that must have the same energy."""

ROTATION = {
    "float64": Limits(energy=0.0, force=0.0, virial=0.0),
    # e3nn rounds the coupling coefficients in such a file to float32, and the model is trained with them: the model
    # itself is only approximately equivariant (1.7e-10 eV in the shipped water model, orders of magnitude more in
    # models that send irreps above l = 1).
    "float32": Limits(energy=1e-6, force=1e-6, virial=1e-6),
}
"""Limits between a rotated molecule and the original, by the precision of the trained file."""

DERIVATIVES = {
    # Extrapolated central differences: fourth-order truncation error, rounding error of 1e-13 eV over the step.
    "float64": DerivativeLimits(step=1e-3, force=1e-8, virial=1e-7),
    # Energies have a rounding noise of 1e-6 to 1e-5 eV, hence a longer step and a matching limit.
    "mixed": DerivativeLimits(step=2e-2, force=2e-3, virial=2e-3),
    "float32": DerivativeLimits(step=2e-2, force=5e-3, virial=5e-3),
}
"""Limits between forces or virial and numerical derivatives of the energy."""

DYNAMICS = {
    # A second-order integrator gives 4 if forces are the derivative of the energy; an error of 0.1 % gives 0.7 or 8.
    "float64": DynamicsLimits(n_steps=40, lowest=3.6, highest=4.4),
    # Fewer and longer steps over the same time: the fluctuation must exceed the rounding noise of the energy.
    "mixed": DynamicsLimits(n_steps=10, lowest=3.6, highest=4.4),
    "float32": DynamicsLimits(n_steps=10, lowest=3.0, highest=5.0),
}
"""Limits of the energy fluctuation in constant-energy runs."""

EDGE_VECTOR = 1e-9
"""Angstrom, for cells of up to 100 angstrom, because positions are rotated and wrapped; it scales with larger cells."""

SUM = 1e-11
"""Relative difference between a sum over atoms and the total: a few thousand float64 terms in a different order."""
