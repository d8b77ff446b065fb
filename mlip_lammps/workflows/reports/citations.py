"""Methods paragraphs and BibTeX entries of the workflows."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BIBLIOGRAPHY = Path(__file__).with_name("references.bib")

_RELAXED = "Structures were relaxed until the largest force was below {force_tolerance:g} eV/Å"

_METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "relax": (_RELAXED + " with the optimizer {optimizer} of ASE [ase]; the cell was {cell}.", ()),
    "eos": (
        "Energies at {volumes} volumes, with the cell vectors changed by {range[0]:g} to {range[1]:g} %, were fitted "
        "with the equations of Birch and Murnaghan [birch] and of Vinet [vinet].",
        ("birch", "vinet"),
    ),
    "elastic": (
        "The elastic tensor was obtained from the stresses at strains of ±{strain:g} with relaxed atoms, and averaged "
        "over the point group [spglib]. Polycrystalline moduli are averages of the Voigt and Reuss bounds [hill].",
        ("spglib", "hill"),
    ),
    "phonons": (
        "Force constants were obtained from displacements of {displacement:g} Å with phonopy [phonopy] in the "
        "symmetrised cell [spglib]. Bands follow the path of SeeK-path [seekpath].",
        ("phonopy", "spglib", "seekpath"),
    ),
    "slab": (
        "Slabs of all terminations were cut from the primitive cell [spglib]. " + _RELAXED + ". Surface energies are "
        "intercepts of a straight line through the energies of slabs of growing thickness, with {vacuum:g} Å between "
        "periodic images.",
        ("spglib",),
    ),
    "adsorb": (
        _RELAXED + ". The adsorbate {adsorbate} was placed on all sites of the slab that differ by symmetry [spglib]. "
        "Energies are relative to the relaxed clean slab and the molecule in the gas.",
        ("spglib",),
    ),
    "vibrations": (
        _RELAXED + ". Normal modes were obtained from central differences of the forces with displacements of "
        "{displacement:g} Å; the thermochemistry at {temperature:g} K is that of an ideal gas with rigid rotations, or "
        "harmonic, as implemented in ASE [ase].",
        (),
    ),
    "neb": (
        "Minimum energy paths with {images} images between the ends were obtained with the climbing-image nudged "
        "elastic band method [cineb] from an interpolation with the image dependent pair potential [idpp], until the "
        "largest force was below {force_tolerance:g} eV/Å.",
        ("cineb", "idpp"),
    ),
    "formation": (_RELAXED + ". Energies above the convex hull do not contain vibrations.", ()),
    "screen": (_RELAXED + "; duplicates were removed by symmetry [spglib] and distances.", ("spglib",)),
}


def methods_of(record: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return a methods paragraph for a run, and the keys of the works that it cites.

    Parameters
    ----------
    record
        Record of the run, see ``read_record``.
    """
    text, keys = _METHODS.get(record["command"], ("", ()))
    settings, versions = record["settings"], record.get("versions", {})
    model = str(settings.get("model", "a model"))
    facts = record.get("model", {})
    family = {"mace": "MACE [mace] model"}.get(facts.get("family"), "model")
    checksum = record.get("inputs", {}).get("model", {}).get("sha256", "unknown")[:12]
    start = (
        f"Energies and forces were computed with the {family} {model.rsplit('/', 1)[-1]} (SHA-256 {checksum}) in "
        f"{facts.get('dtype', 'unknown')} precision with mlip-lammps {versions.get('mlip-lammps', '')} and ASE "
        f"{versions.get('ase', '')} [ase]. "
    )
    return start + text.format(**settings), (*(["mace"] if "[mace]" in start else []), "ase", *keys)


def bibtex(keys: tuple[str, ...]) -> str:
    """Return the BibTeX entries of the cited works."""
    text = _BIBLIOGRAPHY.read_text(encoding="utf-8")
    entries = {re.match(r"@\w+{(\w+)", entry)[1]: entry.strip() for entry in text.split("\n\n")}
    return "\n\n".join(entries[key] for key in keys)
