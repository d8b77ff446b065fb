"""Create small SevenNet checkpoints and evaluate them with SevenNet in float64; runs in SevenNet's interpreter.

Usage: ``python sevennet_models.py create FOLDER`` writes ``NAME.pth`` with random weights for each entry of `MODELS`,
and ``python sevennet_models.py evaluate FOLDER`` writes ``NAME.npz`` (structures and results) for each of them. The
folder ``tests/data/sevennet`` was made with both commands.
"""

import sys
import warnings
from pathlib import Path

import numpy as np

_IRREPS = ["8x0e", "8x0e+4x1e+4x2e", "8x0e+4x1e+4x2e", "8x0e"]
MODELS = {
    "linear_xplor": {
        "elements": ["O", "Si", "H"], "irreps_manual": _IRREPS, "channel": 8, "lmax": 2, "layers": 3,
        "self_connection_type": "linear", "cutoff": 4.0,
        "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.6},
    },
    "parity_bias": {
        "elements": ["O", "H"], "channel": 4, "lmax": 1, "layers": 2, "is_parity": True, "cutoff": 3.5,
        "use_bias_in_linear": True, "self_connection_type": "nequip",
        "cutoff_function": {"cutoff_function_name": "poly_cut", "poly_cut_p_value": 5},
    },
    "modals": {
        "elements": ["O", "H"], "irreps_manual": ["4x0e", "4x0e+4x1e", "4x0e"], "channel": 4,
        "lmax": 1, "layers": 2, "self_connection_type": ["nequip", "linear"], "cutoff": 4.0, "modals": ["PBE", "SCAN"],
        "cutoff_function": {"cutoff_function_name": "poly_cut", "poly_cut_p_value": 6},
    },
    "version_0_9": {
        "elements": ["O", "H"], "irreps_manual": ["4x0e", "4x0e+4x1e+4x2e", "4x0e"], "channel": 4, "lmax": 2,
        "layers": 2, "self_connection_type": "linear", "cutoff": 4.0, "is_old": True,
        "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.0},
    },
}  # fmt: skip
_ACTIVATIONS = {"e": "silu", "o": "tanh"}
_MODAL_SETTINGS = ("node_embedding", "self_inter_intro", "self_inter_outro", "output_block")


def config_of(options: dict) -> dict:
    """Return the configuration that SevenNet stores in a checkpoint."""
    from ase.data import atomic_numbers

    elements, modals = options["elements"], options.get("modals", [])
    n_elements = len(elements)
    shift = [[-3.0 - k - 10.0 * m for k in range(n_elements)] for m in range(len(modals))]
    return {
        "version": "0.13.0", "_model_type": "E3_equivariant_model", "chemical_species": elements,
        "_number_of_species": n_elements, "_type_map": {atomic_numbers[one]: k for k, one in enumerate(elements)},
        "cutoff": options["cutoff"], "channel": options["channel"], "lmax": options["lmax"], "lmax_edge": -1,
        "lmax_node": -1, "irreps_manual": options.get("irreps_manual", False),
        "is_parity": options.get("is_parity", False), "num_convolution_layer": options["layers"],
        "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 4},
        "cutoff_function": options["cutoff_function"], "act_radial": "silu", "act_scalar": _ACTIVATIONS,
        "act_gate": _ACTIVATIONS, "weight_nn_hidden_neurons": [6, 6], "conv_denominator": 2.5,
        "train_denominator": False, "train_shift_scale": False,
        "use_bias_in_linear": options.get("use_bias_in_linear", False), "readout_as_fcn": False,
        "self_connection_type": options["self_connection_type"], "interaction_type": "nequip",
        "_normalize_sph": not options.get("is_old", False), "dtype": "single", "use_modality": bool(modals),
        "_modal_map": {name: k for k, name in enumerate(modals)}, "_number_of_modalities": len(modals),
        **{f"use_modal_{name}": bool(modals) for name in _MODAL_SETTINGS},
        "use_modal_wise_shift": bool(modals), "use_modal_wise_scale": False,
        "shift": shift if modals else [-3.0 - k for k in range(n_elements)],
        "scale": [15.0 + 2.5 * k for k in range(n_elements)],
    }  # fmt: skip


def create(folder: Path) -> None:
    """Write ``NAME.pth`` for each model, with random weights."""
    import torch
    from sevenn.model_build import build_E3_equivariant_model

    for number, (name, options) in enumerate(MODELS.items()):
        torch.manual_seed(number)
        config = config_of(options)
        model = build_E3_equivariant_model(dict(config))
        states = {key: value.clone() for key, value in model.state_dict().items()}
        for key, value in states.items():
            if key.endswith("linear.bias"):
                value.normal_()
        if options.get("is_old"):
            config, states = _as_version_0_9(config, states, model)
        content = {"model_state_dict": states, "optimizer_state_dict": {}, "scheduler_state_dict": {}}
        torch.save(content | {"config": config, "epoch": 1}, folder / f"{name}.pth")


