"""Reader of the files of ``nequip-package``: modules of the eager model, read as data and without torch.

A package contains the model as pickled modules, and the sources of their classes. The sources are not read: the classes
are known by their names, and all attributes that determine the result are checked.
"""

import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlip_lammps.core.errors import DAMAGED_ZIP, ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import PACKAGE_MARK, PackageArchive
from mlip_lammps.families.gated.irreps import harmonics
from mlip_lammps.families.gated.spec import GatedSpec
from mlip_lammps.families.irreps import Entry, format_irreps
from mlip_lammps.families.nequip.arrays import Arrays
from mlip_lammps.families.nequip.design import Design
from mlip_lammps.families.nequip.layer_checks import check_layer
from mlip_lammps.families.nequip.modules import Module
from mlip_lammps.families.nequip.weights import READOUT, Constants, radial_home

_MODEL, _METADATA, _VERSIONS = "model/eager_model.pkl", "model/package_metadata.txt", "model/versions.txt"
_OLDEST_E3NN = (0, 5)
"""Older versions have other signs of some coupling coefficients; NequIP packages no model with them."""
_LAYER = re.compile(r"layer(\d+)_convnet")
_ACTIVATIONS = {
    "torch.nn.functional.silu": "silu",
    "torch.tanh": "tanh",
    "torch.abs": "abs",
    "nequip.nn.nonlinearities.shifted_softplus": "ssp",
}
_NETWORK_ACTIVATIONS = {"SiLU": "silu", "Mish": "mish", "GELU": "gelu"}
_MOST_METADATA = 100


@dataclass(frozen=True)
class PackageFacts:
    """What the metadata of a package say.

    Attributes
    ----------
    versions
        Of the programs that packaged it, by name.
    compile_modes
        Names of the models in it.
    type_names
        In order.
    """

    versions: dict[str, str]
    compile_modes: tuple[str, ...]
    type_names: tuple[str, ...]

    @property
    def nequip(self) -> str:
        """Version of NequIP."""
        return self.versions.get("nequip", "of unknown version")[:20]


class PackagedModel:
    """The one model of a package.

    Attributes
    ----------
    design, constants
        Of the modules.
    states, parameters
        Records of the arrays by name, and the names of those that are trained.
    facts
        Metadata.

    Raises
    ------
    ModelFileError
        If the file is damaged.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """

    def __init__(self, archive: PackageArchive):
        self.archive, self.facts = archive, facts_of(archive)
        e3nn = re.match(r"(\d+)\.(\d+)", self.facts.versions.get("e3nn", ""))
        if e3nn is None or tuple(map(int, e3nn.groups())) < _OLDEST_E3NN:
            raise UnsupportedModelError(
                f"{archive.name} was packaged with e3nn {self.facts.versions.get('e3nn', 'of unknown version')}, "
                "expected 0.5 or newer; package it again"
            )
        models = Module(archive.pickled(_MODEL), archive)
        models.require_class("ModuleDict")
        if len(models.child_names()) != 1:
            raise UnsupportedModelError(
                f"{archive.name} has {len(models.child_names())} models ({', '.join(models.child_names())[:60]}), and "
                "this package reads one; package one model"
            )
        self._graph = models.child(models.child_names()[0], "GraphModel")
        _refuse_foreign(self._graph)
        energies = self._graph.child("model", "ForceStressOutput", "SequentialGraphNetwork")
        if energies.class_name == "ForceStressOutput":  # forces follow from the energies, computed by NequIP or not
            energies = energies.child("func", "SequentialGraphNetwork")
        self._sequence = energies
        self.design, self.constants = _design(self._graph, energies), _constants(energies)
        found = list(models.records())
        self.states = {name: record for name, record, _ in found}
        start = f"{energies.path}."
        self.parameters = frozenset(name.removeprefix(start) for name, _, is_parameter in found if is_parameter)

    def arrays(self) -> Arrays:
        """Return the arrays of the package."""
        return Arrays(self.states, self.archive)

    def check(self, spec: GatedSpec) -> None:
        """Raise unless the modules compute what the specification says.

        Raises
        ------
        UnsupportedModelError
            If a module differs.
        """
        for t, layer in enumerate(spec.layers):
            check_layer(self._sequence.child(f"layer{t}_convnet"), layer, spec)


def is_package(path: Path) -> bool:
    """Return whether a zip file was written by ``nequip-package``."""
    names = _names(path)
    is_archive = any(name.endswith(f"/{PACKAGE_MARK}") for name in names)
    return is_archive and any(name.endswith(f"/{_MODEL}") or "/nequip/" in name for name in names)


