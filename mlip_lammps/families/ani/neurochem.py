"""Reader of the NeuroChem format: an .info file and the files that it names. It does not import torch."""

import bz2
import hashlib
import math
import re
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers as number_of_symbol

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.ani.parts import Floats, LayerParts, Parts
from mlip_lammps.families.ani.spec import AniModel, CutoffFunction, Settings

INFO_ENDING = ".info"
_CELU, _LINEAR = 9, 6
"""Activation functions by their number in NeuroChem."""
_LARGEST_FILE = _LARGEST_TEXT = 1 << 26
_MOST_MEMBERS = 1000
_CONSTANTS = ("Rcr", "Rca", "EtaR", "ShfR", "EtaA", "Zeta", "ShfA", "ShfZ")
_ASSIGNMENT = re.compile(r"(\w+)\s*=\s*([^;]*);")
_FILE = re.compile(r"FILE:([\w.-]+)\[(\d+)\]")
_COPY = "copy all files of the potential"


def read_neurochem(path: Path) -> AniModel:
    """Read a potential from its ``.info`` file.

    The file has four lines: the path of the ``.params`` file, that of the self energies, the beginning of the paths of
    the members (``train`` for ``train0/networks/ANN-H.nnf``), and the number of members. Paths are relative to it.

    Raises
    ------
    ModelFileError
        If a file is missing or damaged.
    UnsupportedModelError
        If the networks have another activation function than CELU.
    """
    files = _Files()
    lines = [line.strip() for line in files.text(path).splitlines() if line.strip()]
    if len(lines) < 4 or not lines[3].isdigit() or not 0 < int(lines[3]) <= _MOST_MEMBERS:
        raise ModelFileError(
            f"{path} has the lines {lines[:4]}, expected the paths of constants, self energies and members, and the "
            "number of members"
        )
    constants, energies, prefix = (path.parent / line for line in lines[:3])
    values = _constants(files, constants)
    symbols = values["Atyp"]
    members = tuple(
        tuple(_network(files, prefix.parent / f"{prefix.name}{m}" / "networks" / f"ANN-{s}.nnf") for s in symbols)
        for m in range(int(lines[3]))
    )
    parts = Parts(
        tuple(number_of_symbol[symbol] for symbol in symbols),
        {"eta": values["EtaR"], "shifts": values["ShfR"]},
        {"eta": values["EtaA"], "zeta": values["Zeta"], "shifts": values["ShfA"], "sections": values["ShfZ"]},
        members,
        _self_energies(files, energies, symbols),
    )
    cutoffs = (float(values[name][0]) for name in ("Rcr", "Rca"))
    settings = Settings(*cutoffs, CutoffFunction("cosine"), "celu")
    return parts.model(path, settings, files.digest(), "NeuroChem potential", {})


class _Files:
    """Contents of the files of a potential, and their digest."""

    def __init__(self):
        self._digest = hashlib.sha256()

    def content(self, path: Path) -> bytes:
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise ModelFileError(f"{path} has {path.stat().st_size} bytes, more than a file of NeuroChem; {_COPY}")
            content = path.read_bytes()
        except OSError as error:
            raise ModelFileError(f"{path} cannot be read ({error.strerror}); {_COPY}") from error
        self._digest.update(f"{path.name} {len(content)} ".encode() + content)
        return content

    def text(self, path: Path) -> str:
        try:
            return self.content(path).decode("ascii")
        except UnicodeDecodeError as error:
            raise ModelFileError(f"{path} is not a text file; {_COPY}") from error

    def digest(self) -> str:
        return self._digest.hexdigest()


def _constants(files: _Files, path: Path) -> dict:
    """Return numbers of the .params file by name as arrays, and the elements as ``Atyp``."""
    values: dict = {}
    for line in files.text(path).splitlines():
        name, equals, value = (part.strip() for part in line.partition("="))
        words = [word.strip() for word in value.strip("[]").split(",")]
        if equals and name == "Atyp":
            values[name] = words
        elif equals and name in _CONSTANTS:
            # NeuroChem and TorchANI have float32 for all but the cutoffs
            kind = np.float64 if name in ("Rcr", "Rca") else np.float32
            values[name] = np.array([_number(word, path) for word in words], dtype=kind)
    missing = [name for name in (*_CONSTANTS, "Atyp") if name not in values]
    if missing or not all(symbol in number_of_symbol for symbol in values["Atyp"]):
        raise ModelFileError(f"{path} lacks {', '.join(missing) or 'known elements in Atyp'}; {_COPY}")
    several = [name for name in ("Rcr", "Rca", "EtaR", "EtaA", "Zeta") if len(values[name]) != 1]
    if several:
        raise UnsupportedModelError(f"{path} has several values of {', '.join(several)}, and this package supports one")
    return values


def _self_energies(files: _Files, path: Path, symbols: list[str]) -> Floats:
    """Return the energies in lines such as ``H,0=-0.6``."""
    found = {}
    for line in files.text(path).splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found[name.partition(",")[0].strip()] = _number(value, path)
    missing = [symbol for symbol in symbols if symbol not in found]
    if missing:
        raise ModelFileError(f"{path} has no self energy of {', '.join(missing)}; {_COPY}")
    return np.array([found[symbol] for symbol in symbols])


def _network(files: _Files, path: Path) -> tuple[LayerParts, ...]:
    text = _decompressed(files.content(path), path)
    layers, activations = [], []
    for part in re.split(r"layer\s*\[", text)[1:]:
        words = dict(_ASSIGNMENT.findall(part))
        try:
            n_out, n_in, activation = (int(words[name]) for name in ("nodes", "blocksize", "activation"))
        except (KeyError, ValueError) as error:
            raise ModelFileError(f"a layer in {path} lacks nodes, blocksize or activation; {_COPY}") from error
        weight = _array(files, path, words.get("weights", ""), (n_out, n_in))
        layers.append(LayerParts(weight, _array(files, path, words.get("biases", ""), (n_out,))))
        activations.append(activation)
    if not layers:
        raise ModelFileError(f"{path} has no layers; {_COPY}")
    if activations != [_CELU] * (len(layers) - 1) + [_LINEAR]:
        raise UnsupportedModelError(
            f"{path} has the activation functions {activations}, and this package supports CELU ({_CELU}) before a "
            f"linear layer ({_LINEAR}); use such a potential"
        )
    return tuple(layers)


def _decompressed(content: bytes, path: Path) -> str:
    """Return the text after the header, which ends with an equals sign and one more character."""
    start = content.find(b"=") + 2
    try:
        text = bz2.BZ2Decompressor().decompress(content[start:], _LARGEST_TEXT)
        return text.decode("ascii")
    except (OSError, ValueError, EOFError) as error:
        raise ModelFileError(f"{path} has no compressed text ({error}); {_COPY}") from error


def _array(files: _Files, path: Path, words: str, shape: tuple[int, ...]) -> Floats:
    found = _FILE.fullmatch(words.strip())
    n_numbers = math.prod(shape)
    if found is None or int(found[2]) != n_numbers:
        raise ModelFileError(f"{path} names the file '{words[:60]}', expected one with {n_numbers} numbers; {_COPY}")
    file = path.with_name(found[1])
    content = files.content(file)
    if len(content) != 4 * n_numbers:
        raise ModelFileError(f"{file} has {len(content)} bytes, expected {n_numbers} numbers of float32; {_COPY}")
    return np.frombuffer(content, dtype="<f4").reshape(shape).astype(np.float32)


def _number(word: str, path: Path) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise ModelFileError(f"'{word.strip()[:40]}' in {path} is not a number; {_COPY}") from error
