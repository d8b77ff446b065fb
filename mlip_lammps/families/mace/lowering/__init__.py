"""Conversion of a trained model to the constants of its layers."""

from mlip_lammps.families.mace.lowering.interaction import InteractionLowering, LoweredInteraction
from mlip_lammps.families.mace.lowering.model import lower

__all__ = ["InteractionLowering", "LoweredInteraction", "lower"]
