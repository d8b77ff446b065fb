"""Comparisons of a verification and their results."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.limits import Limits
from mlip_lammps.structure.evaluation import Evaluation

Verdict = Literal["pass", "fail", "skipped"]


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes
    ----------
    group, name
        The two engines that were compared, and the quantity.
    number
        Measured value; None if LAMMPS stopped or the check was skipped.
    limit, low
        Largest and smallest value that passes; None if there is no such bound.
    unit
        Unit of ``number``, ``limit`` and ``low``.
    where
        Structure, setting or component with the worst value.
    verdict
        ``pass``, ``fail`` or ``skipped``.
    note
        Reason why the check failed without a number or was skipped.
    """

    group: str
    name: str
    number: float | None
    limit: float | None
    low: float | None
    unit: str
    where: str
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True)
class Verification:
    """All checks of one model.

    Attributes
    ----------
    facts
        Model, source, dtype, elements, structures, rank counts and versions.
    checks
        Checks in the order in which they were made: edges before forces.
    seconds
        Wall time in s, excluding compilation.
    """

    facts: Mapping[str, Any]
    checks: tuple[Check, ...]
    seconds: float

    def with_verdict(self, verdict: Verdict) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.verdict == verdict)

    @property
    def has_passed(self) -> bool:
        """Whether no check failed; skipped checks do not count."""
        return not self.with_verdict("fail")

    def verdict(self, *, needs_reference: bool) -> Literal["pass", "fail", "incomplete"]:
        """Return "incomplete" if no check failed but the required reference was missing."""
        if not self.has_passed:
            return "fail"
        return "incomplete" if needs_reference and self.facts["source"] is None else "pass"

    def as_dict(self, *, needs_reference: bool = True) -> dict[str, Any]:
        """Return the content of the JSON file."""
        return {
            **self.facts,
            "seconds": round(self.seconds, 1),
            "verdict": self.verdict(needs_reference=needs_reference),
            "n_skipped": len(self.with_verdict("skipped")),
            "checks": [_finite(asdict(check)) for check in self.checks],
        }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Replace infinities and NaN by None: JSON has neither."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }


QUANTITIES = {
    "energy": "eV per atom",
    "atomic energies": "eV",
    "forces": "eV/angstrom",
    "virial": "eV per atom",
    "per-atom virials": "eV",
}
"""Compared quantities and their units."""


def differences(found: Evaluation, expected: Evaluation, limits: Limits) -> dict[str, tuple[float, float]]:
    """Return the difference and its limit for each of ``QUANTITIES`` that both results contain.

    A value that is not finite gives an infinite difference. Limits are relative to the largest force component if it is
    above 1 eV/angstrom: the structures scale with the cutoff, so that atoms of some models are very close.
    """
    n_atoms = len(expected.forces)
    scale = max(1.0, float(np.abs(expected.forces).max(initial=0.0)))
    pairs = {
        "energy": (_largest(found.energy - expected.energy) / n_atoms, limits.energy * scale),
        "atomic energies": (_largest(found.node_energies - expected.node_energies), limits.energy * scale),
        "forces": (_largest(found.forces - expected.forces), limits.force * scale),
    }
    if found.virial is not None and expected.virial is not None:
        pairs["virial"] = (_largest(found.virial - expected.virial) / n_atoms, limits.virial * scale)
    if found.centroid_virials is not None and expected.centroid_virials is not None:
        difference = _largest(found.centroid_virials - expected.centroid_virials)
        pairs["per-atom virials"] = (difference, limits.virial * scale)
    return pairs


def _largest(difference: NDArray[np.float64] | float) -> float:
    largest = float(np.abs(difference).max(initial=0.0))
    return largest if math.isfinite(largest) else math.inf


@dataclass
class Worst:
    """The worst of many values relative to their limits."""

    number: float | None = None
    limit: float = 0.0
    where: str = ""
    unit: str = ""
    notes: list[str] = field(default_factory=list)

    def add(self, number: float, limit: float, where: str, unit: str = "") -> None:
        """Add a value with its limit."""
        if self.number is None or _ratio(number, limit) > _ratio(self.number, self.limit):
            self.number, self.limit, self.where, self.unit = number, limit, where, unit or self.unit

    def fail(self, where: str, note: str) -> None:
        """Record a comparison that could not be made."""
        self.notes.append(f"{where}: {note}")

    def check(self, group: str, name: str, unit: str = "") -> Check:
        """Return the check of the worst value."""
        is_inside = self.number is not None and self.number <= self.limit
        verdict: Verdict = "pass" if is_inside and not self.notes else "fail"
        note = self.notes[0] if self.notes else "" if self.number is not None else "nothing was compared"
        return Check(group, name, self.number, self.limit, None, unit or self.unit, self.where, verdict, note)


def _ratio(number: float, limit: float) -> float:
    if not math.isfinite(number):
        return math.inf
    return number / limit if limit > 0.0 else math.inf if number > 0.0 else 0.0


@dataclass
class Comparison:
    """Differences between two engines over many structures, with one check per quantity."""

    group: str
    worst: dict[str, Worst] = field(default_factory=dict)

    def add(self, where: str, found: Evaluation, expected: Evaluation, limits: Limits) -> None:
        """Add the results for one structure."""
        for quantity, (number, limit) in differences(found, expected, limits).items():
            self.worst.setdefault(quantity, Worst()).add(number, limit, where)

    def checks(self) -> Iterable[Check]:
        """Yield one check per quantity."""
        for quantity, unit in QUANTITIES.items():
            if quantity in self.worst:
                yield self.worst[quantity].check(self.group, quantity, unit)
