"""The configuration in a SevenNet checkpoint, as a specification. This module does not import torch."""

from collections.abc import Mapping
from typing import Any

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.gated.irreps import convolution, full_product, gate_spec, harmonics
from mlip_lammps.families.gated.spec import GatedLayerSpec, GatedSpec, LinearSpec, RadialSpec
from mlip_lammps.families.irreps import Entry, format_irreps, parse_irreps, simplify_irreps

_SORTED_SINCE = (0, 11)
"""Version from which on the radial weights are in the order of the convolution's result."""
_EVEN, _ODD = ("silu", "ssp"), ("tanh", "abs")
_SELF_CONNECTIONS = {"linear": "linear", "nequip": "element"}
_MISSING = object()
_MOST_LAYERS, _LARGEST_ORDER = 50, 6


class Config:
    """Values of a checkpoint's configuration, with their types checked."""

    def __init__(self, values: Mapping[str, Any], source: str):
        self._values = values
        self.source = source

    def get(self, name: str, kind: type | tuple[type, ...], default: Any = _MISSING) -> Any:
        """Return a value.

        Raises
        ------
        ModelFileError
            If it is missing without a default, or has another type.
        """
        value = self._values.get(name, default)
        if value is _MISSING:
            raise ModelFileError(f"{self.source} lacks the setting {name}, so it is not a checkpoint of SevenNet")
        kinds = kind if isinstance(kind, tuple) else (kind,)
        is_wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        if value is not default and is_wrong:
            raise ModelFileError(
                f"the setting {name} of {self.source} is a {type(value).__name__}, expected "
                f"{' or '.join(one.__name__ for one in kinds)}; copy the file again"
            )
        return value

    def number(self, name: str, low: float, high: float, default: Any = _MISSING) -> Any:
        """Return a number from ``low`` to ``high``."""
        value = self.get(name, (int, float), default)
        if not low <= value <= high:
            raise ModelFileError(
                f"the setting {name} of {self.source} is {value}, expected {low} to {high}; copy the file again"
            )
        return value

    def section(self, name: str) -> "Config":
        """Return a table in the configuration."""
        return Config(self.get(name, dict), f"{name} of {self.source}")

    def require(self, name: str, default: Any, allowed: tuple[Any, ...], advice: str) -> Any:
        """Return a value that is one of ``allowed``.

        Raises
        ------
        UnsupportedModelError
            If it is another one.
        """
        value = self._values.get(name, default)
        if value not in allowed:
            raise UnsupportedModelError(
                f"{self.source} has {name} {value}, and this package supports "
                f"{' and '.join(str(one) for one in allowed)}; {advice}"
            )
        return value


def version_of(config: Config) -> tuple[int, ...]:
    """Return the version of SevenNet that wrote a checkpoint, as far as it is numbers."""
    parts = config.get("version", str).split(".")
    return tuple(int(part) for part in parts[:3] if part.isdigit())


