"""Interaction blocks of MACE, one per file, registered by their names in mace-torch."""

import importlib
import pkgutil

from mlip_lammps.core.errors import UnsupportedModelError
from mlip_lammps.families.mace.interactions.block import InteractionBlock

_blocks: dict[str, InteractionBlock] = {}


def register(block: InteractionBlock) -> InteractionBlock:
    """Register a block by its name in mace-torch and return it."""
    _blocks[block.name] = block
    return block


def block_of(name: str) -> InteractionBlock:
    """Return the block whose name in mace-torch is ``name``.

    Raises
    ------
    UnsupportedModelError
        If no such block is registered.
    """
    if name not in _blocks:
        raise UnsupportedModelError(
            f"interaction block {name} is not supported; train with one of {', '.join(block_names())}"
        )
    return _blocks[name]


def block_names() -> tuple[str, ...]:
    """Return the names of all registered blocks."""
    return tuple(sorted(_blocks))


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
