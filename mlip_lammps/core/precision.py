"""The default precision of compiled models."""

DEFAULT_DTYPE = "mixed"
"""The fastest precision with an NVE energy drift below 0.05 meV per atom and ps; see docs/precision.md."""
