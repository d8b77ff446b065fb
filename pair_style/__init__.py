"""Sources and libraries of the LAMMPS plugin; nothing here is imported."""
