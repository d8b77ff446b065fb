"""The border between Python and C++: names and shapes of every tensor that crosses it.

``pair_style/contract.h`` says the same in C++. A program sees ``n_local`` centres and ``n_nodes`` sources of features:
all atoms and ghosts of a rank, or a chunk of centres with the atoms around it. Every size may be anything from 2 up
(the C++ side pads below that).
"""

from collections.abc import Sequence
from dataclasses import dataclass

FORMAT_VERSION = 4

METADATA_PATH = "extra/mlip_lammps.json"
"""Where the metadata block lies in the archive, below its root folder."""

KERNELS_PATH = "extra/kernels.so"
"""Where the C++ kernels lie that the programs call; not there in a file for a GPU."""

DTYPES = ("float64", "float32", "mixed")

RADIAL_FORMS = ("table", "exact")

GRAPH_TENSORS = ("centre_species", "edge_vectors", "edge_centre", "edge_neighbour")
"""Inputs of every program: (n_local,) int64, (n_edges, 3) float64, (n_edges,) int64 twice."""

NODE_TENSORS = ("species", "features_")
"""Names (or how they begin) of inputs with n_nodes rows; all other rows are centres or edges."""


@dataclass(frozen=True)
class ProgramSpec:
    """One compiled program.

    Attributes
    ----------
    inputs, outputs
        Tensor names in order, besides ``GRAPH_TENSORS``:

        ``species`` (n_nodes,) int64, in the first layer alone.
        ``features_T`` what layer T sends to its neighbours, already mapped as layer T + 1 takes it: an output
        (n_local, width), an input (n_nodes, width). ``feature_gradients_T``: an output (n_nodes, width), an input
        (n_local, width).
        ``skips_T`` and ``skip_gradients_T`` (n_local, width): what layer T adds to the result of layer T + 1 directly.
        ``messages_T`` (n_local, width): what the backward program would otherwise work out again, where it is small.
        ``energy_weights`` (n_local,) float64: gradients are those of the sum of weighted node energies. Weights of one
        give forces; positions as weights give the moments that per-atom virials and the heat flux need.
        ``node_energies`` (n_local,) float64; ``edge_gradients`` (n_edges, 3) float64.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def program_specs(skip_widths: Sequence[int], message_widths: Sequence[int]) -> tuple[ProgramSpec, ...]:
    """Return the programs of a model in the order in which they run.

    ``forward_t`` for every layer but the last, ``last`` for the last layer with its gradient, then ``backward_t`` down
    to the first layer.

    Parameters
    ----------
    skip_widths, message_widths
        Of layers 1 ... n_layers - 1; 0 where there is no such tensor.
    """
    n_layers = len(skip_widths) + 1

    def incoming(t: int) -> tuple[str, ...]:
        if t == 1:
            return ("species",)
        return (f"features_{t - 1}",) + ((f"skips_{t - 1}",) if skip_widths[t - 2] else ())

    def gradients_of(t: int) -> tuple[str, ...]:
        """Gradients of what comes into layer t."""
        if t == 1:
            return ()
        return (f"feature_gradients_{t - 1}",) + ((f"skip_gradients_{t - 1}",) if skip_widths[t - 2] else ())

    def handed_on(t: int) -> tuple[str, ...]:
        return (f"features_{t}",) + ((f"skips_{t}",) if skip_widths[t - 1] else ())

    def kept(t: int) -> tuple[str, ...]:
        return (f"messages_{t}",) if message_widths[t - 1] else ()

    forwards = [
        ProgramSpec(f"forward_{t}", GRAPH_TENSORS + incoming(t), (*handed_on(t), "node_energies", *kept(t)))
        for t in range(1, n_layers)
    ]
    last = ProgramSpec(
        "last",
        (*GRAPH_TENSORS, *incoming(n_layers), "energy_weights"),
        ("node_energies", "edge_gradients", *gradients_of(n_layers)),
    )
    backwards = [
        ProgramSpec(
            f"backward_{t}",
            (*GRAPH_TENSORS, *incoming(t), *kept(t), *gradients_of(t + 1), "energy_weights"),
            ("edge_gradients", *gradients_of(t)),
        )
        for t in range(n_layers - 1, 0, -1)
    ]
    return (*forwards, last, *backwards)
