"""Named tolerances and their reasons. Energies are in eV, lengths in angstrom."""

EDGE_VECTOR = 1e-10
"""Two neighbour lists wrap positions of up to 100 angstrom differently: relative errors of about 1e-14."""

REFERENCE_ENERGY_PER_ATOM = 1e-10
"""Reference against mace-torch, both float64: sums of terms up to 100 eV in a different order (measured 2e-13)."""

REFERENCE_FORCE = 1e-9
"""See the energy, after two or three layers of products; a relative error of 1e-9 in a term shows (measured 4e-12)."""

REFERENCE_STRESS = 1e-10
"""eV/angstrom^3: forces times a few angstrom, divided by a volume of more than 20 angstrom^3."""

PACKAGE_ENERGY_PER_ATOM = 1e-9
"""Reference and float64 files against SevenNet and NequIP in float64 (measured 1e-13 with tables)."""

PACKAGE_FORCE = 1e-8
"""The same, relative to the largest force, at least 1 eV/angstrom (measured 1e-11 with tables)."""

EXACT_SYMMETRY = 1e-10
"""Rotation, inversion, permutation and translation in float64, for energies per atom and forces."""

SINGLE_PRECISION_FORCE = 1e-4
"""Relative to the largest force: float32 has 7 digits and loses two or three in sums over hundreds of edges."""

CENTRAL_DIFFERENCE_STEP = 1e-4
"""Angstrom: balances the truncation error (h^2) and the rounding error (eps E / h) of a float64 energy."""

CENTRAL_DIFFERENCE_FORCE = 1e-7
"""Central differences with this step reach 2.5e-8 eV/angstrom for a smooth potential; random models are less smooth."""

LAMMPS_ENERGY_PER_ATOM = 1e-9
"""LAMMPS against Python in float64: LAMMPS wraps positions itself and reads them from text with 15 digits."""

LAMMPS_FORCE = 1e-8
"""See the energy; in addition, the sum over ranks has a different order."""

LAMMPS_VIRIAL_PER_ATOM = 1e-8
"""eV: forces times distances up to the cutoff, summed over 50 to 100 edges."""

KERNEL_FLOAT64 = 1e-12
"""C++ kernel against its torch version, relative to the largest value: several hundred terms in a different order."""

KERNEL_FLOAT32 = 1e-5
"""The same in float32."""

TABLE_REFERENCE = 1e-8
"""eV and eV/angstrom: float64 kernels against the reference on the same radial tables."""

EXACT_RADIAL = 1e-8
"""eV/angstrom: float64 layers with the radial network against the reference."""

EMULATED_GPU = 1e-10
"""eV, and eV/angstrom relative to the largest force: float64 GPU kernels against the reference. Radial tables are
within 1e-9 of the steepest slope, and far closer on average (measured 1e-12)."""
