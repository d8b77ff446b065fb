"""Formation, decomposition and reaction energies of phases, and their convex hull."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.phasediagram import PhaseDiagram
from numpy.typing import NDArray
from scipy.linalg import null_space

from mlip_lammps.core.arguments import Number
from mlip_lammps.core.errors import UserInputError

_ON_HULL = 1e-6
"""eV per atom; a phase this close to the hull is on it."""


@dataclass(frozen=True)
class Phase:
    """A phase with its energies.

    Attributes
    ----------
    name
        Its name.
    formula
        Reduced formula.
    energy_per_atom
        Energy in eV per atom.
    formation_energy
        Energy less that of the most stable phase of each element, eV per atom.
    above_hull
        Energy above the convex hull, eV per atom; 0 for a stable phase.
    decomposes_to
        Stable phases with the same overall composition, and the fraction of atoms in each; the phase itself if stable.
    """

    name: str
    formula: str
    energy_per_atom: float
    formation_energy: float
    above_hull: float
    decomposes_to: dict[str, float]

    @property
    def is_stable(self) -> bool:
        """Whether the phase is on the convex hull."""
        return self.above_hull < _ON_HULL


@dataclass(frozen=True)
class PhaseStudy:
    """Phases on and above their convex hull.

    Attributes
    ----------
    elements
        The elements.
    phases
        All phases, by formation energy.
    """

    elements: tuple[str, ...]
    phases: tuple[Phase, ...]

    @property
    def stable(self) -> tuple[str, ...]:
        """Names of the phases on the hull."""
        return tuple(phase.name for phase in self.phases if phase.is_stable)


@dataclass(frozen=True)
class Reaction:
    """A balanced reaction.

    Attributes
    ----------
    equation
        With coefficients per formula unit, for instance ``2 Cu + 1 Au -> 1 Cu2Au``.
    energy
        Energy of the products less that of the reactants, eV for the coefficients in the equation.
    coefficients
        Negative for reactants.
    """

    equation: str
    energy: float
    coefficients: dict[str, float] = field(repr=False)


def formation_energies(phases: Mapping[str, Atoms], energies: Mapping[str, float]) -> PhaseStudy:
    """Return formation energies and the convex hull.

    Parameters
    ----------
    phases
        Relaxed structures by name. At least one phase of each element is needed as its reference.
    energies
        Their energies in eV.

    Raises
    ------
    UserInputError
        If an element has no phase of its own, or a phase has no energy.

    Notes
    -----
    The hull is that of ``ase.phasediagram.PhaseDiagram``. Energies have no vibrations and no pressure.
    """
    for name in phases:
        Number().require(f"energies[{name!r}]", energies.get(name))
    elements = tuple(sorted({symbol for atoms in phases.values() for symbol in atoms.get_chemical_symbols()}))
    per_atom = {name: energies[name] / len(atoms) for name, atoms in phases.items()}
    references = {}
    for element in elements:
        pure = [name for name, atoms in phases.items() if set(atoms.get_chemical_symbols()) == {element}]
        if not pure:
            raise UserInputError(
                f"no phase consists of {element} only; formation energies need a structure of each element: "
                f"{', '.join(elements)}"
            )
        references[element] = min(per_atom[name] for name in pure)
    formation = {
        name: per_atom[name] - sum(references[symbol] for symbol in atoms.get_chemical_symbols()) / len(atoms)
        for name, atoms in phases.items()
    }
    found = []
    for name, atoms in phases.items():
        above, parts = _above_hull(name, phases, formation, elements)
        found.append(Phase(name, _formula(atoms), per_atom[name], formation[name], above, parts))
    return PhaseStudy(elements, tuple(sorted(found, key=lambda phase: (phase.formation_energy, phase.name))))


def reaction_energy(equation: str, phases: Mapping[str, Atoms], energies: Mapping[str, float]) -> Reaction:
    """Return the energy of a reaction between phases, which is balanced first.

    Parameters
    ----------
    equation
        Names of phases, for instance ``Cu + Au -> CuAu``; coefficients are ignored.
    phases, energies
        Structures and their energies in eV, by name.

    Raises
    ------
    UserInputError
        If the equation cannot be read, a name is unknown, or the reaction cannot be balanced in one way.
    """
    sides = equation.split("->")
    names = [[re.sub(r"^[\d.]+\s+", "", word.strip()) for word in side.split("+")] for side in sides]
    if len(sides) != 2 or not all(name for side in names for name in side):
        raise UserInputError(f"{equation!r} is not a reaction; write for example: Cu + Au -> CuAu")
    flat = [*names[0], *names[1]]
    if unknown := [name for name in flat if name not in phases]:
        raise UserInputError(f"{unknown[0]} is not a phase; the names are {', '.join(phases)}")
    elements = sorted({symbol for name in flat for symbol in phases[name].get_chemical_symbols()})
    units = {name: phases[name].symbols.formula.reduce()[1] for name in flat}
    counts = np.array([[phases[name].symbols.count(e) / units[name] for name in flat] for e in elements])
    signs = np.array([-1.0] * len(names[0]) + [1.0] * len(names[1]))
    space = null_space(counts * signs)
    coefficients = space[:, 0] * np.sign(space[:, 0].sum() or 1) if space.shape[1] == 1 else np.zeros(len(flat))
    if space.shape[1] != 1 or coefficients.min() < 1e-9:
        raise UserInputError(
            f"{equation!r} cannot be balanced in one way with {', '.join(_formula(phases[name]) for name in flat)}; "
            "check the phases on both sides"
        )
    coefficients = _whole(coefficients / coefficients.min())
    energy = sum(
        sign * factor * energies[name] / units[name]
        for name, factor, sign in zip(flat, coefficients, signs, strict=True)
    )
    terms = [f"{factor:g} {name}" for name, factor in zip(flat, coefficients, strict=True)]
    text = " + ".join(terms[: len(names[0])]) + " -> " + " + ".join(terms[len(names[0]) :])
    return Reaction(text, float(energy), dict(zip(flat, (signs * coefficients).tolist(), strict=True)))


def _whole(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smallest whole multiples, if there are any up to 24."""
    for factor in range(1, 25):
        scaled = factor * coefficients
        if np.abs(scaled - np.rint(scaled)).max() < 1e-6:
            return np.rint(scaled)
    return coefficients


def _formula(atoms: Atoms) -> str:
    return atoms.get_chemical_formula(empirical=True)


def _above_hull(
    name: str, phases: Mapping[str, Atoms], formation: Mapping[str, float], elements: Sequence[str]
) -> tuple[float, dict[str, float]]:
    """Return the energy above the hull of all phases, eV per atom, and the phases that it decomposes to."""
    counts = phases[name].symbols.formula.count()
    if len(elements) == 1:
        lowest = min(formation, key=formation.get)
        return formation[name] - formation[lowest], {lowest: 1.0}
    references = [(atoms.get_chemical_formula(), formation[key] * len(atoms)) for key, atoms in phases.items()]
    diagram = PhaseDiagram(references, verbose=False)
    energy, indices, weights = diagram.decompose(**counts)
    keys = list(phases)
    n_atoms = sum(counts.values())
    parts = {
        keys[k]: float(weight * len(phases[keys[k]]) / n_atoms)
        for k, weight in zip(indices, weights, strict=True)
        if weight > 1e-9
    }
    above = formation[name] - float(energy) / n_atoms
    return max(0.0, above), {name: 1.0} if above < _ON_HULL else parts

