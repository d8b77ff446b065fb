"""Create small CHGNet potentials of MatGL and evaluate them with MatGL in float64; runs in MatGL's interpreter.

Usage: ``python matgl_chgnet_models.py create FOLDER NAMES`` writes a folder ``NAME`` with random weights for each of
the names in `MODELS`, and ``python matgl_chgnet_models.py evaluate FOLDER NAMES`` writes ``NAME.npz`` (structures and
results) for each of them. The folder ``tests/data/matgl_chgnet`` was made with both commands: ``with_dgl`` with MatGL
2.0.4 and DGL 1.1.3 (``MATGL_BACKEND=DGL``), and the others with MatGL 4.1.2.
"""

import sys
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
from chgnet_models import small_cell
from sevennet_models import structures

_COMMON = {"element_types": ("O", "H"), "cutoff": 3.5, "max_n": 5, "max_f": 2, "threebody_cutoff": 2.6}
MODELS = {
    "norm": {
        "num_blocks": 3, "learn_basis": False, "dim_atom_embedding": 6, "dim_bond_embedding": 5,
        "dim_angle_embedding": 4, "atom_conv_hidden_dims": (7,), "bond_update_hidden_dims": (6,),
        "bond_conv_hidden_dims": (8,), "final_hidden_dims": (5, 6), "normalization": "layer",
    },
    "plain": {
        "num_blocks": 4, "dim_atom_embedding": 5, "dim_bond_embedding": 6, "dim_angle_embedding": 5,
        "atom_conv_hidden_dims": (4, 6), "bond_conv_hidden_dims": (), "angle_update_hidden_dims": None,
        "final_hidden_dims": (5,), "final_mlp_type": "gated", "activation_type": "softplus2", "cutoff_exponent": 4,
        "layer_bond_weights": "both", "shared_bond_weights": "three_body_bond", "num_site_targets": 0,
        "non_linear_bond_embedding": True, "non_linear_angle_embedding": True,
    },
    "hidden_norms": {
        "element_types": None, "num_blocks": 2, "dim_atom_embedding": 4, "dim_bond_embedding": 5,
        "dim_angle_embedding": 4, "atom_conv_hidden_dims": (5, 4), "bond_update_hidden_dims": (4, 5),
        "bond_conv_hidden_dims": (6, 4), "angle_update_hidden_dims": (5,), "final_hidden_dims": (5,),
        "normalization": "layer", "normalize_hidden": True, "layer_bond_weights": "bond", "activation_type": "tanh",
    },
    "with_dgl": {
        "num_blocks": 3, "dim_atom_embedding": 5, "dim_bond_embedding": 4, "dim_angle_embedding": 6,
        "atom_conv_hidden_dims": (6,), "bond_update_hidden_dims": (5,), "bond_conv_hidden_dims": (6,),
        "angle_update_hidden_dims": (5,), "final_hidden_dims": (5,), "normalization": "layer",
        "layer_bond_weights": "three_body_bond",
    },
}  # fmt: skip
_POTENTIALS = {"norm": {"data_std": 3.0, "element_refs": (-3.0, -1.0)}, "with_dgl": {"data_std": 2.0}}
"""Arguments of the ``Potential``."""


def create(folder: Path, names: list[str]) -> None:
    """Write the folder ``NAME`` for each model."""
    import torch
    from matgl.apps.pes import Potential
    from matgl.models import CHGNet

    for name in names:
        torch.manual_seed(4)
        network = CHGNet(**(_COMMON | MODELS[name]))
        for key, weight in network.named_parameters():
            if key.endswith("frequencies"):
                weight.data += 0.05 * torch.randn_like(weight)
                continue
            weight.data += 0.2 * torch.randn_like(weight)  # so that no norm is the identity
            if key.endswith("weight") and "norm" not in key:
                weight.data *= 2.0  # so that every term changes the forces
        options = dict(_POTENTIALS.get(name, {}))
        if "element_refs" in options:
            options["element_refs"] = torch.tensor(options["element_refs"])
        has_moments = MODELS[name].get("num_site_targets", 1) > 0
        Potential(network, calc_magmom=has_moments, **options).save(folder / name)


def evaluate(folder: Path, names: list[str]) -> None:
    """Write ``NAME.npz`` for each model in ``folder``: structures, energies, forces, stresses and magnetic moments."""
    import matgl
    import torch

    matgl.set_default_dtype("float", 64)
    torch.Tensor.float = torch.Tensor.double  # MatGL rounds radial functions to float32 for the weights of a layer
    for name in names:
        potential = matgl.load_model(folder / name).double().eval()
        elements = potential.model.element_types
        # MatGL with DGL has other angles where an atom is bonded to its own images
        boxes = structures(("O", "H")) if name == "with_dgl" else [*structures(("O", "H")), small_cell()]
        stored = {}
        for number, atoms in enumerate(boxes):
            for part in ("numbers", "positions", "pbc"):
                stored[f".{number}.{part}"] = getattr(atoms, part)
            stored[f".{number}.cell"] = atoms.cell.array
            results = results_of(potential, elements, atoms)
            stored |= {f".{number}.{part}": value for part, value in results.items()}
        np.savez_compressed(folder / f"{name}.npz", **stored)


def results_of(potential, elements, atoms) -> dict[str, np.ndarray]:
    """Return energy (eV), forces (eV/angstrom), magnetic moments and, for a periodic structure, stress.

    The stress is in eV/angstrom^3 and in Voigt order.
    """
    import matgl.config as config

    backend = getattr(config, "BACKEND", None)  # none since version 4
    name = "matgl.ext.ase" if backend is None else f"matgl.ext._ase_{backend.lower()}"
    to_gpa = 160.21766208 if backend else import_module("matgl.utils.constants").EV_PER_ANG3_TO_GPA
    converter = import_module(name).Atoms2Graph(elements, potential.model.cutoff)
    graph, lattice, state = converter.get_graph(atoms)
    line_graph = None if backend is None else line_graph_of(graph, lattice, potential.model.three_body_cutoff)
    energy, forces, stress, _, *moments = potential(graph, lattice, state, line_graph)
    found = {"energy": np.array(float(energy)), "forces": forces.detach().numpy()}
    if moments:
        found["magmoms"] = moments[0].detach().numpy()[:, 0]
    if atoms.pbc.all():
        full = stress.detach().numpy() / to_gpa
        found["stress"] = full[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return found


def line_graph_of(graph, lattice, cutoff: float):
    """Return the graph of bonds, as the training with DGL has it.

    Without it, MatGL with DGL computes the same energy and forgets the derivatives of angles in the forces.
    """
    import torch
    from matgl.graph._compute_dgl import compute_pair_vector_and_distance, create_line_graph

    graph.edata["pbc_offshift"] = torch.matmul(graph.edata["pbc_offset"], lattice[0])
    graph.ndata["pos"] = graph.ndata["frac_coords"] @ lattice[0]
    graph.edata["bond_vec"], graph.edata["bond_dist"] = compute_pair_vector_and_distance(graph)
    return create_line_graph(graph, cutoff, directed=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    {"create": create, "evaluate": evaluate}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3:] or list(MODELS))
