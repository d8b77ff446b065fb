"""Interface between model families and compilation: a chain of arbitrary layers."""

from abc import ABC, abstractmethod
from pathlib import Path

from mlip_lammps.families.chain import Chain
from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.operators import LayerOperators, NoOperators
from mlip_lammps.model_file.contract import ProgramSpec, program_specs, with_pair_tables
from mlip_lammps.structure.global_inputs import GlobalInput
from mlip_lammps.structure.latent_ewald import LatentEwald

_PLAIN_CHUNK_ATOMS = 128


class LayeredModel(ABC):
    """A picklable model with a subset of its elements, as a chain of layers.

    Attributes
    ----------
    atomic_numbers
        Elements in species order.
    cutoff
        Cutoff in angstrom.
    angle_cutoff
        Length in angstrom up to which pairs of edges form the angles ``EdgeGraph.angle_edges``; 0 without angles.
    feature_widths
        Widths of the features that layers 1 ... n_layers - 1 send to their neighbours.
    skip_widths
        Widths of the skip connections from these layers to the next one; 0 if there is none.
    message_widths
        Widths of the messages that these layers keep for their gradients; 0 if the gradients recompute them. With
        latent charges the last layer has a width too.
    lowered
        Constants of the layers for the kernels; None for a plain-torch model.
    has_operators
        Whether a model without ``lowered`` has operators of its own in the backend of the CPU.
    global_inputs
        Numbers of the whole system that the first layer takes as ``EdgeGraph.global_inputs``.
    max_bonds
        Most edges of a centre that form angles; an atom with more is an error. 0 for any number.
    node_properties
        Names of further results for each atom, see ``Evaluation.node_properties``. The last layer returns them.
    latent_ewald
        Long-range energy of latent charges, to which every layer may contribute; None without. Such a model has the
        charges as its only node property.
    is_in_float64
        Whether every precision computes in float64; compiled files then state float64.
    """

    atomic_numbers: tuple[int, ...]
    cutoff: float
    angle_cutoff: float = 0.0
    feature_widths: tuple[int, ...] = ()
    lowered: LoweredModel | None = None
    has_operators: bool = False
    global_inputs: tuple[GlobalInput, ...] = ()
    max_bonds: int = 0
    node_properties: tuple[str, ...] = ()
    latent_ewald: LatentEwald | None = None
    is_in_float64: bool = False

    @property
    def skip_widths(self) -> tuple[int, ...]:
        return (0,) * len(self.feature_widths)

    @property
    def message_widths(self) -> tuple[int, ...]:
        return (0,) * (len(self.feature_widths) + (self.latent_ewald is not None))

    @property
    def has_pair_functions(self) -> bool:
        """Whether layers after the first need the species of the neighbours."""
        return False

    @property
    def is_smooth_at_cutoff(self) -> bool:
        """Whether energies and forces are continuous where an atom crosses the cutoff.

        An export checks it. False is for trained models that have steps there, and not for mistakes of the layers.
        """
        return self.lowered is None or self.lowered.is_smooth_at_cutoff

    @property
    def n_layers(self) -> int:
        return len(self.feature_widths) + 1

    @property
    def programs(self) -> tuple[ProgramSpec, ...]:
        """The programs of the model in execution order, without tables of pairs of elements."""
        widths = self.skip_widths, self.message_widths
        return program_specs(
            *widths,
            has_pair_functions=self.has_pair_functions,
            has_global_inputs=bool(self.global_inputs),
            has_angles=self.angle_cutoff > 0.0,
            has_node_properties=bool(self.node_properties) and self.latent_ewald is None,
            has_charges=self.latent_ewald is not None,
        )

    def programs_with(self, operators: LayerOperators | NoOperators) -> tuple[ProgramSpec, ...]:
        """Return the programs that call ``operators``, and those that make their tables."""
        tables = {t: [one.name for one in operators.table_inputs(t)] for t in range(1, self.n_layers + 1)}
        return with_pair_tables(self.programs, tables) if any(tables.values()) else self.programs

    def chunk_atoms(self) -> int:
        """Return the number of centres per program call on a CPU, such that their messages stay in the cache."""
        return _PLAIN_CHUNK_ATOMS

    def operators(self, name: str, dtype: str, radial: str, scratch: Path) -> LayerOperators | NoOperators:
        """Return the operators of a backend (``torch`` or ``cpu``) for this model.

        ``radial`` is that of ``export_model``.
        """
        return NoOperators()

    @abstractmethod
    def chain(self, dtype: str, operators: LayerOperators | NoOperators) -> Chain:
        """Return the layers as torch functions with the precision ``float64``, ``float32`` or ``mixed``."""
