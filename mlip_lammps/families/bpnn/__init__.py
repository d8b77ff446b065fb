"""Behler-Parrinello networks (BPNN, HDNNP) of n2p2 and RuNNer."""

from mlip_lammps.families.bpnn.family import FAMILY

__all__ = ["FAMILY"]
