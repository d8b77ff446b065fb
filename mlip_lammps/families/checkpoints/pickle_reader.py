"""Reader of the pickle of a ``torch.save`` file; it returns inert records and neither imports nor calls anything.

The interpreter supports the opcodes that ``torch.save`` writes. A class becomes a `GlobalName`. An instance or the
result of a call becomes a `Record` of the callable and its arguments. A tensor's storage becomes a `Storage`.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError

_MARK = object()
_INT_OPCODES = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG"}
_VALUE_OPCODES = _INT_OPCODES | {
    "BINFLOAT", "FLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_CONSTANT_OPCODES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}

_FEATURES = {
    "mace.modules.radial.AgnesiTransform": "the Agnesi distance transform",
    "mace.modules.radial.SoftTransform": "the Soft distance transform",
    "mace.modules.radial.GaussianBasis": "a Gaussian radial basis",
    "mace.modules.radial.RadialMLP": "a radial MLP with layer normalisation",
    "mace.modules.embeddings.GenericJointEmbedding": "a joint embedding (embedding_specs)",
}
_FUNCTIONS = ("torch.nn.functional.", "torch._C._nn.", "torch.nn.modules.activation.", "torch._VariableFunctions.")
_OTHER_MODELS = {
    "AtomicDipolesMACE": "predicts dipoles and no energy, so it cannot run dynamics; give a model with energies",
    "EnergyDipolesMACE": "also predicts dipoles, which needs readouts of vectors; train ScaleShiftMACE for energies",
    "AtomicDielectricMACE": (
        "predicts dipoles and polarizabilities and no energy, so it cannot run dynamics; give a model with energies"
    ),
    "PolarMACE": (
        "has self-consistent charges and long-range electrostatics, which need sums over all atoms of the system; "
        "train ScaleShiftMACE"
    ),
}
"""Other models of mace-torch by class name."""
_MAGNETIC = "has magnetic moments as an input for each atom, which the pair style does not pass on; train without them"

PROGRAMS = {
    "nequip": "NequIP",
    "allegro": "Allegro",
    "matgl": "MatGL (M3GNet, MEGNet, CHGNet, TensorNet)",
    "chgnet": "CHGNet",
    "alignn": "ALIGNN",
    "schnetpack": "SchNetPack",
    "sevenn": "SevenNet",
    "orb_models": "Orb",
    "mattersim": "MatterSim",
    "fairchem": "fairchem",
    "ocpmodels": "fairchem (OCP)",
    "deepmd": "DeePMD-kit",
    "torchani": "TorchANI",
    "metatomic": "metatomic",
    "metatensor": "metatensor",
    "m3gnet": "M3GNet",
    "sklearn": "scikit-learn",
    "jax": "JAX",
    "flax": "Flax",
}
"""Programs by the Python package that their files refer to."""

_READ_AS_CHECKPOINTS = {
    "sevenn": "give the checkpoint_*.pth of the training that it was made from",
    "nequip": "give the checkpoint (.ckpt) or the packaged file (.nequip.zip), which NequIP writes since version 0.7",
    "chgnet": 'give a checkpoint of its Trainer, or save {"model": model.as_dict()} with composition_model as a name',
    "torchani": "give its state dict, or save the model itself with torch.save(model, path)",
}
"""Programs with a family here, and the file that it reads."""

_GETATTR = ("__builtin__.getattr", "builtins.getattr")
_ATTRIBUTES = (
    ("torch._C._VariableFunctionsClass", "tanh"),
    ("torch._C._VariableFunctionsClass", "abs"),
    ("torch._TorchCompileInductorWrapper", "get_compiler_config"),
)
"""Attributes that files refer to: gates, and a function in what torch.compile wraps around a model."""
_CONVERTED = {
    "cuequivariance": ("cuEquivariance", "convert_cueq_e3nn"),
    "cuequivariance_torch": ("cuEquivariance", "convert_cueq_e3nn"),
    "openequivariance": ("OpenEquivariance", "convert_oeq_e3nn"),
}
"""Libraries for which mace-torch converts models, and its module that converts them back."""
_MODEL_PACKAGES = ("mace", "e3nn")


@dataclass(frozen=True)
class GlobalName:
    """Name of a class or function in the file."""

    name: str


@dataclass(frozen=True)
class Storage:
    """Storage of a tensor in the file: its type, its zip entry and its number of values."""

    type_name: str
    key: str
    n_numbers: int


@dataclass(eq=False)
class Record:
    """An object of the file: the callable that creates it, its arguments, and the state set afterwards."""

    name: str
    args: tuple
    state: Any = None


class Opcodes:
    """Interpreter for one pickle; see the module's docstring.

    Parameters
    ----------
    allowed
        Full names of the classes and functions that the file may refer to; any if None.
    source
        Name of the file for error messages.

    Attributes
    ----------
    names
        Full names of the classes and functions that the file refers to.
    """

    def __init__(self, allowed: frozenset[str] | None, source: str):
        self._allowed = allowed
        self._source = source
        self.names: set[str] = set()
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self, pickled: bytes) -> Any:
        """Return the object that ``pickled`` describes.

        Raises
        ------
        UnsupportedModelError
            If the pickle refers to a class or function that is not allowed.
        ModelFileError
            If the pickle is damaged or has an opcode that ``torch.save`` does not write.
        """
        try:
            for opcode, argument, _ in pickletools.genops(pickled):
                if opcode.name == "STOP":
                    if len(self._stack) != 1:
                        raise ModelFileError(self._damage(f"{len(self._stack)} objects at its end, expected one"))
                    return self._stack.pop()
                self._step(opcode.name, argument)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError) as error:
            raise ModelFileError(self._damage(f"{type(error).__name__}: {error}")) from error
        raise ModelFileError(self._damage("it is truncated"))

    def _damage(self, what: str) -> str:
        return f"the pickle of {self._source} is damaged ({what}); copy or save the model again"

    def _step(self, name: str, argument: Any) -> None:
        if name in _VALUE_OPCODES:
            self._stack.append(argument)
        elif name in _CONSTANT_OPCODES:
            self._stack.append(_CONSTANT_OPCODES[name])
        else:
            action = _ACTIONS.get(name)
            if action is None:
                raise ModelFileError(
                    f"the pickle of {self._source} uses opcode {name}, which torch.save does not write; "
                    "load the model with mace-torch and save it again with torch.save(model, path)"
                )
            action(self, argument)

    def _pop_to_mark(self) -> list[Any]:
        position = len(self._stack) - 1
        while self._stack[position] is not _MARK:
            position -= 1
            if position < 0:
                raise ValueError("no mark on the stack")
        items = self._stack[position + 1 :]
        del self._stack[position:]
        return items

    def _push_instance(self, name: str) -> None:
        self._push_global(name)
        if name in _GETATTR:
            raise UnsupportedModelError(_refusal(name, self._source))
        raise ValueError("opcode INST, which torch.save does not write")

    def _push_global(self, name: str) -> None:
        self.names.add(name)
        if self._allowed is not None and name not in self._allowed:
            raise UnsupportedModelError(_refusal(name, self._source))
        self._stack.append(GlobalName(name))

    def _stack_global(self) -> None:
        attribute, module = self._stack.pop(), self._stack.pop()
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise ValueError("a class name is not a string")
        self._push_global(f"{module}.{attribute}")

    def _make_record(self) -> None:
        args, maker = self._stack.pop(), self._stack.pop()
        if not isinstance(maker, GlobalName) or not isinstance(args, tuple):
            raise ValueError("a call of an object that is not a class or function")
        if maker.name in _GETATTR and self._allowed is not None and not _is_known_attribute(args):
            raise UnsupportedModelError(_refusal(maker.name, self._source))
        # torch.save creates an empty OrderedDict and fills it afterwards; all other calls are only recorded.
        is_empty_mapping = maker.name == "collections.OrderedDict" and not args
        self._stack.append({} if is_empty_mapping else Record(maker.name, args))

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Record):
            target.state = state
        elif type(target) is not dict:
            raise ValueError(f"a state for a {type(target).__name__}")

    def _persistent(self) -> None:
        identifier = self._stack.pop()
        if not isinstance(identifier, tuple) or len(identifier) != 5 or identifier[0] != "storage":
            raise ValueError("a persistent id that is not a storage")
        _, kind, key, _, n_numbers = identifier
        if type(key) is int:  # torch.package counts its storages
            key = str(key)
        if not isinstance(kind, GlobalName) or not isinstance(key, str) or type(n_numbers) is not int or n_numbers < 0:
            raise ValueError("a persistent id that is not a storage")
        self._stack.append(Storage(kind.name, key, n_numbers))

    def _set_items(self, pairs: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not dict:
            raise ValueError(f"items for a {type(target).__name__}")
        keys = pairs[::2]
        # Hashing nested tuples with shared parts can take exponential time, and torch.save never uses them as keys.
        if not all(key is None or type(key) in (str, int, bool) or _is_pair(key) for key in keys):
            raise ValueError("a key that is neither a string, an integer nor a pair of integers")
        target.update(zip(keys, pairs[1::2], strict=True))

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise ValueError(f"entries for a {type(target).__name__}")
        target.extend(items)

    def _push_tuple(self, n: int) -> None:
        if len(self._stack) < n:
            raise IndexError("the stack is empty")
        items = tuple(self._stack[-n:])
        del self._stack[-n:]
        self._stack.append(items)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _append(self) -> None:
        item = self._stack.pop()
        self._extend([item])

    def _remember(self, number: int) -> None:
        self._memo[number] = self._stack[-1]


_ACTIONS: dict[str, Callable[[Opcodes, Any], None]] = {
    "PROTO": lambda vm, _: None,
    "FRAME": lambda vm, _: None,
    "MARK": lambda vm, _: vm._stack.append(_MARK),
    "EMPTY_TUPLE": lambda vm, _: vm._stack.append(()),
    "EMPTY_LIST": lambda vm, _: vm._stack.append([]),
    "EMPTY_DICT": lambda vm, _: vm._stack.append({}),
    "EMPTY_SET": lambda vm, _: vm._stack.append([]),
    "TUPLE": lambda vm, _: vm._stack.append(tuple(vm._pop_to_mark())),
    "TUPLE1": lambda vm, _: vm._push_tuple(1),
    "TUPLE2": lambda vm, _: vm._push_tuple(2),
    "TUPLE3": lambda vm, _: vm._push_tuple(3),
    "APPEND": lambda vm, _: vm._append(),
    "APPENDS": lambda vm, _: vm._extend(vm._pop_to_mark()),
    "ADDITEMS": lambda vm, _: vm._extend(vm._pop_to_mark()),
    "SETITEM": lambda vm, _: vm._set_item(),
    "SETITEMS": lambda vm, _: vm._set_items(vm._pop_to_mark()),
    "PUT": lambda vm, number: vm._remember(number),
    "BINPUT": lambda vm, number: vm._remember(number),
    "LONG_BINPUT": lambda vm, number: vm._remember(number),
    "MEMOIZE": lambda vm, _: vm._remember(len(vm._memo)),
    "GET": lambda vm, number: vm._stack.append(vm._memo[number]),
    "BINGET": lambda vm, number: vm._stack.append(vm._memo[number]),
    "LONG_BINGET": lambda vm, number: vm._stack.append(vm._memo[number]),
    "GLOBAL": lambda vm, name: vm._push_global(name.replace(" ", ".", 1)),
    "INST": lambda vm, name: vm._push_instance(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda vm, _: vm._stack_global(),
    "NEWOBJ": lambda vm, _: vm._make_record(),
    "REDUCE": lambda vm, _: vm._make_record(),
    "BUILD": lambda vm, _: vm._build(),
    "BINPERSID": lambda vm, _: vm._persistent(),
}


def _is_pair(key: Any) -> bool:
    return type(key) is tuple and len(key) == 2 and all(type(one) is int for one in key)


def _is_known_attribute(args: tuple) -> bool:
    return len(args) == 2 and isinstance(args[0], GlobalName | Record) and (args[0].name, args[1]) in _ATTRIBUTES


def program_refusal(source: str, package: str, form: str, version: str = "") -> str:
    """Return the refusal of a file of another program."""
    program = f"{PROGRAMS[package]} {version}".strip()
    if package in _READ_AS_CHECKPOINTS:
        return f"{source} is a file of {program} ({form}), from which no model is read; {_READ_AS_CHECKPOINTS[package]}"
    usable = "use the LAMMPS interface of that program"
    if package == "deepmd":
        usable += ", which also runs beside mlip/torch in a hybrid"
    return f"{source} is a file of {program} ({form}), which this package does not read; {usable}"


def conversion_refusal(name: str, source: str) -> str:
    """Return the refusal of a file with the module ``name`` of a library for which mace-torch converts models."""
    library, module = _CONVERTED[name.partition(".")[0]]
    return (
        f"{source} was converted for {library} ({name}); convert it back where it was made: "
        f"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 python -m mace.cli.{module} {source} --return_model, which writes the "
        "file beside it"
    )


def feature_of(name: str) -> str:
    """Return a description of a class or function that no supported model has."""
    class_name = name.rpartition(".")[2]
    if class_name in _OTHER_MODELS:
        return f"{class_name}, which {_OTHER_MODELS[class_name].partition(';')[0]}"
    if name.partition(".")[0] in _CONVERTED:
        return f"layers converted for {_CONVERTED[name.partition('.')[0]][0]}"
    return f"{_FEATURES[name]} ({name})" if name in _FEATURES else name


def _refusal(name: str, source: str) -> str:
    package, class_name = name.partition(".")[0], name.rpartition(".")[2]
    if package == "mace" and class_name in _OTHER_MODELS:
        return f"{source} contains the model {class_name}, which {_OTHER_MODELS[class_name]}"
    if package == "mace" and "magnetic" in class_name.lower():
        return f"{source} contains a {name}: it {_MAGNETIC}"
    if package in PROGRAMS:
        return program_refusal(source, package, f"pickle of {name}")
    if name.startswith(("torch._dynamo.", "torch._inductor.")):
        return (
            f"{source} was saved with torch.compile around the model ({name}); save the model without it, with "
            "torch.save(model._orig_mod, path)"
        )
    if name in _FEATURES:
        return f"{source} has {_FEATURES[name]} ({name}), which this package does not support; train without it"
    if name.startswith(_FUNCTIONS):
        return (
            f"{source} has the gate or activation function {class_name} ({name}), which this package does not support; "
            "train with the gate silu, tanh, abs or None"
        )
    if name == "torch.optim.swa_utils.AveragedModel":
        return f"{source} contains the average of a training ({name}); save its model, averaged.module, with torch.save"
    if name in _GETATTR:
        return (
            f"{source} refers to {name}: its gate is not one of silu, tanh, abs and None, or the file is malicious; "
            "no code of the file was run. Train with the gate silu"
        )
    if package in _CONVERTED:
        return conversion_refusal(name, source)
    if package in _MODEL_PACKAGES:
        return (
            f"{source} contains a {name}, which this package does not support; docs/architectures.md lists the models "
            "that it reads"
        )
    return (
        f"{source} refers to {name}, which no supported MACE model does; no code of the file was run. Do not open it "
        "with torch.load unless you trust its source. If it is a class of your own that computes what its parent does, "
        "set the class of the loaded model to the parent (model.__class__ = ScaleShiftMACE) and save it again"
    )
