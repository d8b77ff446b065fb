"""The interface between Python and C++: names and shapes of all tensors that programs exchange.

``pair_style/contract.h`` is the C++ counterpart. A program has ``n_local`` centres and ``n_nodes`` feature sources:
either all atoms and ghosts of a rank, or a chunk of centres with the atoms around it. Every size is at least 2; the C++
side pads smaller inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FORMAT_VERSION = 8
"""Of model files; the plugin reads this version only, since a file is compiled again in a minute."""

METADATA_PATH = "extra/mlip_lammps.json"
"""Path of the metadata block, relative to the archive's root folder."""

CHECKSUMS_PATH = "extra/checksums.json"
"""Path of the CRC-32 of every other member, by its path; written last."""

KERNELS_PATH = "extra/kernels.so"
"""Path of the C++ kernels that the programs call; absent in GPU files."""

DTYPES = ("float64", "float32", "mixed")

RADIAL_FORMS = ("table", "exact")
FINE_TABLE = "fine table"
"""Tables that an export makes by itself for models that need them; the file says ``table``."""

GRAPH_TENSORS = ("centre_species", "edge_vectors", "edge_centre", "edge_neighbour")
"""Inputs of every program: (n_local,) int64, (n_edges, 3) float64, (n_edges,) int64 and (n_edges,) int64."""

ANGLES = "angle_edges"
"""Input of the programs of models with angles."""

NODE_PROPERTIES = "node_properties"
"""Output of the last layer of models with further results for each atom."""

CHARGES, CHARGE_GRADIENTS = "charges", "charge_gradients"
"""Output of the layers of a model with latent charges, and input of their gradients."""

NODE_TENSORS = ("species", "features_")
"""Names or name prefixes of inputs with n_nodes rows; all other inputs have n_local, n_edges or n_angles
rows."""

RADIAL_TABLE, DENSITY_TABLE = "radial_table_", "density_table_"
"""Name prefixes of the tables of pairs of elements; the number of the layer follows."""
TABLE_OF_PAIR, TABLE_PAIRS = "table_of_pair", "table_pairs"


