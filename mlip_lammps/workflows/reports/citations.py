"""Methods paragraphs and BibTeX entries of the workflows."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlip_lammps.core.errors import UserInputError

_BIBLIOGRAPHY = Path(__file__).with_name("references.bib")

_FAMILIES = {
    "mace": "MACE [mace] model",
    "nequip": "NequIP [nequip] model",
    "sevennet": "SevenNet [sevennet] model",
}
"""Models of a family, with its citation."""
_CELLS = {
    "fixed": "a fixed cell",
    "free": "a free cell",
    "isotropic": "a cell of free volume and fixed shape",
    "shape": "a cell of free shape and fixed volume",
}

Settings = Mapping[str, Any]


def _relaxed(settings: Settings, what: str = "Structures", cell: str = "") -> str:
    """Return the sentence about the relaxation, or about its absence."""
    if settings.get("no_relax"):
        return f"{what} were used as given."
    optimizer = f"the optimizer {settings['optimizer']} of ASE [ase]"
    if settings.get("engine") == "lammps":
        optimizer = f"min_style {'fire' if settings['optimizer'] == 'fire' else 'cg'} of LAMMPS [lammps]"
    inside = f" in {_CELLS[cell]}" if cell else ""
    pressure = f" at {settings['pressure']:g} GPa" if cell and settings.get("pressure") else ""
    symmetry = ", keeping their space group" if settings.get("keep_symmetry") else ""
    return (
        f"{what} were relaxed{inside}{pressure} with {optimizer} until the largest force was below "
        f"{settings['force_tolerance']:g} eV/Å{symmetry}."
    )


def _relax(settings: Settings) -> str:
    mask = settings.get("mask") or ()
    strains = [name for name, moves in zip(("xx", "yy", "zz", "yz", "xz", "xy"), mask, strict=False) if moves]
    some = f" Only the strains {', '.join(strains)} changed." if strains else ""
    return _relaxed(settings, cell=settings["cell"]) + some


def _eos(settings: Settings) -> str:
    low, high = settings["range"]
    shape = " and the shape of the cell" if settings["relax_shape"] else ""
    return (
        f"Energies at {settings['volumes']} volumes, with the cell vectors changed by {low:g} to {high:g} %, were "
        "fitted with the equations of Birch and Murnaghan [birch] and of Vinet [vinet]. At each volume, the "
        f"atoms{shape} were relaxed with the optimizer {settings['optimizer']} of ASE [ase] until the largest force "
        f"was below {settings['force_tolerance']:g} eV/Å."
    )


def _md(settings: Settings) -> str:
    ensemble, heat = settings["ensemble"], settings["temperature"]
    ramp = f" to {heat[1]:g}" if len(heat) > 1 else ""
    text = (
        f"Molecular dynamics was run with LAMMPS [lammps] for {settings['time']:g} ps in the {ensemble.upper()} "
        f"ensemble from initial velocities at {heat[0]:g} K. "
    )
    if ensemble != "nve":
        text += (
            f"The thermostat {settings['thermostat']} kept {heat[0]:g}{ramp} K with a time constant of "
            f"{settings['thermostat_time']:g} fs. "
        )
    if ensemble == "npt":
        text += f"The barostat of Nose and Hoover had a time constant of {settings['barostat_time']:g} fs. "
    return text + "Standard errors are from the means of blocks."


def _elastic(settings: Settings) -> str:
    start = _relaxed(settings, "Atoms and cell") + " "
    stresses = (
        f"from the stresses at strains of ±{settings['strain']:g} with atoms relaxed to "
        f"{settings['force_tolerance']:g} eV/Å"
    )
    if settings["layer"]:
        return f"{start}The in-plane elastic tensor of the layer was obtained {stresses}."
    return (
        f"{start}The elastic tensor was obtained {stresses}, and averaged over the point group [spglib]. "
        "Polycrystalline moduli are averages of the Voigt and Reuss bounds [hill]."
    )


def _phonons(settings: Settings) -> str:
    parts = [
        _relaxed(settings, "Atoms and cell"),
        f"Force constants were obtained from displacements of {settings['displacement']:g} Å with phonopy [phonopy] in "
        "the symmetrised cell [spglib]. Bands follow the path of SeeK-path [seekpath].",
    ]
    if settings["born"]:
        parts.append("Dielectric tensor and Born charges were given for the non-analytic correction.")
    if settings["converge"]:
        parts.append("The supercell was enlarged until no frequency on the path changed by more than 0.1 THz.")
    if settings["qha"]:
        parts.append("Thermal expansion is that of the quasi-harmonic approximation with Vinet's equation [vinet].")
    if settings["gruneisen"]:
        parts.append("Grüneisen parameters are differences of frequencies at three volumes.")
    if settings["anharmonic"]:
        mesh = " ".join(map(str, settings["mesh"]))
        fitted = f", fitted to {n} random snapshots," if (n := settings["snapshots"]) else ""
        parts.append(
            f"The lattice thermal conductivity was obtained from third-order force constants{fitted} in the relaxation "
            f"time approximation on {mesh} q-points with phono3py [phono3py]."
        )
    if (kelvin := settings["spectrum_temperature"]) is not None:
        parts.append(
            f"Frequencies and line widths at {kelvin:g} K were obtained from {settings['spectrum_time']:g} ps of "
            "molecular dynamics with LAMMPS [lammps], whose velocities were projected on the modes of the harmonic "
            "crystal."
        )
    return " ".join(parts)


def _slab(settings: Settings) -> str:
    crystal = "used as given" if settings["no_relax"] else "relaxed with its cell"
    relaxed = _relaxed({**settings, "no_relax": False}, "Slabs")
    fixed = (
        f" The lowest {settings['fix']} repeat units were fixed; the energy of the unrelaxed side was subtracted."
        if settings["fix"] else ""
    )  # fmt: skip
    return (
        f"The crystal was {crystal}. Slabs of all terminations were cut from the primitive cell [spglib]. "
        f"{relaxed}{fixed} Surface energies are intercepts of a straight line through the energies of slabs of growing "
        f"thickness, with {settings['vacuum']:g} Å between periodic images."
    )


def _adsorb(settings: Settings) -> str:
    free = "No atom of the slab was fixed." if settings["free_slab"] else "The lower part of the slab was fixed."
    return (
        f"{_relaxed(settings)} {free} The adsorbate {settings['adsorbate']} was placed on all chosen sites of the slab "
        "that differ by symmetry [spglib]. Energies are relative to the relaxed clean slab and "
        f"{settings['gas'] or 'the molecule'} in the gas."
    )


def _vibrations(settings: Settings) -> str:
    kind = {
        "ideal_gas": "that of an ideal gas with rigid rotations",
        "harmonic": "harmonic",
        None: "that of an ideal gas with rigid rotations, or harmonic,",
    }[settings["kind"]]
    pressure = "" if settings["kind"] == "harmonic" else f" and {settings['pressure']:g} Pa"
    return (
        f"{_relaxed(settings)} Normal modes were obtained from central differences of the forces with displacements of "
        f"{settings['displacement']:g} Å; the thermochemistry at {settings['temperature']:g} K{pressure} is {kind} as "
        "implemented in ASE [ase]."
    )


def _neb(settings: Settings) -> str:
    ends = f"relaxed with the optimizer {settings['optimizer']} of ASE [ase]"
    if settings["no_relax"]:
        ends = "used as given"
    method = "nudged elastic band method [neb]"
    if not settings["no_climb"]:
        method = "climbing-image nudged elastic band method [cineb], [neb]"
    if settings.get("engine") == "lammps":
        method += " of LAMMPS [lammps]"
    return (
        f"The ends were {ends}. Minimum energy paths with {settings['images']} images between the ends were obtained "
        f"with the {method} from an interpolation with the image dependent pair potential [idpp], until the largest "
        f"force was below {settings['force_tolerance']:g} eV/Å."
    )


def _formation(settings: Settings) -> str:
    relaxed = _relaxed(settings, "Crystals", cell=settings["cell"])
    if not settings["no_relax"]:
        relaxed += " Molecules were relaxed likewise in a fixed cell."
    return f"{relaxed} Energies above the convex hull do not contain vibrations."


def _screen(settings: Settings) -> str:
    spread = ""
    if settings["committee"]:
        spread = " The spread is the standard deviation of the relative energies of all models."
    relaxed = _relaxed(settings, cell=settings["cell"])
    return f"{relaxed} Duplicates were removed by symmetry [spglib] and distances.{spread}"


def _compare(settings: Settings) -> str:
    quantities = settings.get("quantities") or ("all that apply",)
    words = [word for word in settings["models"] if word.startswith("lammps:")]
    styles = f" The pair styles {', '.join(words)} were run with LAMMPS [lammps]." if words else ""
    return (
        f"Quantities: {', '.join(quantities)}.{styles} Crystals were relaxed with their cell until the largest force "
        "was below 0.001 eV/Å; elastic constants are from the stresses at finite strains with relaxed atoms, phonon "
        "frequencies from finite displacements with phonopy [phonopy]."
    )


_METHODS: dict[str, Callable[[Settings], str]] = {
    "relax": _relax,
    "eos": _eos,
    "compare": _compare,
    "md": _md,
    "elastic": _elastic,
    "phonons": _phonons,
    "slab": _slab,
    "adsorb": _adsorb,
    "vibrations": _vibrations,
    "neb": _neb,
    "formation": _formation,
    "screen": _screen,
}


def methods_of(record: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return a methods paragraph for a run, and the keys of the works that it cites.

    Parameters
    ----------
    record
        Record of the run, see ``read_record``.

    Raises
    ------
    UserInputError
        If the record lacks a setting or contains one that is not possible.
    """
    try:
        text = _start(record) + _METHODS[record["command"]](record["settings"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserInputError(
            f"the record of the run has no valid {error.args[0] if isinstance(error, KeyError) else 'settings'}: it is "
            "damaged or of another version; repeat the run"
        ) from error
    return text, tuple(dict.fromkeys(re.findall(r"\[(\w+)\]", text)))


def _start(record: Mapping[str, Any]) -> str:
    """Return the sentence about the model and the programs."""
    versions, facts = record.get("versions", {}), record.get("model", {})
    programs = f"mlip-lammps {versions.get('mlip-lammps', '')} and ASE {versions.get('ase', '')} [ase]. "
    if "models" in record["settings"]:
        names = [_FAMILIES.get(one.get("family"), "model") + f" {name}" for name, one in facts.items()]
        others = [name for name in record["settings"]["models"] if name not in facts]
        return f"Energies and forces of {', '.join([*names, *others])} were computed with {programs}"
    model = str(record["settings"].get("model", "a model")).rsplit("/", 1)[-1]
    family = _FAMILIES.get(facts.get("family"), "model")
    checksum = record.get("inputs", {}).get("model", {}).get("sha256", "unknown")[:12]
    return (
        f"Energies and forces were computed with the {family} {model} (SHA-256 {checksum}) in "
        f"{facts.get('dtype', 'unknown')} precision with {programs}"
    )


def bibtex(keys: tuple[str, ...]) -> str:
    """Return the BibTeX entries of the cited works."""
    text = _BIBLIOGRAPHY.read_text(encoding="utf-8")
    entries = {re.match(r"@\w+{(\w+)", entry)[1]: entry.strip() for entry in text.split("\n\n")}
    return "\n\n".join(entries[key] for key in keys)
