"""Reading of the joint embedding of global inputs (``embedding_specs``), such as the total charge and spin."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import UnsupportedModelError
from mlip_lammps.families.mace.embeddings import PROJECTION, READOUT
from mlip_lammps.families.mace.reader import checks
from mlip_lammps.families.mace.reader.module import Module
from mlip_lammps.families.mace.spec import EMBEDDED_INPUTS, EmbeddingSpec

Weights = dict[str, NDArray[np.generic]]


def read_embeddings(
    model: Module, irreps_embedding: str, n_heads: int, weights: Weights
) -> tuple[tuple[EmbeddingSpec, ...], bool]:
    """Return the global inputs of a model and whether they have a readout; store their weights in ``weights``.

    Raises
    ------
    UnsupportedModelError
        If the model embeds something else than a total charge or a total spin.
    """
    if not model.has_child("joint_embedding"):
        model.require_absent("embedding_specs")
        return (), False
    joint = model.child("joint_embedding")
    joint.require_class("GenericJointEmbedding")
    specs = joint.attribute("specs")
    checks.require(isinstance(specs, dict) and specs == model.attribute("embedding_specs"), joint, "specs", "not these")
    embeddings = tuple(_embedding(joint, str(name), settings, weights) for name, settings in specs.items())
    linear, activation = joint.child("project").children()
    _require_linear(linear)
    activation.require_class("SiLU")
    weights[PROJECTION] = linear.array("weight")
    if not model.has_child("embedding_readout"):
        return embeddings, False
    readout = model.child("embedding_readout")
    readout.require_class("LinearReadoutBlock")
    # the forward pass of class MACE adds the outputs of all heads to one energy, which fails
    checks.require(n_heads == 1 or model.class_name != "MACE", readout, "number of heads", str(n_heads))
    found = checks.linear(readout.child("linear"))
    checks.require(found == (irreps_embedding, f"{n_heads}x0e"), readout, "irreps", " -> ".join(found))
    weights[READOUT] = readout.child("linear").array("weight")
    return embeddings, True


def _embedding(joint: Module, name: str, settings: Any, weights: Weights) -> EmbeddingSpec:
    kind, per = settings.get("type"), settings.get("per")
    if name not in EMBEDDED_INPUTS or per != "graph" or kind not in ("categorical", "continuous"):
        raise UnsupportedModelError(
            f"embedding_specs of {joint.source} contain {name} ({kind}, per {per}), but this package supports "
            f"{' and '.join(EMBEDDED_INPUTS)} per graph; train without it"
        )
    module = joint.child("embedders").child(name)
    if kind == "categorical":
        module.require_class("Embedding")
        for option in ("max_norm", "padding_idx"):
            module.require_absent(option)
        spec = EmbeddingSpec(name, kind, settings["emb_dim"], settings["num_classes"], settings.get("offset", 0))
        checks.require(type(spec.offset) is int, module, "offset", str(spec.offset))
        weights[f"{spec.prefix}.weight"] = module.array("weight")
        return spec
    checks.require(settings["in_dim"] == 1, module, "in_dim", str(settings["in_dim"]))
    spec = EmbeddingSpec(name, kind, settings["emb_dim"], has_biases=bool(settings.get("use_bias", True)))
    first, activation, second = module.children()
    activation.require_class("SiLU")
    for linear in (first, second):
        _require_linear(linear)
        for part in ("weight", "bias") if spec.has_biases else ("weight",):
            weights[f"{linear.path}.{part}"] = linear.array(part)
    return spec


def _require_linear(module: Module) -> None:
    """Raise unless a module is torch's linear map."""
    checks.require(module.full_name == "torch.nn.modules.linear.Linear", module, "class", module.full_name)
