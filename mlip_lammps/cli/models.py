"""``mlip-lammps models``: list the models that come with the package."""

import argparse

NAME = "models"
HELP = "list the shipped models with a one-line description each"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add no options: the command has none."""


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.models import model_card, one_line_card, shipped_models

    for name in shipped_models():
        print(f"{name}: {one_line_card(name)}")
        print(f"  card: {model_card(name)}")
    print("to compile one, give its name:  mlip-lammps export NAME -o FILE.pt2")
    return 0
