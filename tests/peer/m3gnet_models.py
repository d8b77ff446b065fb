"""Create small M3GNet potentials and evaluate them with MatGL in float64; runs in MatGL's interpreter.

Usage: ``python m3gnet_models.py create FOLDER`` writes a folder ``NAME`` with random weights for each entry of
`MODELS`, and ``python m3gnet_models.py evaluate FOLDER`` writes ``NAME.npz`` (structures and results) for each of them.
The folder ``tests/data/m3gnet`` was made with both commands. With MatGL 2 (and DGL) names begin with ``dgl_``.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from sevennet_models import structures

_COMMON = {"is_intensive": False, "cutoff": 3.5}
MODELS = {
    "smooth": {
        "element_types": ("O", "H"), "nblocks": 2, "max_n": 2, "max_l": 2, "use_smooth": True, "dim_node_embedding": 6,
        "dim_edge_embedding": 5, "units": 7,
    },
    "bessel": {
        "element_types": ("Si", "O", "H"), "nblocks": 3, "max_n": 2, "max_l": 4, "dim_node_embedding": 5,
        "dim_edge_embedding": 6, "units": 8, "activation_type": "softplus2",
    },
}  # fmt: skip


def create(folder: Path) -> None:
    """Write the folder ``NAME`` for each model."""
    prefix = backend()
    import torch
    from matgl.apps.pes import Potential
    from matgl.models import M3GNet

    for name, options in MODELS.items():
        torch.manual_seed(4)
        # MatGL 2 adds sums over pairs to other edges if some are longer than threebody_cutoff
        network = M3GNet(**_COMMON, threebody_cutoff=3.5 if prefix else 3.0, **options)
        for key, weight in network.named_parameters():
            if key.endswith("weight"):  # so that every term changes the forces
                weight.data *= 3.0 if "three_body" in key else 2.0
        constants = None if name == "bessel" else torch.tensor([-3.0, -1.0])
        Potential(network, data_std=5.0, element_refs=constants).save(folder / f"{prefix}{name}")


def backend() -> str:
    """Select DGL in MatGL 2, and return the start of the names of its files."""
    import matgl

    if int(matgl.__version__.split(".")[0]) >= 4:
        return ""
    matgl.set_backend("DGL")
    return "dgl_"


def evaluate(folder: Path) -> None:
    """Write ``NAME.npz`` for each model of ``MODELS`` in ``folder``: structures, energies, forces and stresses."""
    prefix = backend()
    import matgl
    import matgl.layers._basis as basis
    import matgl.utils.maths as maths
    import torch

    # MatGL rounds them to float32 when it is imported
    zeros = np.load(Path(maths.__file__).with_name("sb_roots.npy"))
    basis.SPHERICAL_BESSEL_ROOTS = torch.tensor(zeros, dtype=torch.float64)
    matgl.set_default_dtype("float", 64)
    for name, options in MODELS.items():
        potential = matgl.load_model(folder / f"{prefix}{name}").double().eval()
        stored = {}
        for number, atoms in enumerate(structures(options["element_types"])):
            for part in ("numbers", "positions", "pbc"):
                stored[f".{number}.{part}"] = getattr(atoms, part)
            stored[f".{number}.cell"] = atoms.cell.array
            results = results_of(potential, atoms)
            stored |= {f".{number}.{part}": value for part, value in results.items()}
        np.savez_compressed(folder / f"{prefix}{name}.npz", **stored)


def results_of(potential, atoms) -> dict[str, np.ndarray]:
    """Return energy (eV), forces (eV/angstrom) and, for a periodic structure, stress (eV/angstrom^3, Voigt order)."""
    from ase.units import GPa
    try:
        from matgl.ext.ase import Atoms2Graph
    except ImportError:
        from matgl.ext._ase_dgl import Atoms2Graph

    converter = Atoms2Graph(potential.model.element_types, potential.model.cutoff)
    graph, lattice, state = converter.get_graph(atoms)
    energy, forces, stress, _ = potential(g=graph, lat=lattice, state_attr=state)
    found = {"energy": np.array(float(energy)), "forces": forces.detach().numpy()}
    if atoms.pbc.all():
        full = stress.detach().numpy() * GPa
        found["stress"] = full[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    {"create": create, "evaluate": evaluate}[sys.argv[1]](Path(sys.argv[2]))