@dataclass(frozen=True)
class ProgramSpec:
    """One compiled program.

    Attributes
    ----------
    inputs, outputs
        Tensor names in order; beside ``GRAPH_TENSORS``:

        ``species`` (n_nodes,) int64: only in the first layer.
        ``global_inputs`` (n_global_inputs,) float64: numbers of the whole system such as its total charge, in the first
        layer of models that take them. The metadata list their names, defaults and bounds.
        ``edge_species`` (n_edges,) int64: species of the neighbours, in further layers of models whose radial
        functions depend on the pair of elements.
        ``angle_edges`` (n_angles, 2) int64: pairs of edges of one centre, the first before the second, that are shorter
        than ``angle_cutoff`` of the metadata; in all layers of models that take them.
        ``features_T``: features that layer T sends to its neighbours, after the linear map of layer T + 1; as an output
        (n_local, width), as an input (n_nodes, width). ``feature_gradients_T``: as an output (n_nodes, width), as an
        input (n_local, width).
        ``skips_T`` and ``skip_gradients_T`` (n_local, width): skip connection from layer T to the result of layer
        T + 1.
        ``messages_T`` (n_local, width): messages kept for the backward program if they are small; otherwise it
        recomputes them.
        ``energy_weights`` (n_local,) float64: gradients are those of the weighted sum of node energies. Weights of one
        give forces; positions as weights give the moments for per-atom virials and the heat flux.
        ``radial_table_T``, ``density_table_T`` (n_tables, n_values): radial functions and density of layer T for each
        kind of pair of elements of the run, in the layout of the kernels. ``table_of_pair`` (n_elements^2,) int64: the
        table of each pair i * n_elements + j.
        ``table_pairs`` (n_tables,) int64: pairs whose tables a program ``tables_T`` makes; all that it takes.
        ``node_energies`` (n_local,) float64: node energies in eV.
        ``edge_gradients`` (n_edges, 3) float64: gradients with respect to the edge vectors in eV/angstrom.
        ``node_properties`` (n_local, n_properties) float64: further results for each atom, in the last layer of models
        that have them. The metadata list their names.
        ``charges`` (n_local,) float64: contribution of a layer to the latent charge of each atom, in models whose
        energy has a sum over all atoms (``latent_ewald`` of the metadata). ``charge_gradients`` (n_local,) float64:
        gradient of that sum with respect to the charge. Such a model has ``forward_N`` and ``backward_N`` in place of
        ``last``: the sum over all ranks is between them.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def program_specs(
    skip_widths: Sequence[int],
    message_widths: Sequence[int],
    has_pair_functions: bool = False,
    has_global_inputs: bool = False,
    has_angles: bool = False,
    has_node_properties: bool = False,
    has_charges: bool = False,
) -> tuple[ProgramSpec, ...]:
    """Return the programs of a model in execution order.

    The order is ``forward_t`` for every layer except the last, ``last`` for the last layer with its gradient, then
    ``backward_t`` down to the first layer. A model with latent charges has no ``last``: it has ``forward_t`` for every
    layer and then ``backward_t`` for every layer.

    Parameters
    ----------
    skip_widths, message_widths
        Tensor widths of layers 1 ... n_layers - 1; 0 if a layer has no such tensor. With charges the last layer has a
        message width too.
    has_pair_functions
        Whether layers after the first need the species of the neighbours.
    has_global_inputs
        Whether the first layer takes global inputs.
    has_angles
        Whether the layers take pairs of edges.
    has_node_properties
        Whether the last layer has further results for each atom.
    has_charges
        Whether the layers give latent charges, whose energy is a sum over all atoms.
    """
    graph = (*GRAPH_TENSORS, ANGLES) if has_angles else GRAPH_TENSORS
    properties = (NODE_PROPERTIES,) if has_node_properties else ()
    n_layers = len(skip_widths) + 1

    def incoming(t: int) -> tuple[str, ...]:
        if t == 1:
            return ("species", "global_inputs") if has_global_inputs else ("species",)
        species = ("edge_species",) if has_pair_functions else ()
        return (f"features_{t - 1}",) + ((f"skips_{t - 1}",) if skip_widths[t - 2] else ()) + species

    def gradients_of(t: int) -> tuple[str, ...]:
        """Return the gradients of the inputs of layer t."""
        if t == 1 or t > n_layers:
            return ()
        return (f"feature_gradients_{t - 1}",) + ((f"skip_gradients_{t - 1}",) if skip_widths[t - 2] else ())

    def handed_on(t: int) -> tuple[str, ...]:
        if t == n_layers:
            return ()
        return (f"features_{t}",) + ((f"skips_{t}",) if skip_widths[t - 1] else ())

    def kept(t: int) -> tuple[str, ...]:
        return (f"messages_{t}",) if message_widths[t - 1] else ()

    charges, charge_gradients = ((CHARGES,), (CHARGE_GRADIENTS,)) if has_charges else ((), ())
    n_apart = n_layers if has_charges else n_layers - 1
    forwards = [
        ProgramSpec(f"forward_{t}", graph + incoming(t), (*handed_on(t), "node_energies", *kept(t), *charges))
        for t in range(1, n_apart + 1)
    ]
    last = ProgramSpec(
        "last",
        (*graph, *incoming(n_layers), "energy_weights"),
        ("node_energies", "edge_gradients", *gradients_of(n_layers), *properties),
    )
    backwards = [
        ProgramSpec(
            f"backward_{t}",
            (*graph, *incoming(t), *kept(t), *gradients_of(t + 1), "energy_weights", *charge_gradients),
            ("edge_gradients", *gradients_of(t)),
        )
        for t in range(n_apart, 0, -1)
    ]
    return (*forwards, *backwards) if has_charges else (*forwards, last, *backwards)


def with_pair_tables(
    programs: Sequence[ProgramSpec], tables: Mapping[int, Sequence[str]]
) -> tuple[ProgramSpec, ...]:
    """Return the programs of a model that takes tables of pairs of elements, and the programs that make the tables.

    Parameters
    ----------
    tables
        Names of the tables of each layer, which counts from 1.
    """
    last = max(tables)
    taking = []
    for program in programs:
        number = program.name.rpartition("_")[2]
        names = tables[int(number) if number.isdigit() else last]
        taking.append(ProgramSpec(program.name, (*program.inputs, *names, TABLE_OF_PAIR), program.outputs))
    making = [ProgramSpec(f"tables_{t}", (TABLE_PAIRS,), tuple(names)) for t, names in tables.items()]
    return (*taking, *making)
