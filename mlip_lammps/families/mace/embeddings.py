"""The joint embedding of global inputs: its weights, and the inputs as the rest of the package knows them."""

from collections.abc import Iterator

from mlip_lammps.families.irreps import parse_irreps
from mlip_lammps.families.mace.spec import EMBEDDED_INPUTS, EmbeddingSpec, ModelSpec
from mlip_lammps.structure.global_inputs import DEFAULTS, GlobalInput

PROJECTION = "joint_embedding.project.0.weight"
READOUT = "embedding_readout.linear.weight"


def global_inputs(spec: ModelSpec) -> tuple[GlobalInput, ...]:
    """Return the global inputs of a model."""
    return tuple(_input(one) for one in spec.embeddings)


def _input(embedding: EmbeddingSpec) -> GlobalInput:
    name = EMBEDDED_INPUTS[embedding.name]
    if embedding.kind == "continuous":
        return GlobalInput(name, DEFAULTS[name])
    lowest, highest = -embedding.offset, embedding.n_classes - 1 - embedding.offset
    return GlobalInput(name, DEFAULTS[name], float(lowest), float(highest), is_integer=True)


def embedding_shapes(spec: ModelSpec) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and shape of every weight of the joint embedding; nothing for a model without one."""
    if not spec.embeddings:
        return
    n_channels = sum(entry.mul for entry in parse_irreps(spec.irreps_embedding))
    for one in spec.embeddings:
        if one.kind == "categorical":
            yield f"{one.prefix}.weight", (one.n_classes, one.width)
            continue
        for step, n_in in ((0, 1), (2, one.width)):
            yield f"{one.prefix}.{step}.weight", (one.width, n_in)
            if one.has_biases:
                yield f"{one.prefix}.{step}.bias", (one.width,)
    yield PROJECTION, (n_channels, sum(one.width for one in spec.embeddings))
    if spec.has_embedding_readout:
        yield READOUT, (n_channels * len(spec.heads),)
