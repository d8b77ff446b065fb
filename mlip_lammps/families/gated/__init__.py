"""Networks of gated equivariant convolutions, the architecture that SevenNet and NequIP share.

Names are imported on first use, because reading a file must not load torch.
"""

from mlip_lammps.core.lazy import lazy_names

_HOMES = {
    "GatedLayers": "layers",
    "GatedModel": "spec",
    "GatedReference": "reference",
    "GatedSpec": "spec",
    "lower": "lowering",
}

__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
