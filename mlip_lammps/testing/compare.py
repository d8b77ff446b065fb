"""Comparisons that report which atom or component differs, and by how much."""

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import ArrayLike

VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
"""Order of ASE's stress vectors."""


def assert_energies_agree(found: float, expected: float, n_atoms: int, tolerance: float) -> None:
    """Raise unless two total energies (eV) agree within ``tolerance`` (eV per atom).

    Raises
    ------
    AssertionError
        With both energies and their difference per atom.
    """
    difference = abs(float(found) - float(expected)) / max(n_atoms, 1)
    # This form also fails for NaN.
    if not difference <= tolerance:
        raise AssertionError(
            f"energies {float(found):.12f} and {float(expected):.12f} eV of {n_atoms} atoms differ by {difference:.3e} "
            f"eV per atom, tolerance {tolerance:.1e}"
        )


def assert_node_energies_agree(
    found: ArrayLike, expected: ArrayLike, tolerance: float, atomic_numbers: ArrayLike | None = None
) -> None:
    """Raise unless atomic energies (eV, shape (n_atoms,)) agree within ``tolerance`` (eV)."""
    _assert_rows_agree("atomic energies", "eV", found, expected, tolerance, atomic_numbers, 1)


def assert_forces_agree(
    found: ArrayLike, expected: ArrayLike, tolerance: float, atomic_numbers: ArrayLike | None = None
) -> None:
    """Raise unless forces (eV/angstrom, shape (n_atoms, 3)) agree within ``tolerance`` in every component.

    Parameters
    ----------
    atomic_numbers
        Atomic numbers, shape (n_atoms,), for the element in the error message.

    Raises
    ------
    AssertionError
        With the atom that differs most, both forces on it, and the number of atoms that differ.
    """
    _assert_rows_agree("forces", "eV/angstrom", found, expected, tolerance, atomic_numbers, 2)


def assert_virials_agree(found: ArrayLike, expected: ArrayLike, tolerance: float, unit: str = "eV") -> None:
    """Raise unless two virials or stresses (shape (6,), ASE's Voigt order) agree within ``tolerance``.

    Parameters
    ----------
    unit
        Unit of both and of ``tolerance``, for the error message.

    Raises
    ------
    AssertionError
        With every component that differs.
    """
    a, b = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if a.shape != (6,) or b.shape != (6,):
        raise AssertionError(f"virials of shapes {a.shape} and {b.shape}, expected (6,)")
    wrong = np.flatnonzero(~(np.abs(a - b) <= tolerance))
    if len(wrong):
        parts = ", ".join(f"{VOIGT[k]} {a[k]:.6e} and {b[k]:.6e}" for k in wrong)
        raise AssertionError(f"virials differ in {parts} {unit}, tolerance {tolerance:.1e}")


def _assert_rows_agree(
    what: str,
    unit: str,
    found: ArrayLike,
    expected: ArrayLike,
    tolerance: float,
    atomic_numbers: ArrayLike | None,
    n_dimensions: int,
) -> None:
    a, b = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if a.shape != b.shape or a.ndim != n_dimensions:
        raise AssertionError(f"{what} of shapes {a.shape} and {b.shape}, expected equal shapes of {n_dimensions} axes")
    differences = np.abs(a - b).max(axis=tuple(range(1, a.ndim)), initial=0.0)
    wrong = np.flatnonzero(~(differences <= tolerance))
    if len(wrong):
        atom = wrong[np.argmax(np.nan_to_num(differences[wrong], nan=np.inf))]
        symbol = "" if atomic_numbers is None else f" ({chemical_symbols[int(np.asarray(atomic_numbers)[atom])]})"
        raise AssertionError(
            f"{what} of {len(wrong)} of {len(a)} atoms differ by more than {tolerance:.1e} {unit}; "
            f"most at atom {atom}{symbol}: {a[atom]} and {b[atom]}, difference {differences[atom]:.3e}"
        )
