"""Create small models with latent Ewald summation and evaluate them; runs with mace-torch and the package ``les``.

Usage: ``python mace_les_models.py FOLDER``. For each entry of `MODELS` the script writes ``NAME.model.xz``
(``torch.save`` of the module, as in training, compressed) with random weights, and ``NAME.npz`` with structures and
results. The folder ``tests/data/mace_les`` was made with it, with mace-torch 0.3.16 and ``les`` from
https://github.com/ChengUCB/les (commit c8063fa), which is not on PyPI.
"""

import lzma
import sys
from io import BytesIO
from pathlib import Path

import numpy as np

RESIDUAL = "RealAgnosticResidualInteractionBlock"
CUTOFF = 4.0
STEP = 1e-4
"""Strain of the differences."""

MODELS = {
    "two_layers": {"hidden": "8x0e+8x1o", "n_layers": 2, "l_max": 2, "les": {}},
    "three_layers_with_self_interaction": {
        "hidden": "4x0e+4x1o", "n_layers": 3, "l_max": 1,
        "les": {"sigma": 0.8, "dl": 1.7, "remove_self_interaction": False},
    },
    "heads_single_precision": {
        "hidden": "4x0e", "n_layers": 2, "l_max": 1, "les": {"sigma": 1.3, "compute_bec": True},
        "heads": ["a", "b"], "head": "b", "dtype": "float32",
    },
    "one_layer": {
        "hidden": "4x0e", "n_layers": 1, "l_max": 1, "les": {"dl": 2.5, "remove_mean": False, "epsilon_factor": 1.8},
    },
}  # fmt: skip
ELEMENTS = [1, 8, 14]


def make_structures() -> list:
    """Return rattled structures: a triclinic cell, a cell smaller than the cutoff, a long cell, and a molecule."""
    from ase import Atoms

    rng = np.random.default_rng(7)
    grid = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(3)]) / [2.0, 2.0, 3.0]
    cell = np.array([[5.6, 0.0, 0.0], [1.1, 5.2, 0.0], [-0.7, 0.9, 6.1]])
    bulk = Atoms(rng.permutation(np.resize(ELEMENTS, len(grid))), scaled_positions=grid, cell=cell, pbc=True)
    small = Atoms(
        [8, 1], positions=[[0.1, 0.0, 0.0], [1.3, 1.1, 0.9]], pbc=True,
        cell=[[2.4, 0.0, 0.2], [0.5, 2.6, 0.0], [0.0, 0.4, 2.8]],
    )  # fmt: skip
    long = bulk.repeat((1, 1, 2))
    corners = 1.6 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    molecule = Atoms(np.resize(ELEMENTS, 5), positions=corners)
    for structure in (bulk, small, long, molecule):
        structure.positions += rng.normal(scale=0.12, size=(len(structure), 3))
    long.positions += rng.integers(-2, 3, size=(len(long), 3)) @ long.cell[:]
    return [bulk, small, long, molecule]


def make_model(options: dict, seed: int):
    """Return a model with random weights and charges of about one."""
    import torch
    from e3nn import o3
    from mace import modules
    from mace.modules.extensions import MACELES

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    heads = options.get("heads", ["Default"])
    shape = (len(heads), len(ELEMENTS)) if len(heads) > 1 else (len(ELEMENTS),)
    several = len(heads) > 1
    model = MACELES(
        les_arguments=options["les"],
        r_max=CUTOFF,
        num_bessel=5,
        num_polynomial_cutoff=5,
        max_ell=options["l_max"],
        interaction_cls_first=modules.interaction_classes[RESIDUAL],
        interaction_cls=modules.interaction_classes[RESIDUAL],
        num_interactions=options["n_layers"],
        num_elements=len(ELEMENTS),
        hidden_irreps=o3.Irreps(options["hidden"]),
        MLP_irreps=o3.Irreps("6x0e"),
        atomic_energies=rng.uniform(-20.0, -1.0, shape),
        avg_num_neighbors=9.7,
        atomic_numbers=ELEMENTS,
        correlation=2,
        gate=torch.nn.functional.silu,
        radial_MLP=[12],
        heads=heads,
        atomic_inter_scale=rng.uniform(0.5, 2.0, len(heads)) if several else 1.7,
        atomic_inter_shift=rng.uniform(-0.5, 0.5, len(heads)) if several else -0.3,
    )
    for readout in model.les_readouts:
        for parameter in readout.parameters():
            parameter.data *= 2.0
    return model


def evaluate(model, structures: list, head: str) -> dict[str, np.ndarray]:
    """Return energies, forces, virials and latent charges of the structures in float64.

    Virials are differences of energies: those of mace-torch 0.3.16 lack the change of the reciprocal vectors with the
    cell, so that they are not derivatives of its energy.
    """
    import torch
    from mace import data, tools
    from mace.tools import torch_geometric

    torch.set_default_dtype(torch.float64)
    model = model.double()
    table = tools.AtomicNumberTable(ELEMENTS)

    def run(atoms):
        config = data.config_from_atoms(atoms, head_name=head)
        one = data.AtomicData.from_config(config, z_table=table, cutoff=CUTOFF, heads=model.heads)
        batch = next(iter(torch_geometric.dataloader.DataLoader([one], batch_size=1)))
        return model(batch.to_dict(), compute_bec=True)

    def strained_energy(atoms, row, column, size):
        strain = np.zeros((3, 3))
        strain[row, column] += 0.5 * size
        strain[column, row] += 0.5 * size
        strained = atoms.copy()
        strained.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=False)
        strained.positions = atoms.positions @ (np.eye(3) + strain)
        return run(strained)["energy"].item()

    results = {}
    for number, atoms in enumerate(structures):
        out = run(atoms)
        results |= {
            f"numbers_{number}": atoms.numbers, f"positions_{number}": atoms.positions, f"cell_{number}": atoms.cell[:],
            f"pbc_{number}": atoms.pbc, f"energy_{number}": out["energy"].item(),
            f"long_range_{number}": out["les_energy"].item(), f"forces_{number}": out["forces"].detach().numpy(),
            f"charges_{number}": out["latent_charges"].detach().numpy(),
            f"born_charges_{number}": out["BEC"].detach().numpy(),
        }  # fmt: skip
        if atoms.pbc.all():
            virial = []
            for row, column in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
                e = {k: strained_energy(atoms, row, column, k * STEP) for k in (-2, -1, 1, 2)}
                virial.append((8.0 * (e[1] - e[-1]) - (e[2] - e[-2])) / (12.0 * STEP))
            results[f"virial_{number}"] = np.array(virial)
    return results


def main(folder: Path) -> None:
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, options) in enumerate(MODELS.items()):
        torch.set_default_dtype(getattr(torch, options.get("dtype", "float64")))
        model = make_model(options, number)
        content = BytesIO()
        torch.save(model, content)
        (folder / f"{name}.model.xz").write_bytes(lzma.compress(content.getvalue()))
        results = evaluate(model, make_structures(), options.get("head", "Default"))
        np.savez_compressed(folder / f"{name}.npz", **results)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
