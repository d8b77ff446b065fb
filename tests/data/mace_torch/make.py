"""Write a small model with random weights and its results with the installed version of mace-torch.

    pip install --no-deps --target mace-0.3.6 mace-torch==0.3.6
    PYTHONPATH=mace-0.3.6 python tests/data/mace_torch/make.py

Run it with an interpreter that has torch, e3nn 0.4.4 and the other dependencies of mace-torch. It writes
``mace-VERSION.model.xz`` (``torch.save`` of the module, as in training, compressed) and ``mace-VERSION.npz``
(structures, energies in eV and forces in eV/angstrom) beside itself.
"""

import lzma
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from e3nn import o3
from mace import data, modules, tools
from mace.tools import torch_geometric

_RESIDUAL = "RealAgnosticResidualInteractionBlock"
_DENSITY, _DENSITY_RESIDUAL = "RealAgnosticDensityInteractionBlock", "RealAgnosticDensityResidualInteractionBlock"
_NON_LINEAR = "RealAgnosticResidualNonLinearInteractionBlock"

STATES = {
    "0.3.6": {"first": _RESIDUAL, "later": _RESIDUAL},
    "0.3.8": {
        "first": _DENSITY, "later": _DENSITY_RESIDUAL, "distance_transform": "Agnesi", "pair_repulsion": True,
    },
    "0.3.10": {"first": _RESIDUAL, "later": _RESIDUAL, "heads": ["one", "two"]},
    "0.3.16": {
        "first": _NON_LINEAR, "later": _NON_LINEAR, "apply_cutoff": False, "edge_irreps": "4x0e+4x1o",
        "use_agnostic_product": True, "distance_transform": "Agnesi",
    },
}  # fmt: skip
"""What each file shows; vector features between two layers in all of them."""
HEADS = {"0.3.10": "two"}
"""The head that is evaluated."""
ELEMENTS = [1, 8]
CUTOFF = 3.6


def make_model(state: dict):
    """Return a model with random weights."""
    torch.manual_seed(3)
    rng = np.random.default_rng(3)
    options = dict(state)
    n_heads = len(options.get("heads", ["Default"]))
    shape = (n_heads, len(ELEMENTS)) if n_heads > 1 else (len(ELEMENTS),)
    if "edge_irreps" in options:
        options["edge_irreps"] = o3.Irreps(options["edge_irreps"])
    return modules.ScaleShiftMACE(
        r_max=CUTOFF,
        num_bessel=5,
        num_polynomial_cutoff=5,
        max_ell=options.pop("max_ell", 1),
        interaction_cls_first=modules.interaction_classes[options.pop("first")],
        interaction_cls=modules.interaction_classes[options.pop("later")],
        num_interactions=2,
        num_elements=len(ELEMENTS),
        hidden_irreps=o3.Irreps("4x0e+4x1o"),
        MLP_irreps=o3.Irreps(f"{4 * n_heads}x0e"),
        atomic_energies=rng.uniform(-9.0, -1.0, shape),
        avg_num_neighbors=6.5,
        atomic_numbers=ELEMENTS,
        correlation=options.pop("correlation", 2),
        gate=torch.nn.functional.silu,
        radial_MLP=[12],
        atomic_inter_scale=rng.uniform(0.5, 2.0, n_heads) if n_heads > 1 else 1.4,
        atomic_inter_shift=rng.uniform(-0.5, 0.5, n_heads) if n_heads > 1 else -0.2,
        **options,
    )


def make_structures() -> list[Atoms]:
    """Return a rattled triclinic cell and a molecule."""
    rng = np.random.default_rng(5)
    cell = np.array([[4.1, 0.0, 0.0], [0.9, 4.3, 0.0], [-0.6, 0.8, 4.4]])
    corners = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)]) / 2.0
    bulk = Atoms(np.resize(ELEMENTS, 8), scaled_positions=corners, cell=cell, pbc=True)
    molecule = Atoms([8, 1, 1], positions=[[0.0, 0.0, 0.0], [0.96, 0.1, 0.0], [-0.2, 0.9, 0.3]])
    for atoms in (bulk, molecule):
        atoms.positions += rng.normal(scale=0.1, size=(len(atoms), 3))
    return [bulk, molecule]


def evaluate(model, atoms: Atoms, head: str | None) -> tuple[float, np.ndarray]:
    """Return energy and forces as the calculator of mace-torch computes them."""
    table = tools.AtomicNumberTable(ELEMENTS)
    heads = list(getattr(model, "heads", ["Default"]))
    given = {"heads": heads} if len(heads) > 1 else {}
    named = {"head": head} if head is not None else {}
    configuration = data.config_from_atoms(atoms)
    for name, value in named.items():
        setattr(configuration, name, value)
    atomic = data.AtomicData.from_config(configuration, z_table=table, cutoff=CUTOFF, **given)
    batch = next(iter(torch_geometric.dataloader.DataLoader([atomic], batch_size=1, shuffle=False)))
    found = model(batch.to_dict(), compute_stress=False)
    return float(found["energy"].detach()), found["forces"].detach().numpy()


def main() -> None:
    """Write the files of the installed version."""
    torch.set_default_dtype(torch.float64)
    installed = version("mace-torch")
    model = make_model(STATES[installed])
    write(f"mace-{installed}", model, model, HEADS.get(installed))


def write(name: str, saved, evaluated, head: str | None = None) -> None:
    """Write the files ``name`` with the model ``saved`` and the results of ``evaluated``."""
    folder = Path(__file__).parent
    stream = BytesIO()
    torch.save(saved, stream)
    compressed = lzma.compress(stream.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    (folder / f"{name}.model.xz").write_bytes(compressed)
    stored = {}
    for number, atoms in enumerate(make_structures()):
        energy, forces = evaluate(evaluated, atoms, head)
        stored |= {f"{number}.energy": energy, f"{number}.forces": forces}
        stored |= {f"{number}.{name}": getattr(atoms, name) for name in ("numbers", "positions", "pbc")}
        stored[f"{number}.cell"] = np.asarray(atoms.cell)
    np.savez_compressed(folder / f"{name}.npz", **stored)


if __name__ == "__main__":
    main()
