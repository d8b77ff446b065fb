"""Reader of files that TorchANI wrote with torch.save: state dicts and models, as data. It does not import torch."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.ani.published import NAMES, published_settings
from mlip_lammps.families.ani.spec import Activation, AniModel, CutoffFunction, Repulsion, Settings
from mlip_lammps.families.ani.state_dict import is_state_dict, parts_of
from mlip_lammps.families.checkpoints.archive import TorchArchive, small_pickle
from mlip_lammps.families.checkpoints.pickle_reader import Record

_MODEL = "torchani.arch.ANI"
_ALLOWED = frozenset(
    {
        _MODEL,
        "torch.nn.modules.activation.CELU",
        "torch.nn.modules.activation.GELU",
        "torch.nn.modules.container.ModuleDict",
        "torch.nn.modules.container.ModuleList",
        "torch.nn.modules.linear.Linear",
        "torchani.aev._computer.AEVComputer",
        "torchani.aev._terms.ANIAngular",
        "torchani.aev._terms.ANIRadial",
        "torchani.cutoffs.CutoffBiweight",
        "torchani.cutoffs.CutoffCosine",
        "torchani.cutoffs.CutoffSmooth",
        "torchani.cutoffs.CutoffTriweight",
        "torchani.neighbors.AdaptiveList",
        "torchani.neighbors.AllPairs",
        "torchani.neighbors.CellList",
        "torchani.nn._containers.ANINetworks",
        "torchani.nn._containers.Ensemble",
        "torchani.nn._containers.SpeciesConverter",
        "torchani.nn._core.AtomicNetwork",
        "torchani.nn._core.TightCELU",
        "torchani.potentials.core.Potential",
        "torchani.potentials.nnp.NNPotential",
        "torchani.potentials.xtb.RepulsionXTB",
        "torchani.sae.SelfEnergy",
    }
)
_REFUSED = {
    "ANIq": "a model with charges",
    "TwoBodyDispersionD3": "a D3 dispersion correction",
    "SingleNN": "a network that elements share",
    "ANISharedNetworks": "layers that elements share",
    "CutoffDummy": "no cutoff function, so that energies jump",
    "_AltCutoffSmooth": "another cutoff function",
    "RepulsionZBL": "a ZBL repulsion",
    "LennardJones": "a Lennard-Jones potential",
    "BmmEnsemble": "networks converted for inference; save the model before to_infer_model",
    "MNPNetworks": "networks converted for inference; save the model before to_infer_model",
}
"""Classes of TorchANI that are not supported, and what they are."""
_STATE_DICTS = ("model", "state_dict", "model_state_dict")
"""Keys of state dicts in the checkpoints of trainings."""
_CUTOFF_FORMS = {
    "CutoffCosine": "cosine",
    "CutoffSmooth": "smooth",
    "CutoffBiweight": "biweight",
    "CutoffTriweight": "triweight",
}
_SAVE_MODEL = "load it with TorchANI 2 and save it again with torch.save(model, path)"


def is_torch_file(path: Path, start: bytes) -> bool:
    """Return whether a file of torch.save contains a model or a state dict of TorchANI."""
    pickled = small_pickle(path, start)
    return pickled is not None and (b"torchani" in pickled or b"aev_computer." in pickled)


def read_torch_file(path: Path) -> AniModel:
    """Read a state dict or a model of TorchANI without running its content.

    Raises
    ------
    ModelFileError
        If the file is damaged.
    UnsupportedModelError
        If the model has a feature that is not supported, or its settings are not known; the message names it.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with TorchArchive(path, _ALLOWED) as archive:
        root, unknown = archive.any_root()
        if isinstance(root, dict) and not is_state_dict(root):
            inner = (root[name] for name in _STATE_DICTS if name in root)
            root = next((one for one in inner if is_state_dict(one) or isinstance(one, Record)), root)
        if isinstance(root, Record):
            return _read_model(path, root, unknown, archive, digest)
        if not is_state_dict(root):
            raise ModelFileError(f"{path} contains neither a model nor a state dict of TorchANI; {_SAVE_MODEL}")
        arrays = {name: archive.array(one, name) for name, one in root.items() if isinstance(one, Record)}
    parts = parts_of(arrays, path)
    found = published_settings(parts)
    if found is None:
        raise UnsupportedModelError(
            f"{path} is the state dict of another model than {NAMES}, and state dicts contain neither the activation "
            f"function nor the cutoff functions; {_SAVE_MODEL}"
        )
    name, settings = found
    return parts.model(path, settings, digest, "TorchANI state dict", {"settings": f"those of {name}"})


