"""``mlip-lammps models``: the models that come with the package."""

import argparse

NAME = "models"
HELP = "list the shipped models, each with a line of its card"


def configure(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.models import model_card, one_line_card, shipped_models

    for name in shipped_models():
        print(f"{name}: {one_line_card(name)}")
        print(f"  card: {model_card(name)}")
    print("use one by its name:  mlip-lammps export NAME -o FILE.pt2")
    return 0
