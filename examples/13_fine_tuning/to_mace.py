"""Write a shipped model as a file of mace-torch: python to_mace.py model.safetensors OUT.model

Run it with the Python of mace-torch. It rebuilds models of residual blocks with one head, as the shipped ones are.
"""

import json
import sys

import torch
from e3nn import o3
from mace import modules
from safetensors import safe_open


def main() -> None:
    source, target = sys.argv[1:]
    with safe_open(source, framework="pt") as archive:
        spec = json.loads(archive.metadata()["spec"])
        weights = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118 (no iterator)
    torch.set_default_dtype(getattr(torch, spec["dtype"]))
    first, *others = layers = spec["layers"]
    blocks = ("RealAgnosticInteractionBlock", "RealAgnosticResidualInteractionBlock")
    model = modules.ScaleShiftMACE(
        r_max=spec["cutoff"],
        num_bessel=spec["radial"]["n_basis"],
        num_polynomial_cutoff=spec["radial"]["cutoff_power"],
        max_ell=spec["l_max"],
        interaction_cls_first=modules.interaction_classes[blocks[first["is_residual"]]],
        interaction_cls=modules.interaction_classes[blocks[1]],
        num_interactions=len(layers),
        num_elements=len(spec["atomic_numbers"]),
        hidden_irreps=o3.Irreps(first["irreps_out"]),
        MLP_irreps=o3.Irreps(layers[-1]["readout"]["irreps_hidden"]),
        atomic_energies=weights["atomic_energies_fn.atomic_energies"].numpy().reshape(-1),
        avg_num_neighbors=first["avg_num_neighbors"],
        atomic_numbers=spec["atomic_numbers"],
        correlation=first["correlation"],
        gate=torch.nn.functional.silu,
        radial_MLP=first["radial_widths"],
        pair_repulsion=spec.get("pair_repulsion") is not None,
        atomic_inter_scale=weights["scale_shift.scale"].item(),
        atomic_inter_shift=weights["scale_shift.shift"].item(),
    )
    assert all(other["is_residual"] for other in others)
    state = model.state_dict()
    missing = [name for name, _ in model.named_parameters() if name not in weights]
    unlike = [name for name in weights if name in state and weights[name].numel() != state[name].numel()]
    if missing or unlike:
        sys.exit(f"to_mace.py: {source} has other weights than mace-torch gives this model: {[*missing, *unlike][:3]}")
    known = {name: value.reshape(state[name].shape) for name, value in weights.items() if name in state}
    model.load_state_dict(state | known)
    torch.save(model, target)


if __name__ == "__main__":
    main()