def is_compiled(path: Path) -> bool:
    """Return whether a zip file was written by ``nequip-compile`` for AOTInductor."""
    metadata = [name for name in _names(path) if "/aotinductor/" in name and name.endswith("metadata.json")]
    try:
        with zipfile.ZipFile(path) as archive:
            return any(b"type_names" in archive.read(name) for name in metadata[:_MOST_METADATA])
    except (OSError, *DAMAGED_ZIP):
        return False


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, *DAMAGED_ZIP):
        return []


def read_package(path: Path) -> PackagedModel:
    """Read a package; its arrays can be read until the archive is closed."""
    archive = PackageArchive(path)
    try:
        return PackagedModel(archive)
    except BaseException:
        archive.__exit__()
        raise


def package_facts(path: Path) -> PackageFacts:
    """Return the metadata of a package."""
    with PackageArchive(path) as archive:
        return facts_of(archive)


def facts_of(archive: PackageArchive) -> PackageFacts:
    """Return the metadata of an open package."""
    text = archive.text(_METADATA) or ""
    names = sorted(_table(text, "atom_types").items(), key=lambda one: int(one[0]) if one[0].isdecimal() else 0)
    versions = _table(text, "versions") or _pairs((archive.text(_VERSIONS) or "").splitlines())
    modes = re.search(r"^available_models:\n((?:- .*\n?)+)", text, re.MULTILINE)
    compile_modes = tuple(re.findall(r"- (\w+)", modes[1])) if modes else ()
    return PackageFacts(versions, compile_modes, tuple(name for _, name in names))


def _table(text: str, name: str) -> dict[str, str]:
    """Return a table of a YAML text with strings or numbers as NequIP writes it."""
    found = re.search(rf"^{name}:\n((?:  .*\n?)+)", text, re.MULTILINE)
    return _pairs(found[1].splitlines()) if found else {}


def _pairs(lines: Sequence[str]) -> dict[str, str]:
    pairs = [line.strip().partition(":") for line in lines if ":" in line]
    return {key.strip("'\" "): value.strip("'\" ")[:40] for key, _, value in pairs}


def _refuse_foreign(graph: Module) -> None:
    """Raise if there is a module that no NequIP model of this package has; each class is checked where it is used."""
    for module in graph.walk():
        if module.full_name.startswith("torch.nn.utils."):
            raise UnsupportedModelError(f"{module.label} has a parametrization; train without it")
        for name in ("_forward_hooks", "_forward_pre_hooks"):
            if module.value(name, {}):
                raise UnsupportedModelError(f"{module.label} has hooks ({name}); package it without them")


def _design(graph: Module, energies: Module) -> Design:
    names = energies.child_names()
    layers = [int(found[1]) for name in names if (found := _LAYER.fullmatch(name))]
    n_layers = len(layers)
    around = {"type_embed", "spharm", "edge_norm", "bessel_encode", "factor"}
    after = ["per_atom_energy_readout", "per_type_energy_scale_shift", "total_energy_sum"]
    if "pair_potential" in names:
        after.insert(2, "pair_potential")
    convolutions = [f"layer{t}_convnet" for t in range(n_layers)]
    # versions differ in the order of the embeddings, which do not depend on each other
    if set(names[: len(around)]) != around or names[len(around) :] != [*convolutions, *after]:
        other = [name for name in names if name not in (*around, *convolutions, *after)]
        shown = f"the module {other[0][:60]}" if other else f"the modules {', '.join(names)[:200]}"
        raise UnsupportedModelError(
            f"{energies.label} has {shown}, and this package supports those of NequIPGNNModel in their order"
        )
    if names.index("spharm") > names.index("edge_norm") or names.index("bessel_encode") > names.index("factor"):
        raise UnsupportedModelError(f"{energies.label} has its embeddings in an unknown order")
    edge, dtype = _harmonics(energies), _dtype(graph)
    cutoff = energies.child("edge_norm", "EdgeLengthNormalizer").number("r_max")
    basis = energies.child("bessel_encode", "BesselEdgeLengthEncoding")
    _check_output(basis, dtype)
    factor = energies.child("factor", "ApplyFactor")
    if abs(factor.number("factor") * cutoff**2 / (2.0 * math.pi) - 1.0) > 1e-12:
        raise UnsupportedModelError(f"{factor.label} is not 2 pi / r_max^2, so the model is of another kind")
    embedding = energies.child("type_embed", "NodeTypeEmbed")
    embedding.require("do_categorical_graph_field_embed", False, False)
    embedding.require("set_features", True)
    convnets = [energies.child(name, "ConvNetLayer") for name in convolutions]
    of_scalars, of_gates = _gate_activations(convnets)
    readout_widths, readout_activation = _readout(energies.child("per_atom_energy_readout", "ScalarMLP"))
    _check_energies(energies, _type_names(graph))
    return Design(
        type_names=tuple(_type_names(graph)),
        cutoff=cutoff,
        l_max=len(edge) - 1,
        n_embedding=embedding.child("embed_module", "Embedding").array("weight").shape[-1],
        hidden=tuple(one.irreps("feature_irreps_hidden") for one in convnets),
        radial_widths=tuple(_radial_widths(one) for one in convnets),
        n_basis=basis.whole("num_bessels"),
        cutoff_power=basis.child("cutoff", "PolynomialCutoff").whole("p"),
        dtype=dtype,
        has_self_connections=any(one.child("conv").value("use_sc") for one in convnets) or n_layers == 1,
        of_scalars=of_scalars,
        of_gates=of_gates,
        readout_widths=readout_widths,
        readout_activation=readout_activation,
        has_pair_cutoffs=bool(energies.child("edge_norm").value("_per_edge_type")),
        repulsion_power=_repulsion_power(energies, basis),
        has_odd_harmonics=edge == harmonics(len(edge) - 1, True),
    )


