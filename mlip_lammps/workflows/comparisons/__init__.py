"""Workflows that compare models: what each says of a structure, and the numbers that a table shows."""

QUANTITIES = ("forces", "lattice", "elastic", "phonons", "speed")
"""What can be compared."""
MOST_ATOMS = 32
"""Larger cells are compared by forces and speed only, unless more is asked for."""
