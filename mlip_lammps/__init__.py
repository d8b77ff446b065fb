"""Production molecular dynamics with MACE potentials in stock LAMMPS."""
