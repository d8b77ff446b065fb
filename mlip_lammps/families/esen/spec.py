"""What a trained eSEN model is: settings, names and shapes of its weights. This module does not import torch."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.families.family import SpecifiedModel
from mlip_lammps.structure.global_inputs import GlobalInput

FAMILY_NAME = "esen"
CHARGES, SPINS = (-100, 100), (0, 100)
"""Charges and spin multiplicities that the package takes; spin 0 stands for one that is not known."""
_SPIN_OF_MOLECULES = ("omol", 1)
"""The dataset whose default spin multiplicity is not 0, and that multiplicity, as the package's calculator has it."""


@dataclass(frozen=True)
class Dataset:
    """A dataset of the training; each has reference energies of its own.

    Attributes
    ----------
    name
        Name of the head in this package.
    scale
        Factor of the energies.
    expert
        Row of the weights of the energy network.
    """

    name: str
    scale: float
    expert: int


@dataclass(frozen=True)
class EsenSpec:
    """Settings of a trained model.

    Attributes
    ----------
    atomic_numbers
        Elements with training data, in the order of the embedding.
    cutoff
        Cutoff in angstrom.
    max_neighbors
        Number of neighbours above which the package drops the most distant ones. Here all of them count.
    max_degree, max_order
        Largest degree l of node features, and largest order m of messages in the frame of an edge.
    n_gaussians
        Number of Gaussian functions of the distance.
    sphere_width, edge_width, hidden_width
        Channels of node features, of edge features, and of messages.
    n_blocks
        Number of message-passing blocks after the first sum over neighbours.
    grid
        Points of latitude and longitude on which the network of an atom acts; None if it acts on coefficients.
    state_embedding
        ``rand_emb`` for a table of charges and spins, ``pos_emb`` for sines and cosines, empty without both.
    has_dataset_embedding
        Whether the dataset is an input.
    datasets
        The datasets whose energies the model gives.
    dataset
        Index of the selected dataset; None before the selection.
    """

    atomic_numbers: tuple[int, ...]
    cutoff: float
    max_neighbors: int
    max_degree: int
    max_order: int
    n_gaussians: int
    sphere_width: int
    edge_width: int
    hidden_width: int
    n_blocks: int
    grid: tuple[int, int] | None
    state_embedding: str
    has_dataset_embedding: bool
    datasets: tuple[Dataset, ...]
    dataset: int | None = None

    @property
    def n_layers(self) -> int:
        return self.n_blocks + 1

    @property
    def n_coefficients(self) -> int:
        """Number of components of the features of a node in one channel."""
        return (self.max_degree + 1) ** 2

    @property
    def global_inputs(self) -> tuple[GlobalInput, ...]:
        """Charge and spin multiplicity, if the model has them."""
        if not self.state_embedding:
            return ()
        name, spin = _SPIN_OF_MOLECULES
        is_molecular = self.dataset is not None and self.datasets[self.dataset].name == name
        charges, spins = (tuple(map(float, bounds)) for bounds in (CHARGES, SPINS))
        return (
            GlobalInput("charge", 0.0, *charges, is_integer=True),
            GlobalInput("spin", float(spin if is_molecular else 0), *spins, is_integer=True),
        )

    def order_rows(self) -> tuple[tuple[int, ...], ...]:
        """Return the components (l, m) of each order, as l^2 + l + m: degrees of +m and then of -m for each m > 0."""
        rows = [tuple(degree * (degree + 1) for degree in range(self.max_degree + 1))]
        for m in range(1, self.max_order + 1):
            degrees = range(m, self.max_degree + 1)
            rows.append(tuple(degree * (degree + 1) + sign * m for sign in (1, -1) for degree in degrees))
        return tuple(rows)

    def weight_shapes(self, max_elements: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the weights of the backbone by their names in the package.

        Parameters
        ----------
        max_elements
            Rows of the embeddings of elements.
        """
        width = self.sphere_width
        shapes = {"sphere_embedding.weight": (max_elements, width)}
        shapes |= {f"{name}_embedding.weight": (max_elements, self.edge_width) for name in ("source", "target")}
        shapes |= self._state_shapes()
        shapes |= self._radial_shapes("edge_degree_embedding.rad_func", (self.max_degree + 1) * width)
        for block in range(self.n_blocks):
            shapes |= self._block_shapes(f"blocks.{block}")
        return shapes | self._norm_shapes("norm")

    def energy_widths(self) -> tuple[int, ...]:
        """Return the widths of the energy network."""
        return self.sphere_width, self.hidden_width, self.hidden_width, 1

    def _state_shapes(self) -> dict[str, tuple[int, ...]]:
        width, kind = self.sphere_width, self.state_embedding
        if not kind:
            return {}
        n_parts = 3 if self.has_dataset_embedding else 2
        shapes = {"mix_csd.weight": (width, n_parts * width), "mix_csd.bias": (width,)}
        for name, (lowest, highest) in (("charge", CHARGES), ("spin", SPINS)):
            if kind == "rand_emb":
                shapes[f"{name}_embedding.rand_emb.weight"] = (highest - lowest + 1, width)
            else:
                shapes[f"{name}_embedding.W"] = (width // 2,)
        return shapes

    def _radial_shapes(self, name: str, n_out: int) -> dict[str, tuple[int, ...]]:
        edge = self.edge_width
        shapes = _linear_shapes(f"{name}.net.0", self.n_gaussians + 2 * edge, edge)
        shapes |= _linear_shapes(f"{name}.net.3", edge, edge) | _linear_shapes(f"{name}.net.6", edge, n_out)
        return shapes | {f"{name}.net.{k}.{part}": (edge,) for k in (1, 4) for part in ("weight", "bias")}

    def _norm_shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        width = self.sphere_width
        return {f"{name}.affine_weight": (self.max_degree + 1, width), f"{name}.affine_bias": (width,)}

    def convolutions(self, block: str) -> Iterator[tuple[str, int, int, bool]]:
        """Yield name, numbers of inputs and outputs and bias of the linear maps of the messages of a block."""
        top, hidden, width = self.max_degree, self.hidden_width, self.sphere_width
        for number, n_in, n_out, n_gates in ((1, 2 * width, hidden, top * hidden), (2, hidden, width, 0)):
            name = f"{block}.edge_wise.so2_conv_{number}"
            yield f"{name}.fc_m0", n_in * (top + 1), n_out * (top + 1) + n_gates, True
            for m in range(1, self.max_order + 1):
                n_degrees = top - m + 1
                yield f"{name}.so2_m_conv.{m - 1}.fc", n_in * n_degrees, 2 * n_out * n_degrees, False

    def _block_shapes(self, block: str) -> dict[str, tuple[int, ...]]:
        top, hidden, width = self.max_degree, self.hidden_width, self.sphere_width
        shapes = self._norm_shapes(f"{block}.norm_1") | self._norm_shapes(f"{block}.norm_2")
        n_radial = 0
        for name, n_in, n_out, has_bias in self.convolutions(block):
            if "so2_conv_1" in name:
                n_radial += n_in
            shapes[f"{name}.weight"] = (n_out, n_in)
            if has_bias:
                shapes[f"{name}.bias"] = (n_out,)
        shapes |= self._radial_shapes(f"{block}.edge_wise.so2_conv_1.rad_func", n_radial)
        network = f"{block}.atom_wise"
        if self.grid is not None:
            widths = (width, hidden, hidden, width)
            return shapes | {f"{network}.grid_mlp.{2 * k}.weight": (widths[k + 1], widths[k]) for k in range(3)}
        shapes |= _linear_shapes(f"{network}.scalar_mlp.0", width, top * hidden)
        for number, n_in, n_out in ((1, width, hidden), (2, hidden, width)):
            shapes[f"{network}.so3_linear_{number}.weight"] = (top + 1, n_out, n_in)
            shapes[f"{network}.so3_linear_{number}.bias"] = (n_out,)
        return shapes


def _linear_shapes(name: str, n_in: int, n_out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


@dataclass(frozen=True)
class EsenModel(SpecifiedModel):
    """A trained model; see ``TrainedModel``.

    Attributes
    ----------
    weights
        Arrays in the precision of the file: those of ``EsenSpec.weight_shapes``, with the rows of ``atomic_numbers``
        alone in embeddings of elements; ``energy_block.K.weight`` and ``.bias`` of the energy network, the first with
        a row for each expert; ``dataset_embedding``, shape (n_datasets, sphere_width); and ``references``, energies of
        elements in eV, shape (n_datasets, n_elements).
    """

    family = FAMILY_NAME
    spec: EsenSpec
    weights: dict[str, NDArray[np.floating]]
    source_sha256: str
    source_name: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        return self.weights["sphere_embedding.weight"].dtype.name

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.spec.datasets)

    @property
    def selected(self) -> Dataset:
        """The selected dataset."""
        return self.spec.datasets[self.spec.dataset]

    def facts(self) -> dict[str, Any]:
        """Return the properties that ``mlip-lammps info`` prints."""
        shown = {name: value for name, value in vars(self.spec).items() if name not in ("datasets", "dataset")}
        n_weights = sum(array.size for array in self.weights.values())
        return {**self.remarks, "dtype": self.dtype, **shown, "heads": list(self.datasets), "n_weights": n_weights}

    def describe(self) -> dict[str, Any]:
        """Return the model properties for the metadata of a compiled file."""
        return {"head": self.selected.name, "max_neighbors": self.spec.max_neighbors, **self.remarks}


def select_dataset(trained: EsenModel, name: str | None) -> EsenModel:
    """Return ``trained`` for the dataset ``name``; None stands for the only one.

    Raises
    ------
    UserInputError
        If the model has no such dataset, or if it has several and ``name`` is None.
    """
    names, source = trained.datasets, trained.source_name
    if name is None:
        if trained.spec.dataset is not None:
            return trained
        if len(names) > 1:
            raise UserInputError(f"{source} has the heads {', '.join(names)}; choose one with --head or head=")
        name = names[0]
    if name not in names:
        raise UserInputError(f"{source} has no head {name}; choose one of {', '.join(names)}")
    return replace(trained, spec=replace(trained.spec, dataset=names.index(name)))
