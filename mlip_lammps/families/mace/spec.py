"""Specification of a trained MACE model as frozen dataclasses, independent of the file format.

Irreps are strings in e3nn's notation (``16x0e+16x1o``). Weight names are those of mace-torch's ``state_dict``.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.families.family import SpecifiedModel
from mlip_lammps.families.irreps import parse_irreps
from mlip_lammps.structure.latent_ewald import LatentEwald

FAMILY_NAME = "mace"
COUPLINGS = ".conv_tp.couplings."
"""In the weight names of the couplings of convolutions."""


def weights_of(part: str, t: int) -> str:
    """Return the prefix of the weight names of layer ``t``; layers count from 1 here and from 0 in mace-torch.

    Parameters
    ----------
    part
        ``interactions``, ``products``, ``readouts`` or `CHARGE_READOUTS`.
    """
    return f"{part}.{t - 1}"


def couplings_of(t: int, orders: tuple[int, int, int]) -> str:
    """Return the weight name of the couplings of three orders in layer ``t``."""
    return f"{weights_of('interactions', t)}{COUPLINGS}{'_'.join(map(str, orders))}"


CHARGE_READOUTS = "les_readouts"
"""Readouts of latent charges, one beside each readout of energies and of its form."""


@dataclass(frozen=True)
class RadialSpec:
    """Radial basis times a polynomial cutoff (arXiv 2206.07697, appendix, eq. 7 and 8)."""

    n_basis: int
    cutoff_power: int
    """Exponent p of the polynomial cutoff."""
    cutoff_on: Literal["basis", "weights"]
    """Whether the cutoff multiplies the basis before the MLP or the weights after it."""
    distance_transform: Literal["Agnesi", "Soft"] | None = None
    """Map of the distance before the Bessel functions, by pair of elements; the cutoff keeps the distance.

    Notes
    -----
    With the covalent radii R and x = 2 r / (R_i + R_j), the Agnesi transform is 1 / (1 + a x^q / (1 + x^(q - p))) (J.
    Chem. Phys. 159, 164101 (2023)). The soft transform is r_0 + (r - r_0) (1 + tanh(alpha (r - r_m) / (r_1 - r_0))) / 2
    with r_0 = 3/4 (R_i + R_j), r_1 = 4/3 (R_i + R_j) and r_m = (r_0 + r_1) / 2.
    """
    basis: Literal["bessel", "gaussian", "chebyshev"] = "bessel"
    """Functions c sin(w_n r) / r, exp(c (r - r_n)^2), or the Chebyshev polynomials T_n(r)."""


TRANSFORM_PARAMETERS = {"Agnesi": ("a", "q", "p"), "Soft": ("alpha",)}
"""Names of the numbers of each distance transform."""

BASIS_ARRAYS = {
    "bessel": ("bessel_weights", "prefactor"),
    "gaussian": ("gaussian_weights", "coeff"),
    "chebyshev": ("n", None),
}
"""Names of the arrays of each radial basis: one number for each function, and a factor or None."""

_MAPS = {
    "linear": ("linear",),
    "nonlinear": ("linear_1", "linear_2"),
    "biased": ("linear_1", "linear_mid", "linear_2"),
}


@dataclass(frozen=True)
class ReadoutSpec:
    """Readout of one layer: a linear map, or an MLP; one output per head.

    ``nonlinear`` has one hidden layer. ``biased`` has two of the same width, and biases in the second and third map.
    """

    kind: Literal["linear", "nonlinear", "biased"]
    irreps_hidden: str | None
    """Hidden scalars of all heads together, in the order of the heads."""
    activation_scale: float | None
    """Factor by which e3nn multiplies the gate (``normalize2mom``), as found in the file; None if linear."""
    activation: Literal["silu", "tanh", "abs", "identity"] = "silu"
    """Gate between the linear maps; silu if linear."""

    @property
    def maps(self) -> tuple[str, ...]:
        """Names of the linear maps in mace-torch."""
        return _MAPS[self.kind]

    def widths(self, irreps_in: str, n_heads: int) -> list[str]:
        """Return the irreps before and after each linear map."""
        hidden = [] if self.irreps_hidden is None else [self.irreps_hidden] * (len(self.maps) - 1)
        return [irreps_in, *hidden, f"{n_heads}x0e"]


@dataclass(frozen=True)
class LayerSpec:
    """One message-passing layer."""

    interaction: str
    """Class name of the interaction block in mace-torch; must be registered in ``interactions``."""
    irreps_in: str
    irreps_edge: str
    """Features of neighbours after the first linear map, which enter the tensor product."""
    irreps_mid: str
    """Outputs of the tensor product, one entry per path; the third numbers of ``paths`` index it."""
    irreps_message: str
    irreps_out: str
    paths: tuple[tuple[int, int, int], ...]
    """(entry of irreps_edge, l of the spherical harmonic, entry of irreps_mid), in the order of the radial weights."""
    correlation: int
    radial_widths: tuple[int, ...]
    """Hidden widths of the radial MLP."""
    radial_activation_scale: float
    avg_num_neighbors: float
    readout: ReadoutSpec | None
    settings: dict[str, Any] = field(default_factory=dict)
    """Additional settings of the interaction block: plain values by name, as returned by its ``read``."""

    def coupled_orders(self) -> list[tuple[int, int, int]]:
        """Return the orders that each path couples: neighbour features, spherical harmonic and result."""
        edge, mid = parse_irreps(self.irreps_edge), parse_irreps(self.irreps_mid)
        return [(edge[i].order, order, mid[k].order) for i, order, k in self.paths]


@dataclass(frozen=True)
class PairRepulsionSpec:
    """Screened (ZBL) repulsion of nuclei closer than the sum of their covalent radii, with a polynomial cutoff.

    Notes
    -----
    With a_ij = a_prefactor a_0 / (Z_i^a_exp + Z_j^a_exp) and u = r_ij / (R_i + R_j), the energy of atom i includes
    1/2 sum_j k Z_i Z_j / r_ij sum_n c_n exp(-b_n r_ij / a_ij) f(u), where f is the polynomial cutoff of `RadialSpec`,
    k is ``ZBL_COULOMB``, a_0 is ``ZBL_BOHR`` and b is ``ZBL_EXPONENTS``. The model's ``scale`` multiplies this term and
    the readouts. Source: J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids, Pergamon
    (1985).

    Versions of mace-torch before 0.3.5 from its repository have the same cutoff for all pairs and add the whole term to
    both atoms.
    """

    cutoff_power: int
    """Exponent p of the polynomial cutoff."""
    has_common_cutoff: bool = False
    """Whether the cutoff is that of the model, u = r_ij / r_c, and the term has no factor 1/2."""


ZBL_EXPONENTS = (3.2, 0.9423, 0.4028, 0.2016)
"""Values of mace-torch; the third one is 0.4029 in the book."""
OLDER_ZBL_SCREENING = {"a_exp": 0.23, "a_prefactor": 0.8854}
"""Exponent and factor of the screening length in mace-torch before 0.3.5."""
ZBL_BOHR = 0.529
"""Bohr radius in angstrom, rounded as in mace-torch."""
ZBL_COULOMB = 14.3996
"""e^2 / (4 pi epsilon_0) in eV angstrom, rounded as in mace-torch."""


EMBEDDED_INPUTS = {"total_charge": "charge", "total_spin": "spin"}
"""Names of global inputs in mace-torch and in this package."""


@dataclass(frozen=True)
class EmbeddingSpec:
    """One global input in the joint embedding of mace-torch: a number of the whole system.

    Notes
    -----
    The features of every atom before the first layer are those of its element plus silu(sum_k P_k e_k(q_k)), where q_k
    are the global inputs, e_k is a table of vectors or a network with one hidden layer of silu, and P is a matrix.
    """

    name: str
    """Name in mace-torch, one of ``EMBEDDED_INPUTS``."""
    kind: Literal["categorical", "continuous"]
    """Table with one row for each integer, or network."""
    width: int
    """Length of the embedding of this input."""
    n_classes: int | None = None
    """Rows of the table; None for a network."""
    offset: int = 0
    """Row of the table for the input 0."""
    has_biases: bool = True
    """Whether the network has biases."""

    @property
    def prefix(self) -> str:
        """Prefix of its weights."""
        return f"joint_embedding.embedders.{self.name}"


@dataclass(frozen=True)
class ModelSpec:
    """A trained MACE model without its weights."""

    model_class: str
    atomic_numbers: tuple[int, ...]
    heads: tuple[str, ...]
    """Names of the heads; the reference and the layers need a model with one, see ``select_head``."""
    cutoff: float
    """Cutoff in angstrom."""
    l_max: int
    """Largest order of the spherical harmonics."""
    radial: RadialSpec
    irreps_embedding: str
    layers: tuple[LayerSpec, ...]
    dtype: Literal["float64", "float32"]
    """Precision of the stored weights; single arrays may have the other one."""
    pair_repulsion: PairRepulsionSpec | None = None
    has_even_harmonics: bool = False
    """Whether the parity of all spherical harmonics is labelled even (mace-torch's ``use_so3``), not (-1)^l."""
    is_product_by_element: bool = True
    """Whether the weights of the products depend on the element; otherwise they have one row."""
    embeddings: tuple[EmbeddingSpec, ...] = ()
    """Global inputs, in the order in which the joint embedding takes them."""
    has_embedding_readout: bool = False
    """Whether a linear readout of the features before the first layer adds to the energy, without the scale."""
    latent_ewald: LatentEwald | None = None
    """Long-range energy of latent charges, without the scale; None without."""

    @property
    def n_layers(self) -> int:
        return len(self.layers)


@dataclass(frozen=True)
class MaceModel(SpecifiedModel):
    """A trained MACE model: specification and weights. See ``TrainedModel``.

    Attributes
    ----------
    weights
        Arrays by their names in mace-torch's ``state_dict``, in the precision of the file. In addition to the trained
        weights, they include ``atomic_energies_fn.atomic_energies`` (n_heads, n_elements), ``scale_shift.scale`` and
        ``scale_shift.shift`` (n_heads,) (1 and 0 for class MACE), the arrays of the radial basis
        (``radial_embedding.bessel_fn``, see ``BASIS_ARRAYS``), and the coupling tensors
        ``products.T.symmetric_contractions.contractions.K.U_matrix_NU`` as dense arrays. If the file has couplings
        of three orders L above 0, they are ``interactions.T.conv_tp.couplings.L_L_L`` (2 L + 1 each). A model with pair
        repulsion also has ``pair_repulsion_fn.c`` (4,), ``.a_exp``, ``.a_prefactor`` and ``.covalent_radii`` (angstrom,
        by atomic number). A model with a distance transform also has
        ``radial_embedding.distance_transform.covalent_radii``, with ``.a``, ``.q``, ``.p`` (Agnesi) or ``.alpha``
        (soft). A model with global inputs also has the weights of each input, ``joint_embedding.project.0.weight`` and,
        with a readout, ``embedding_readout.linear.weight``.
    source_sha256
        SHA-256 of the original file; a portable file stores that of the file it was made from.
    """

    family = FAMILY_NAME
    spec: ModelSpec
    weights: dict[str, NDArray[np.generic]]
    source_sha256: str
    source_name: str

    @property
    def dtype(self) -> str:
        return self.spec.dtype

    def facts(self) -> dict[str, Any]:
        """Return the properties that ``mlip-lammps info`` prints."""
        couplings = "U_matrix", COUPLINGS
        n_weights = sum(array.size for name, array in self.weights.items() if not any(one in name for one in couplings))
        return {"n_weights": n_weights, **asdict(self.spec), **self._remarks()}

    def describe(self) -> dict[str, Any]:
        """Return the model properties for the metadata of a compiled file."""
        return {
            "model_class": self.spec.model_class,
            "heads": list(self.spec.heads),
            "head": self.spec.heads[0],
            "hidden_irreps": [layer.irreps_out for layer in self.spec.layers],
            **self._remarks(),
        }

    def _remarks(self) -> dict[str, str]:
        from mlip_lammps.families.mace.remarks import remarks_of  # the blocks read specifications

        remarks = "; ".join(remarks_of(self.spec, self.weights))
        return {"remark": remarks} if remarks else {}
