"""The border between Python and C++: names and shapes of every tensor that crosses it.

``pair_style/contract.h`` says the same in C++. ``n_nodes = n_local + n_ghost``; owned atoms come first. Every size may
be anything from 2 up (the C++ side pads below that).
"""

from dataclasses import dataclass

FORMAT_VERSION = 2

METADATA_PATH = "extra/mlip_lammps.json"
"""Where the metadata block lies in the archive, below its root folder."""

KERNELS_PATH = "extra/kernels.so"
"""Where the C++ kernels lie that the programs call; not there in a file for a GPU."""

DTYPES = ("float64", "float32", "mixed")

GRAPH_TENSORS = ("centre_species", "species", "edge_vectors", "edge_centre", "edge_neighbour")
"""Inputs of every program: (n_local,) int64, (n_nodes,) int64, (n_edges, 3) float64, (n_edges,) int64 twice."""


@dataclass(frozen=True)
class ProgramSpec:
    """One compiled program.

    Attributes
    ----------
    inputs, outputs
        Tensor names in order. ``features_T`` and ``feature_gradients_T`` are (n_nodes, width of layer T) in the
        feature dtype where they are inputs of a later layer, and (n_local, width) where layer T itself gives or
        takes them. ``messages_T`` (n_local, message width of layer T) is what the backward program of a layer would
        otherwise work out again; ``node_energies`` is (n_local,) float64, ``edge_gradients`` (n_edges, 3) float64.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def program_specs(n_layers: int) -> tuple[ProgramSpec, ...]:
    """Return the programs of a model in the order in which they run.

    ``forward_t`` for every layer but the last, ``last`` for the last layer with its gradient, then ``backward_t`` down
    to the first layer.
    """

    def features_into(t: int) -> tuple[str, ...]:
        return (f"features_{t - 1}",) if t > 1 else ()

    def gradients_of(t: int) -> tuple[str, ...]:
        return (f"feature_gradients_{t - 1}",) if t > 1 else ()

    forwards = [
        ProgramSpec(
            f"forward_{t}", GRAPH_TENSORS + features_into(t), (f"features_{t}", "node_energies", f"messages_{t}")
        )
        for t in range(1, n_layers)
    ]
    last = ProgramSpec(
        "last",
        GRAPH_TENSORS + features_into(n_layers),
        ("node_energies", "edge_gradients", *gradients_of(n_layers)),
    )
    backwards = [
        ProgramSpec(
            f"backward_{t}",
            GRAPH_TENSORS + features_into(t) + (f"messages_{t}", f"feature_gradients_{t}"),
            ("edge_gradients", *gradients_of(t)),
        )
        for t in range(n_layers - 1, 0, -1)
    ]
    return (*forwards, last, *backwards)
