"""The reference MACE in torch and e3nn: the oracle of every faster path."""

from mlip_lammps.model.reference import Evaluation, ReferenceModel

__all__ = ["Evaluation", "ReferenceModel"]
