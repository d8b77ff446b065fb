"""The precision that a model is compiled in unless another one is asked for."""

DEFAULT_DTYPE = "mixed"
"""The fastest whose energy drifts by less than 0.05 meV per atom and ps in NVE: docs/precision.md."""
