"""Create small TensorNet potentials and evaluate them with MatGL in float64; runs in MatGL's interpreter.

Usage: ``python tensornet_models.py create FOLDER`` writes a folder ``NAME`` with random weights for each entry of
`MODELS`, and ``python tensornet_models.py evaluate FOLDER`` writes ``NAME.npz`` (structures and results) for each of
them. The folder ``tests/data/tensornet`` was made with both commands: ``with_dgl`` with MatGL 2.0.4 and DGL 1.1.3
(``MATGL_BACKEND=DGL``), ``version_1`` with MatGL 2.0.4, and the others with MatGL 4.1.2.
"""

import sys
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
from sevennet_models import structures

_COMMON = {"is_intensive": False, "cutoff": 3.5, "units": 8, "nblocks": 2}
MODELS = {
    "smooth": {
        "element_types": ("O", "H"), "rbf_type": "SphericalBessel", "use_smooth": True, "max_n": 3,
        "activation_type": "swish",
    },
    "bessel": {
        "element_types": ("Si", "O", "H"), "rbf_type": "SphericalBessel", "max_n": 2, "max_l": 3, "nblocks": 1,
        "equivariance_invariance_group": "SO(3)", "activation_type": "softplus2",
    },
    "gaussian": {
        "element_types": ("H", "O", "Si"), "num_rbf": 9, "width": 1.5, "units": 5, "activation_type": "tanh",
        "equivariance_invariance_group": "SO(3)",
    },
    "version_1": {
        "element_types": ("O", "H"), "rbf_type": "SphericalBessel", "use_smooth": True, "max_n": 3,
        "equivariance_invariance_group": "SO(3)",
    },
    "with_dgl": {
        "element_types": ("O", "H", "Si"), "rbf_type": "SphericalBessel", "use_smooth": True, "max_n": 3,
        "equivariance_invariance_group": "SO(3)",
    },
}  # fmt: skip
_POTENTIALS = {
    "smooth": {"data_std": 3.0, "element_refs": (-3.0, -1.0)},
    "version_1": {"data_std": 3.0, "element_refs": (-3.0, -1.0), "calc_repuls": True, "zbl_trainable": True},
    "with_dgl": {"data_std": 2.0, "calc_repuls": True},
}
"""Arguments of the ``Potential``. MatGL 4.1.2 stops with an error where TensorNet has a repulsion."""


def create(folder: Path, names: list[str]) -> None:
    """Write the folder ``NAME`` for each model."""
    import torch
    from matgl.apps.pes import Potential
    from matgl.models import TensorNet

    for name in names:
        torch.manual_seed(4)
        network = TensorNet(**(_COMMON | MODELS[name]))
        for key, weight in network.named_parameters():
            if "linears_tensor" in key or "emb" in key:  # so that every term changes the forces
                weight.data *= 2.0
            if key.endswith("bias"):
                weight.data += 0.1 * torch.randn_like(weight)
        options = dict(_POTENTIALS.get(name, {"data_std": 5.0}))
        if "element_refs" in options:
            options["element_refs"] = torch.tensor(options["element_refs"])
        potential = Potential(network, **options)
        if options.get("zbl_trainable"):
            for weight in potential.repuls.parameters():
                weight.data *= 1.1
        potential.save(folder / name)


def evaluate(folder: Path, names: list[str]) -> None:
    """Write ``NAME.npz`` for each model in ``folder``: structures, energies, forces and stresses."""
    import matgl

    matgl.set_default_dtype("float", 64)
    with_zeros_in_float64()
    for name in names:
        potential = matgl.load_model(folder / name).double().eval()
        stored = {}
        for number, atoms in enumerate(structures(MODELS[name]["element_types"])):
            for part in ("numbers", "positions", "pbc"):
                stored[f".{number}.{part}"] = getattr(atoms, part)
            stored[f".{number}.cell"] = atoms.cell.array
            stored |= {f".{number}.{part}": value for part, value in results_of(potential, atoms).items()}
        np.savez_compressed(folder / f"{name}.npz", **stored)


def results_of(potential, atoms) -> dict[str, np.ndarray]:
    """Return energy (eV), forces (eV/angstrom) and, for a periodic structure, stress (eV/angstrom^3, Voigt order)."""
    import matgl.config as config

    backend = getattr(config, "BACKEND", None)  # none since version 4
    name = "matgl.ext.ase" if backend is None else f"matgl.ext._ase_{backend.lower()}"
    to_gpa = 160.21766208 if backend else import_module("matgl.utils.constants").EV_PER_ANG3_TO_GPA
    converter = import_module(name).Atoms2Graph(potential.model.element_types, potential.model.cutoff)
    graph, lattice, state = converter.get_graph(atoms)
    energy, forces, stress, _ = potential(graph, lattice, state)
    found = {"energy": np.array(float(energy)), "forces": forces.detach().numpy()}
    if atoms.pbc.all():
        full = stress.detach().numpy() / to_gpa
        found["stress"] = full[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return found


def with_zeros_in_float64() -> None:
    """Undo the rounding of the zeros of Bessel functions, which MatGL does when it is imported."""
    import matgl.layers._basis as basis
    import matgl.utils.maths as maths
    import torch

    zeros = np.load(Path(maths.__file__).with_name("sb_roots.npy"))
    basis.SPHERICAL_BESSEL_ROOTS = torch.tensor(zeros, dtype=torch.float64)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    {"create": create, "evaluate": evaluate}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3:] or list(MODELS))