def _as_version_0_9(config: dict, states: dict, model: object) -> tuple[dict, dict]:
    """Return a checkpoint as version 0.9 wrote it: old names, weights in the order of the inputs, another sign."""
    import torch

    config = {key: value for key, value in config.items() if key != "_normalize_sph"} | {"version": "0.9.1"}
    renamed = {}
    for key, value in states.items():
        head, _, rest = key.partition(".")
        head = head.replace("edge_embedding", "EdgeEmbedding").replace("rescale_atomic_energy", "rescale atomic energy")
        head = head.replace("reduce_input_to_hidden", "reducing nn input to hidden")
        head = head.replace("reduce_hidden_to_energy", "reducing nn hidden to energy")
        if head[0].isdigit() and "self_interaction_1" not in head:
            head = head.replace("_", " ")
        renamed[f"{head}.{rest.replace('denominator', 'denumerator')}"] = value
    flipped = (1, 1, 1)
    for t in range(config["num_convolution_layer"]):
        convolution = model._modules[f"{t}_convolution"]
        places = {tuple(one[:3]): k for k, one in enumerate(convolution.convolution_kwargs["instructions"])}
        irreps = [convolution.convolution_kwargs[f"irreps_{part}"] for part in ("in1", "in2", "out")]
        key = f"{t} convolution.weight_nn.layer2.weight"
        blocks = renamed[key].split([irreps[0][i].mul for i, _, _ in places], dim=1)
        before_sort = [tuple(one[:3]) for one in convolution._instructions_before_sort]
        ordered = []
        for one in before_sort:
            orders = tuple(part[k].ir.l for part, k in zip(irreps, one, strict=True))
            ordered.append(blocks[places[one]] * (-1.0 if orders == flipped else 1.0))
        renamed[key] = torch.cat(ordered, dim=1)
        symbol = f"{t} convolution.convolution._compiled_main_left_right._w3j_1_1_1"
        if symbol in renamed:
            renamed[symbol] = -renamed[symbol]
    return config, renamed


def structures(elements: list[str]) -> list:
    """Return a rattled triclinic cell and a cluster of all elements."""
    from ase import Atoms

    rng = np.random.default_rng(5)
    grid = np.array(list(np.ndindex(2, 2, 3)), dtype=float)
    cell = 2.2 * np.array([2, 2, 3])[:, None] * np.array([[1.0, 0, 0], [0.18, 0.94, 0], [-0.12, 0.15, 1.07]])
    positions = (grid + 0.5) / [2, 2, 3] @ cell + rng.normal(scale=0.15, size=grid.shape)
    symbols = [elements[k % len(elements)] for k in rng.permutation(len(grid))]
    return [Atoms(symbols, positions=positions, cell=cell, pbc=True), Atoms(symbols[:6], positions=positions[:6])]


def evaluate(folder: Path) -> None:
    """Write ``NAME.npz`` for each model of ``MODELS`` in ``folder``: structures, energies, forces and stresses."""
    from sevenn.util import load_checkpoint

    for name, options in MODELS.items():
        checkpoint = load_checkpoint(str(folder / f"{name}.pth"))
        model = in_float64(checkpoint.build_model())
        stored = {}
        for modal in options.get("modals", [None]):
            for number, atoms in enumerate(structures(options["elements"])):
                key = f"{modal or ''}.{number}"
                for part in ("numbers", "positions", "pbc"):
                    stored[f"{key}.{part}"] = getattr(atoms, part)
                stored[f"{key}.cell"] = atoms.cell.array
                results = results_of(model, checkpoint.config["cutoff"], atoms, modal)
                stored |= {f"{key}.{part}": value for part, value in results.items()}
        np.savez_compressed(folder / f"{name}.npz", **stored)


def in_float64(model):
    """Return a model of SevenNet in float64; its one-hot vectors are float32 without this."""
    from sevenn.nn.node_embedding import OnehotEmbedding

    def cast(module, _, data):
        for key in filter(None, (module.key_output, module.key_additional_output)):
            data[key] = data[key].double()
        return data

    for module in model.modules():
        if isinstance(module, OnehotEmbedding):
            module.register_forward_hook(cast)
    model.set_is_batch_data(False)
    return model.double().eval()


def results_of(model, cutoff: float, atoms, modal: str | None) -> dict[str, np.ndarray]:
    """Return energy (eV), forces (eV/angstrom) and, for a periodic structure, stress in ASE's order and sign."""
    import sevenn._keys as KEY
    import torch
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.train.dataload import unlabeled_atoms_to_graph

    graph = unlabeled_atoms_to_graph(atoms, cutoff)
    data = AtomGraphData.from_numpy_dict(dict(graph))
    for key in (KEY.EDGE_VEC, KEY.CELL_VOLUME):
        data[key] = torch.as_tensor(np.asarray(graph[key], dtype=np.float64))  # from_numpy_dict rounds to float32
    if modal is not None:
        data[KEY.DATA_MODALITY] = modal
    found = model(data)
    results = {"energy": found[KEY.PRED_TOTAL_ENERGY], "forces": found[KEY.PRED_FORCE]}
    if atoms.pbc.all():
        results["stress"] = -found[KEY.PRED_STRESS][[0, 1, 2, 4, 5, 3]]
    return {name: value.detach().numpy() for name, value in results.items()}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    {"create": create, "evaluate": evaluate}[sys.argv[1]](Path(sys.argv[2]))