def _read_model(
    path: Path, root: Record, unknown: frozenset[str], archive: TorchArchive, digest: str
) -> AniModel:
    for name in sorted(unknown):
        what = _REFUSED.get(name.rpartition(".")[2])
        raise UnsupportedModelError(
            f"{path} has {f'{what} ({name})' if what else name}, which this package does not support; use an ANI model "
            "of TorchANI 2 without it"
        )
    if root.name != _MODEL:
        raise ModelFileError(f"{path} contains a {root.name}, expected the whole model; {_SAVE_MODEL}")
    model = _Module(root, path, "the model")
    network = model.child("potentials").child("nnp")
    containers = network.child("neural_networks")
    if not network.attribute("_enabled") or containers.attribute("num_species") < 1:
        raise ModelFileError(f"{path} has a model whose networks are switched off; switch them on and save it again")
    repulsion = model.child("potentials").children.get("repulsion_xtb")
    if repulsion is not None and not repulsion.attribute("_enabled"):
        repulsion = None
    arrays = {name: archive.array(record, name) for name, record in model.arrays("")}
    if repulsion is None:
        arrays = {name: one for name, one in arrays.items() if not name.startswith("potentials.repulsion_xtb.")}
    if not model.child("energy_shifter").attribute("_enabled"):
        arrays["energy_shifter.self_energies"] = 0.0 * arrays["energy_shifter.self_energies"]
    members = containers.attribute("active_members_idxs") if "members" in containers.children else None
    settings = _settings(network, repulsion)
    return parts_of(arrays, path, members).model(path, settings, digest, "TorchANI model", {})


def _settings(network: "_Module", repulsion: "_Module | None") -> Settings:
    computer = network.child("aev_computer")
    radial, angular = computer.child("radial"), computer.child("angular")
    function = _cutoff_function(radial.child("cutoff_fn"))
    if _cutoff_function(angular.child("cutoff_fn")) != function:
        raise UnsupportedModelError(
            f"{radial.path} has different cutoff functions of radial and angular terms, expected one"
        )
    activations = {_activation(one) for one in network.named("activation")}
    if len(activations) != 1:
        raise UnsupportedModelError(
            f"{network.path} has networks with {len(activations)} different activation functions, expected one"
        )
    cutoffs = radial.number("cutoff"), angular.number("cutoff")
    return Settings(*cutoffs, function, activations.pop(), None if repulsion is None else _repulsion(repulsion))


def _repulsion(module: "_Module") -> Repulsion:
    cutoff = module.number("cutoff")
    if not 0.0 < cutoff < float("inf"):
        raise UnsupportedModelError(
            f"{module.label} has the cutoff {cutoff:g}, and this package supports finite ones; train with a cutoff"
        )
    return Repulsion(cutoff, _cutoff_function(module.child("cutoff_fn")))


def _cutoff_function(module: "_Module") -> CutoffFunction:
    form = _CUTOFF_FORMS.get(module.class_name)
    if form is None:
        raise UnsupportedModelError(f"{module.label} is a {module.class_name}, expected {', '.join(_CUTOFF_FORMS)}")
    if form != "smooth":
        return CutoffFunction(form)
    order, floor = module.attribute("order"), module.number("eps")
    if type(order) is not int or not 2 <= order <= 20 or not 0.0 < floor < 1e-3:
        raise UnsupportedModelError(
            f"{module.label} has the order {order} and eps {floor:g}, and this package supports orders 2 to 20 "
            "and eps below 0.001"
        )
    return CutoffFunction(form, order, floor)


def _activation(module: "_Module") -> Activation:
    if module.class_name == "TightCELU" or (module.class_name == "CELU" and module.number("alpha") == 0.1):
        return "celu"
    if module.class_name == "GELU" and module.attribute("approximate") == "none":
        return "gelu"
    raise UnsupportedModelError(
        f"{module.label} is a {module.class_name}, and this package supports GELU without approximation and CELU with "
        "alpha 0.1; train with one of them"
    )


class _Module:
    """The record of a torch module."""

    def __init__(self, record: Any, path: Path, name: str):
        self.path, self.label = path, f"{name} of {path}"
        state = record.state if isinstance(record, Record) else None
        tables = [state.get(key) for key in ("_modules", "_parameters", "_buffers")] if isinstance(state, dict) else []
        if not tables or not all(isinstance(table, dict) for table in tables):
            raise ModelFileError(f"{self.label} is not a torch module; copy or save the model again")
        self.class_name = record.name.rpartition(".")[2]
        self._state = state
        modules, *self._tables = tables
        self.children = {
            key: _Module(one, path, key) for key, one in modules.items() if isinstance(key, str) and one is not None
        }

    def child(self, name: str) -> "_Module":
        if name not in self.children:
            raise ModelFileError(f"{self.label} lacks the module {name}; {_SAVE_MODEL}")
        return self.children[name]

    def attribute(self, name: str) -> Any:
        if name not in self._state:
            raise ModelFileError(f"{self.label} lacks the attribute {name}; {_SAVE_MODEL}")
        return self._state[name]

    def number(self, name: str) -> float:
        value = self.attribute(name)
        if type(value) not in (int, float):
            raise ModelFileError(f"{self.label} has the {name} {value}, expected a number; {_SAVE_MODEL}")
        return float(value)

    def named(self, name: str) -> Iterator["_Module"]:
        """Return all modules below this one that have this name."""
        for key, child in self.children.items():
            if key == name:
                yield child
            yield from child.named(name)

    def arrays(self, prefix: str) -> Iterator[tuple[str, Any]]:
        """Return records of parameters and buffers by their names in a state dict."""
        for table in self._tables:
            yield from ((f"{prefix}{name}", one) for name, one in table.items() if one is not None)
        for name, child in self.children.items():
            yield from child.arrays(f"{prefix}{name}.")