def spec_of(config: Config) -> GatedSpec:
    """Return the specification of the model that ``config`` describes.

    Raises
    ------
    ModelFileError
        If a setting is missing or not what SevenNet writes.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    _refuse_unsupported(config)
    version = version_of(config)
    n_layers = config.number("num_convolution_layer", 1, _MOST_LAYERS)
    l_max = config.number("lmax", 0, _LARGEST_ORDER)
    l_max_edge = config.number("lmax_edge", -1, _LARGEST_ORDER, -1)
    l_max_edge = l_max_edge if l_max_edge > 0 else l_max
    is_parity = config.get("is_parity", bool)
    modals = _modals(config)
    builder = _Layers(config, harmonics(l_max_edge, is_parity), version, len(modals))
    layers = builder.layers(n_layers)
    irreps_last = layers[-1].irreps_out
    hidden = f"{sum(entry.mul * entry.dim for entry in parse_irreps(irreps_last)) // 2}x0e"
    n_elements = len(numbers_of(config))
    return GatedSpec(
        atomic_numbers=numbers_of(config),
        cutoff=float(config.number("cutoff", 0.1, 100.0)),
        l_max=l_max_edge,
        has_odd_harmonics=is_parity,
        has_unit_harmonics=config.get("_normalize_sph", bool, version[:2] > (0, 9)),
        radial=_radial_spec(config),
        embedding=builder.linear(
            "embedding", f"{n_elements}x0e", layers[0].irreps_in, "use_modal_node_embedding"
        ),
        layers=layers,
        readout=(
            builder.linear("readout.0", irreps_last, hidden, "use_modal_output_block"),
            builder.linear("readout.1", hidden, "1x0e", None),
        ),
        dtype="float32" if config.get("dtype", str, "single") == "single" else "float64",
        made_by=f"SevenNet {config.get('version', str)}",
        modals=modals,
    )


def numbers_of(config: Config) -> tuple[int, ...]:
    """Return the atomic numbers in the order of the one-hot elements."""
    places = config.get("_type_map", dict)
    numbers = sorted(places, key=lambda z: places[z])
    is_sound = all(type(z) is int and 0 <= z <= 118 for z in numbers)
    if not is_sound or [places[z] for z in numbers] != list(range(len(numbers))) or not numbers:
        raise ModelFileError(f"the setting _type_map of {config.source} is not a map of elements; copy the file again")
    return tuple(numbers)


def _modals(config: Config) -> tuple[str, ...]:
    if not config.get("use_modality", bool, False):
        return ()
    places = config.get("_modal_map", dict)
    names = sorted(places, key=lambda name: places[name])
    is_sound = all(isinstance(name, str) for name in names) and [places[n] for n in names] == [*range(len(names))]
    if not names or not is_sound:
        raise ModelFileError(f"the setting _modal_map of {config.source} is not a map of names; copy the file again")
    return tuple(names)


def _radial_spec(config: Config) -> RadialSpec:
    basis, cutoff = config.section("radial_basis"), config.section("cutoff_function")
    basis.require("radial_basis_name", "bessel", ("bessel",), "train with bessel")
    n_basis = basis.number("bessel_basis_num", 1, 1000, 8)
    kind = cutoff.require("cutoff_function_name", None, ("poly_cut", "XPLOR"), "train with one of these")
    if kind == "poly_cut":
        return RadialSpec(n_basis, "polynomial", cutoff.number("poly_cut_p_value", 1, 100, 6))
    start = float(cutoff.number("cutoff_on", 0.0, 100.0))
    if not start < config.number("cutoff", 0.1, 100.0):
        raise ModelFileError(f"the setting cutoff_on of {config.source} is not below the cutoff; copy the file again")
    return RadialSpec(n_basis, "xplor", start)


def _refuse_unsupported(config: Config) -> None:
    config.require("_model_type", "E3_equivariant_model", ("E3_equivariant_model",), "give a checkpoint of SevenNet")
    config.require("interaction_type", "nequip", ("nequip",), "train with it")
    config.require("act_radial", "silu", ("silu",), "train with silu, the default of SevenNet")
    config.require("readout_as_fcn", False, (False,), "train without the network as a readout")
    config.require("optimize_by_reduce", True, (True,), "SevenNet itself no longer reads such files")
    for name in ("act_scalar", "act_gate"):
        table = config.section(name)
        table.require("e", None, _EVEN, "train with silu")
        table.require("o", None, _ODD, "train with tanh")


class _Layers:
    """Builder of the layers of a configuration."""

    def __init__(self, config: Config, edge: tuple[Entry, ...], version: tuple[int, ...], n_modals: int):
        self.config, self.edge, self.n_modals = config, edge, n_modals
        self.has_sorted_weights = version[:2] >= _SORTED_SINCE
        self.has_bias = config.get("use_bias_in_linear", bool, False)
        self.radial_widths = tuple(config.get("weight_nn_hidden_neurons", list))
        self.activations = [
            {1: config.section(name).get("e", str), -1: config.section(name).get("o", str)}
            for name in ("act_scalar", "act_gate")
        ]
        if not all(type(width) is int and 0 < width < 10**5 for width in self.radial_widths):
            raise ModelFileError(f"weight_nn_hidden_neurons of {config.source} are not widths; copy the file again")

    def linear(self, name: str, irreps_in: str, irreps_out: str, modal_setting: str | None) -> LinearSpec:
        """Return a linear map that takes the modal if ``modal_setting`` is set in a model of several."""
        takes_modal = modal_setting is not None and self.config.get(modal_setting, bool, False)
        n_modals = self.n_modals if takes_modal and self.n_modals > 1 else 0
        return LinearSpec(name, irreps_in, irreps_out, n_modals, self.has_bias)

    def layers(self, n_layers: int) -> tuple[GatedLayerSpec, ...]:
        channels = self.config.number("channel", 1, 10**5)
        manual = self.config.get("irreps_manual", (bool, list), False)
        before = (Entry(channels, 0, 1),)
        if manual is not False:
            if len(manual) != n_layers + 1 or not all(isinstance(text, str) for text in manual):
                raise ModelFileError(f"irreps_manual of {self.config.source} does not fit its layers; copy it again")
            before = parse_irreps(manual[0])
            if len(before) != 1 or before[0].kind != (0, 1):
                raise UnsupportedModelError(
                    f"the first irreps {manual[0]} of {self.config.source} are not even scalars alone; train with "
                    "irreps such as 32x0e"
                )
        kinds = self.config.get("self_connection_type", (str, list), "nequip")
        kinds = [kinds] * n_layers if isinstance(kinds, str) else kinds
        if len(kinds) != n_layers or not all(kind in _SELF_CONNECTIONS for kind in kinds):
            raise UnsupportedModelError(
                f"{self.config.source} has self_connection_type {kinds}, and this package supports nequip and linear; "
                "train with one of these"
            )
        order = self.config.number("lmax_node", -1, _LARGEST_ORDER, -1)
        order = order if order > 0 else self.config.number("lmax", 0, _LARGEST_ORDER)
        layers = []
        for t in range(n_layers):
            is_last = t == n_layers - 1
            wanted = parse_irreps(manual[t + 1]) if manual is not False else None
            layers.append(self._layer(t, before, wanted, 0 if is_last else order, is_last, channels, kinds[t]))
            before = parse_irreps(layers[-1].irreps_out)
        return tuple(layers)

    def _layer(
        self,
        t: int,
        before: tuple[Entry, ...],
        wanted: tuple[Entry, ...] | None,
        order: int,
        is_last: bool,
        channels: int,
        self_connection: str,
    ) -> GatedLayerSpec:
        every = [entry for entry in full_product(before, self.edge) if not is_last or entry.parity == 1]
        out = wanted
        if out is None:
            out = tuple(Entry(channels, *entry.kind) for entry in every if entry.order <= order)
        highest = max(entry.order for entry in out)
        kinds = [entry.kind for entry in every if entry.order <= highest]
        mid, paths = convolution(before, self.edge, kinds)
        if self.has_sorted_weights:
            paths = sorted(paths, key=lambda path: path[2])
        scalars = tuple(entry for entry in out if entry.order == 0)
        gated = tuple(entry for entry in out if entry.order > 0)
        if (*scalars, *gated) != out or not scalars:
            raise UnsupportedModelError(
                f"the irreps {format_irreps(out)} of layer {t + 1} of {self.config.source} do not begin with scalars; "
                "train with irreps such as 32x0e+32x1e"
            )
        gate = gate_spec(scalars, gated, *self.activations)
        text, prefix = format_irreps(before), f"layers.{t}"
        return GatedLayerSpec(
            irreps_in=text,
            irreps_mid=format_irreps(mid),
            irreps_out=format_irreps(out),
            paths=tuple(paths),
            radial_widths=self.radial_widths,
            up=self.linear(f"{prefix}.up", text, text, "use_modal_self_inter_intro"),
            message=self.linear(
                f"{prefix}.message", format_irreps(simplify_irreps(mid)), gate.irreps_in, "use_modal_self_inter_outro"
            ),
            self_connection=_SELF_CONNECTIONS[self_connection],
            gate=gate,
        )
