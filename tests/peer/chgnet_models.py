"""Create small CHGNet potentials and evaluate them with chgnet in float64; runs in an interpreter with chgnet.

Usage: ``python chgnet_models.py create FOLDER`` writes a checkpoint ``NAME.pth.tar`` with random weights for each entry
of `MODELS`, and ``python chgnet_models.py evaluate FOLDER`` writes ``NAME.npz`` (structures and results) for each of
them. The folder ``tests/data/chgnet`` was made with both commands.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from sevennet_models import structures

_COMMON = {"atom_graph_cutoff": 3.5, "num_radial": 5, "num_angular": 5}
MODELS = {
    "norm": {
        "n_conv": 2, "bond_graph_cutoff": 2.6, "atom_fea_dim": 6, "bond_fea_dim": 5, "angle_fea_dim": 4,
        "atom_conv_hidden_dim": 7, "bond_conv_hidden_dim": 6, "mlp_hidden_dims": [5, 6], "cutoff_coeff": 6,
    },
    "plain": {
        "n_conv": 3, "bond_graph_cutoff": 3.0, "atom_fea_dim": 5, "bond_fea_dim": 6, "angle_fea_dim": 5,
        "atom_conv_hidden_dim": [4, 6], "bond_conv_hidden_dim": 0, "angle_layer_hidden_dim": 6, "mlp_hidden_dims": 5,
        "composition_model": None, "gMLP_norm": None, "readout_norm": None, "non_linearity": "tanh",
    },
}  # fmt: skip
ELEMENTS = ("O", "H")


def create(folder: Path) -> None:
    """Write ``NAME.pth.tar`` for each model."""
    import torch
    from chgnet.model import CHGNet

    for name, options in MODELS.items():
        torch.manual_seed(4)
        model = CHGNet(**_COMMON, **options)
        for key, weight in model.named_parameters():
            if not key.startswith("composition_model."):
                weight.data += 0.2 * torch.randn_like(weight)  # so that no norm is the identity
            if key.endswith("weight") and "bn" not in key and "composition" not in key:
                weight.data *= 2.0  # so that every term changes the forces
        torch.save({"model": model.as_dict()}, folder / f"{name}.pth.tar")


def evaluate(folder: Path) -> None:
    """Write ``NAME.npz`` for each model of ``MODELS`` in ``folder``."""
    for name in MODELS:
        model = load(folder / f"{name}.pth.tar")
        stored = {}
        for number, atoms in enumerate([*structures(ELEMENTS), small_cell()]):
            for part in ("numbers", "positions", "pbc"):
                stored[f".{number}.{part}"] = getattr(atoms, part)
            stored[f".{number}.cell"] = atoms.cell.array
            stored |= {f".{number}.{part}": value for part, value in results_of(model, atoms).items()}
        np.savez_compressed(folder / f"{name}.npz", **stored)


def small_cell():
    """Return two atoms in a cell in which each is bonded to its own images."""
    from ase import Atoms

    cell = [[2.4, 0.0, 0.0], [0.4, 2.5, 0.0], [-0.3, 0.35, 3.1]]
    return Atoms("OH", positions=[[0.3, 0.2, 0.4], [1.4, 1.3, 2.2]], cell=cell, pbc=True)


def load(path: Path):
    """Return the model of a checkpoint in float64."""
    import chgnet.graph.converter
    import chgnet.model.model as module
    import torch

    torch.set_default_dtype(torch.float64)
    chgnet.graph.converter.TORCH_DTYPE = module.TORCH_DTYPE = torch.float64
    state = torch.load(path, map_location="cpu", weights_only=True)["model"]
    model = module.CHGNet.from_dict(state).double().eval()
    model.graph_converter.set_isolated_atom_response("ignore")
    return model


def results_of(model, atoms) -> dict[str, np.ndarray]:
    """Return energy (eV), forces (eV/angstrom), magnetic moments and, for a periodic structure, stress.

    The stress is in eV/angstrom^3 and in Voigt order. The package computes energies of elements in float32; here they
    are sums in float64. A structure that is not periodic is evaluated in a large cell.
    """
    from pymatgen.io.ase import AseAtomsAdaptor

    is_periodic = bool(atoms.pbc.all())
    boxed = atoms.copy()
    if not is_periodic:
        boxed.set_cell(np.ptp(boxed.positions, axis=0) + 20.0)
        boxed.pbc = True
    structure = AseAtomsAdaptor.get_structure(boxed)
    references, model.composition_model = model.composition_model, None
    found = model.predict_graph(model.graph_converter(structure), task="efsm")
    model.composition_model = references
    energy = float(found["e"]) * len(atoms)
    if references is not None:
        energy += float(references.fc.weight[0].detach().numpy()[atoms.numbers - 1].sum())
    results = {"energy": np.array(energy), "forces": found["f"], "magmoms": found["m"]}
    if is_periodic:
        results["stress"] = found["s"][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / 160.21766208
    return results


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    {"create": create, "evaluate": evaluate}[sys.argv[1]](Path(sys.argv[2]))
