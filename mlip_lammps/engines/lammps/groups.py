"""Groups of LAMMPS, and the atoms that constraints of ASE fix."""

from collections.abc import Sequence

from ase import Atoms


def fixed_ids(atoms: Atoms) -> list[int]:
    """Return the LAMMPS IDs of the atoms in ``FixAtoms`` constraints, the only constraints that may be there."""
    return sorted({int(k) + 1 for constraint in atoms.constraints for k in constraint.index})


def group_commands(name: str, ids: Sequence[int]) -> list[str]:
    """Return commands that define a group, with ranges for consecutive IDs and lines of bounded length."""
    ranges: list[list[int]] = []
    for number in sorted(ids):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    words = [f"{low}" if low == high else f"{low}:{high}" for low, high in ranges]
    return [f"group           {name} id {' '.join(words[k : k + 20])}" for k in range(0, len(words), 20)]
