"""``mlip-lammps models``: list the models that come with the package, and those of other installed packages."""

import argparse

NAME = "models"
HELP = "list the shipped models, and those of other installed packages, with a one-line description each"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add no options: the command has none."""


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.models import model_card, one_line_card, shipped_models
    from mlip_lammps.models.installed import INSTALLED, installed_models

    for name in shipped_models():
        print(f"{name} (MACE): {one_line_card(name)}")
        print(f"  card: {model_card(name)}")
    for name, path in installed_models().items():
        model = INSTALLED[name]
        print(f"{name} ({model.family}): {model.description} ({model.origin}, licence {model.licence})")
        print(f"  file: {path}")
    print("to compile one, give its name:  mlip-lammps export NAME -o FILE.pt2")
    return 0
