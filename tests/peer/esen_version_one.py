"""Create a small eSEN model of fairchem-core 1 and evaluate it in float64; needs torch, e3nn and the sources of 1.10.

Usage: ``python esen_version_one.py FOLDER SOURCES`` writes the checkpoint ``version_one.pt`` with random weights, as
the trainer of version 1 does, and ``version_one.npz`` (structures and results). ``SOURCES`` is the unpacked wheel of
fairchem-core 1.10.0. Its modules of eSEN run with stand-ins for the registry and the base classes, which would need
torch_geometric.
"""

import sys
import types
from pathlib import Path

import numpy as np
from esen_models import ELEMENTS, poles, small_cell
from sevennet_models import structures

BACKBONE = {
    "model": "esen_backbone", "max_num_elements": 12, "sphere_channels": 4, "lmax": 3, "mmax": 2, "otf_graph": False,
    "max_neighbors": 300, "use_pbc": True, "use_pbc_single": True, "cutoff": 3.5, "edge_channels": 5,
    "distance_function": "gaussian", "num_distance_basis": 6, "direct_forces": False, "regress_forces": True,
    "regress_stress": True, "num_layers": 2, "hidden_channels": 3, "norm_type": "rms_norm_sh", "act_type": "gate",
    "mlp_type": "spectral", "use_envelope": True, "activation_checkpointing": False,
}  # fmt: skip
SCALE = 1.7


def module_of(sources: Path):
    """Return the module with the backbone and the head."""
    import torch
    from torch import nn

    def stand_in(name: str, **content):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(sources / name.replace(".", "/"))]
        vars(sys.modules[name]).update(content)

    class Registry:
        @staticmethod
        def register_model(_):
            return lambda kind: kind

    for name in ("fairchem", "fairchem.core", "fairchem.core.common", "fairchem.core.models"):
        stand_in(name)
    stand_in("fairchem.core.common.registry", registry=Registry)
    stand_in("fairchem.core.common.utils", conditional_grad=lambda _: lambda function: function)
    stand_in("fairchem.core.models.base", GraphModelMixin=type("Mixin", (), {}), HeadInterface=type("Head", (), {}))
    load = torch.load
    torch.load = lambda *arguments, **options: load(*arguments, **{"weights_only": False} | options)

    from fairchem.core.models.esen import esen

    assert issubclass(esen.eSEN_Backbone, nn.Module)
    return esen


class Model:
    """Backbone and head with the normaliser and the reference energies of a checkpoint."""

    def __init__(self, sources: Path):
        import torch

        esen = module_of(sources)
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(4)
        options = {name: value for name, value in BACKBONE.items() if name != "model"}
        backbone = esen.eSEN_Backbone(**options)
        self.model = torch.nn.ModuleDict(
            {"backbone": backbone, "output_heads": torch.nn.ModuleDict({"efs": esen.MLP_EFS_Head(backbone)})}
        )
        for name, weight in self.model.named_parameters():
            is_pair = name.endswith(("source_embedding.weight", "target_embedding.weight"))
            weight.data += (1.0 if is_pair else 0.3) * torch.randn_like(weight)
            weight.data = weight.data.float().double()
        self.references = torch.tensor([0.0] + [-1.5 * z for z in range(1, 12)]).float()
        self.references[2] = 0.0  # an element without training data

    def save(self, path: Path) -> None:
        """Write what the trainer writes for inference."""
        import torch

        weights = {f"module.module.{key}": value for key, value in self.model.state_dict().items()}
        weights = {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
        state = {
            "state_dict": weights,
            "normalizers": {
                name: {"mean": torch.tensor(0.0).float(), "rmsd": torch.tensor(SCALE).float()}
                for name in ("energy", "forces", "stress")
            },
            "elementrefs": {"energy": {"element_references": self.references}},
            "config": {
                "task": {"dataset": "ase_db"},
                "trainer": "mlip_trainer",
                "model": {
                    "name": "hydra", "backbone": BACKBONE, "heads": {"efs": {"module": "esen_mlp_efs_head"}},
                    "pass_through_head_outputs": True, "otf_graph": True,
                },
                "optim": {"ema_decay": 0.999},
            },
            "val_metrics": {"energy_mae": {"metric": np.float64(0.1), "total": 1.0, "numel": 10}},
            "amp": None,
        }  # fmt: skip
        torch.save(state, path)

    def results(self, atoms) -> dict[str, np.ndarray]:
        """Return energy (eV), forces (eV/angstrom) and, for a periodic structure, stress (eV/angstrom^3, Voigt)."""
        import torch
        from ase.neighborlist import primitive_neighbor_list

        cell = atoms.cell.array if atoms.pbc.all() else 50.0 * np.eye(3)
        i, j, shifts = primitive_neighbor_list("ijS", atoms.pbc, cell, atoms.positions, BACKBONE["cutoff"])
        batch = torch.zeros(len(atoms), dtype=torch.int64)
        numbers = torch.tensor(atoms.numbers)
        data = {
            "pos": torch.tensor(atoms.positions), "cell": torch.tensor(cell)[None], "atomic_numbers": numbers,
            "atomic_numbers_full": numbers, "batch": batch, "batch_full": batch, "natoms": torch.tensor([len(atoms)]),
            "edge_index": torch.tensor(np.stack([j, i])), "cell_offsets": torch.tensor(shifts),
            "nedges": torch.tensor([len(i)]), "num_graphs": 1,
        }  # fmt: skip
        found = self.model["output_heads"]["efs"](data, self.model["backbone"](data))
        scale = float(torch.tensor(SCALE).float())
        energy = scale * float(found["energy"].detach()) + float(self.references.double()[numbers].sum())
        results = {"energy": np.array(energy), "forces": scale * found["forces"].detach().numpy()}
        if atoms.pbc.all():
            stress = scale * found["stress"].detach().numpy().reshape(3, 3)
            results["stress"] = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        return results

    def slopes(self, atoms, step: float = 4e-3) -> np.ndarray:
        """Return forces as differences of the energy with an error of the fourth order (eV/angstrom).

        Version 1 takes edges within 0.0014 rad of the y axis as parallel to it; the step leaves this cone.
        """
        forces = np.zeros_like(atoms.positions)
        for place in np.ndindex(forces.shape):
            energies = []
            for n_steps in (1, -1, 2, -2):
                moved = atoms.copy()
                moved.positions[place] += n_steps * step
                energies.append(self.results(moved)["energy"])
            forces[place] = -(8 * (energies[0] - energies[1]) - (energies[2] - energies[3])) / (12 * step)
        return forces


def main(folder: Path, sources: Path) -> None:
    model = Model(sources)
    model.save(folder / "version_one.pt")
    stored = {}
    for number, atoms in enumerate([*structures(ELEMENTS), small_cell(), poles()]):
        for part in ("numbers", "positions", "pbc"):
            stored[f".{number}.{part}"] = getattr(atoms, part)
        stored[f".{number}.cell"] = atoms.cell.array
        stored |= {f".{number}.{part}": value for part, value in model.results(atoms).items()}
    stored[".3.slopes"] = model.slopes(poles())  # version 1 has no forces from turning edges along the y axis
    np.savez_compressed(folder / "version_one.npz", **stored)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
