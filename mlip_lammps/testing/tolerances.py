"""Named tolerances and why they are what they are. Energies in eV, lengths in angstrom."""

EDGE_VECTOR = 1e-10
"""Two neighbour lists wrap positions of up to 100 angstrom in different ways: some 1e-14 relative."""

REFERENCE_ENERGY_PER_ATOM = 1e-10
"""Reference against mace-torch, both in float64: sums of terms of up to 100 eV in another order (measured 2e-13)."""

REFERENCE_FORCE = 1e-9
"""As the energy, through two or three layers of products; an error of 1e-9 of a term would show (measured 4e-12)."""

REFERENCE_STRESS = 1e-10
"""eV/angstrom^3: forces times a few angstrom over a volume of more than 20 angstrom^3."""

EXACT_SYMMETRY = 1e-10
"""Rotations, inversion, permutations and translations in float64, for energies per atom and forces."""

SINGLE_PRECISION_FORCE = 1e-4
"""Relative to the largest force: float32 carries 7 digits and loses two or three in sums over hundreds of edges."""

CENTRAL_DIFFERENCE_STEP = 1e-4
"""Angstrom: balances the truncation (h^2) and the rounding (eps E / h) of a float64 energy."""

CENTRAL_DIFFERENCE_FORCE = 1e-7
"""Central differences with that step reach 2.5e-8 eV/angstrom on a smooth potential; random models are less smooth."""

LAMMPS_ENERGY_PER_ATOM = 1e-9
"""LAMMPS against Python in float64: positions go through the domain's own wrapping and text of 15 digits."""

LAMMPS_FORCE = 1e-8
"""As the energy; the sum over ranks adds its own order."""

LAMMPS_VIRIAL_PER_ATOM = 1e-8
"""eV: forces times distances of up to a cutoff, summed over 50 to 100 edges."""

KERNEL_FLOAT64 = 1e-12
"""A C++ kernel against its torch form, relative to the largest number: sums of some hundred terms in another order."""

KERNEL_FLOAT32 = 1e-5
"""The same in float32."""

TABLE_REFERENCE = 1e-8
"""eV and eV/angstrom: float64 kernels against the reference on the same radial tables."""

EXACT_RADIAL = 1e-8
"""eV/angstrom: float64 layers with the radial network against the reference."""

EMULATED_GPU = 1e-10
"""eV, and eV/angstrom relative to the largest: float64 kernels of a GPU against the reference. Radial tables are within
1e-9 of the steepest slope, and far closer on average (measured 1e-12)."""