def _type_names(graph: Module) -> list[str]:
    names = graph.value("type_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelFileError(f"type_names of {graph.label} are not a list of names; copy the file again")
    return names


def _dtype(graph: Module) -> str:
    dtype = str(graph.value("model_dtype")).removeprefix("torch.")
    if dtype not in ("float32", "float64"):
        raise UnsupportedModelError(f"{graph.label} has the precision {dtype[:20]}, expected float32 or float64")
    return dtype


def _check_output(module: Module, dtype: str) -> None:
    module.require("_output_dtype", f"torch.{dtype}")


def _harmonics(energies: Module) -> tuple[Entry, ...]:
    module = energies.child("spharm", "SphericalHarmonicEdgeAttrs")
    edge, inner = module.irreps("irreps_edge_sh"), module.child("sh", "SphericalHarmonics")
    inner.require("normalize", True)
    inner.require("normalization", "component")
    l_max = len(edge) - 1
    if edge not in (harmonics(l_max, True), harmonics(l_max, False)) or inner.irreps("irreps_out") != edge:
        raise UnsupportedModelError(f"{module.label} has the irreps {format_irreps(edge)}, expected all orders once")
    return edge


def _gate_activations(convnets: Sequence[Module]) -> tuple[dict[int, str], dict[int, str]]:
    """Return the activations of scalars and gates by parity, which must be those of all layers."""
    found: dict[tuple[str, int], str] = {}
    for layer in convnets:
        layer.require("resnet", False)
        gate = layer.child("equivariant_nonlin", "Gate")
        for part in ("act_scalars", "act_gates"):
            if part not in gate.child_names():
                continue
            for parity, name in _activations(gate.child(part, "Activation")):
                if found.setdefault((part, parity), name) != name:
                    raise UnsupportedModelError(f"{gate.label} has other activations than the layers before")
    default = {1: "silu", -1: "tanh"}
    of_scalars, of_gates = (
        {parity: found.get((part, parity), name) for parity, name in default.items()}
        for part in ("act_scalars", "act_gates")
    )
    return of_scalars, of_gates


def _activations(module: Module) -> list[tuple[int, str]]:
    irreps, modules = module.irreps("irreps_in"), module.child("acts", "ModuleList")
    if len(irreps) != len(modules.child_names()):
        raise UnsupportedModelError(f"{module.label} has irreps without activations")
    found = []
    for entry, name in zip(irreps, modules.child_names(), strict=True):
        function = str(modules.child(name, "normalize2mom").value("f"))
        if function not in _ACTIVATIONS:
            raise UnsupportedModelError(f"{module.label} has the activation {function[:60]}")
        found.append((entry.parity, _ACTIVATIONS[function]))
    return found


def _radial_widths(layer: Module) -> tuple[int, ...]:
    network = layer.child("conv", "InteractionBlock").child("edge_mlp", "ScalarMLPFunction")
    widths, activation = _network(network)
    if widths and activation != "silu":
        raise UnsupportedModelError(f"{network.label} has the activation {activation}, and this package supports silu")
    return widths


def _readout(module: Module) -> tuple[tuple[int, ...], str | None]:
    module.require("field", "node_features")
    return _network(module.child("mlp_module", "ScalarMLPFunction"))


def _network(module: Module) -> tuple[tuple[int, ...], str | None]:
    """Return the widths of the hidden layers of a network, and its activation."""
    module.require("bias", False)
    dims = module.value("dims")
    if not isinstance(dims, list) or not all(type(n) is int and n > 0 for n in dims) or len(dims) < 2:
        raise ModelFileError(f"dims of {module.label} are {str(dims)[:40]}; copy the file again")
    stack = module.child("mlp", "Sequential", "DeepLinearMLP")
    if stack.class_name == "DeepLinearMLP":
        return tuple(dims[1:-1]), None
    names = set()
    for number, name in enumerate(stack.child_names()):
        part = stack.child(name)
        if number % 2 == 0:
            part.require_class("ScalarLinearLayer")
            if part.has_array("bias"):
                raise UnsupportedModelError(f"{part.label} has a bias")
        else:
            part.require_class(*_NETWORK_ACTIVATIONS)
            if part.class_name == "GELU":
                part.require("approximate", "none")
            names.add(_NETWORK_ACTIVATIONS[part.class_name])
    if len(stack.child_names()) != 2 * len(dims) - 3 or len(names) > 1:
        raise UnsupportedModelError(f"{stack.label} is not a sequence of matrices and one kind of activation")
    return tuple(dims[1:-1]), names.pop() if names else None


def _check_energies(energies: Module, type_names: list[str]) -> None:
    """Check what follows the last layer: scales and shifts by type, and the sum."""
    shift, total = energies.child("per_type_energy_scale_shift"), energies.child("total_energy_sum")
    shift.require_class("PerTypeScaleShift")
    shift.require("type_names", type_names)
    for part in ("scales", "shifts"):
        if bool(shift.value(f"has_{part}")) != (shift.array(part).size > 0):
            raise ModelFileError(f"{part} of {shift.label} are incomplete; copy the file again")
    total.require_class("AtomwiseReduce")
    total.require("field", "atomic_energy")
    total.require("reduce", "sum")
    total.require("constant", 1.0)


def _repulsion_power(energies: Module, basis: Module) -> int | None:
    if "pair_potential" not in energies.child_names():
        return None
    pair = energies.child("pair_potential")
    pair.require_class("ZBL")
    # before version 0.17, the repulsion takes the cutoff function of the basis
    cutoff = pair if "cutoff" in pair.child_names() else basis
    return cutoff.child("cutoff", "PolynomialCutoff").whole("p")


def _constants(energies: Module) -> Constants:
    factors, of_matrices = [], {}
    n_layers = sum(_LAYER.fullmatch(name) is not None for name in energies.child_names())
    networks = [(READOUT, energies.child("per_atom_energy_readout").child("mlp_module"))]
    for t in range(n_layers):
        block = energies.child(f"layer{t}_convnet").child("conv")
        factors.append(_source_factor(block))
        networks.append((radial_home(t), block.child("edge_mlp")))
    for home, network in networks:
        stack = network.child("mlp")
        if stack.class_name == "DeepLinearMLP":
            n_matrices = len(network.value("dims")) - 1
            of_matrices |= {(home, k): stack.number("alpha") if k == 0 else 1.0 for k in range(n_matrices)}
            continue
        for k, name in enumerate(stack.child_names()[::2]):
            of_matrices[home, k] = stack.child(name).number("alpha")
    return Constants(tuple(factors), of_matrices)


def _source_factor(block: Module) -> np.ndarray:
    """Return what multiplies the features that are sent, which versions of NequIP store in three ways."""
    if "avg_num_neighbors_norm" in block.child_names():
        array = block.child("avg_num_neighbors_norm", "AvgNumNeighborsNorm").array("norm_const").astype(np.float64)
        factor = array.reshape(-1)
        factor = factor[0] if factor.size == 1 else factor
    elif block.value("scatter_norm_factor", None) is not None:
        factor = block.number("scatter_norm_factor")
    elif block.value("avg_num_neighbors", None) is not None:
        factor = 1.0 / math.sqrt(block.number("avg_num_neighbors"))
    else:
        factor = 1.0
    return np.asarray(factor, dtype=np.float64)
