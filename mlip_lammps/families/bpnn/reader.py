"""Reader of the potentials of n2p2 and RuNNer: input.nn, scaling.data and weights.NNN.data, without torch."""

import hashlib
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families.bpnn.input_file import InputFile, number_in, text_of
from mlip_lammps.families.bpnn.networks import network_specs
from mlip_lammps.families.bpnn.spec import ANGSTROM, EV, BpnnModel, BpnnSpec
from mlip_lammps.families.bpnn.symmetry_functions import symmetry_functions
from mlip_lammps.models import INPUT_NAME

SCALING_NAME = "scaling.data"

CITATION = "Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007), doi:10.1103/PhysRevLett.98.146401"

_CONVERSIONS = ("mean_energy", "conv_energy", "conv_length")
_SCALINGS = {
    (False, False): "none",
    (True, False): "range",
    (False, True): "center",
    (True, True): "range and center",
}


def weights_name(number: int) -> str:
    """Return the name of the file with the weights of an element."""
    return f"weights.{number:03d}.data"


def read_potential(path: Path) -> BpnnModel:
    """Read a potential from the folder of its ``input.nn``.

    Raises
    ------
    ModelFileError
        If a file is missing or damaged, or the units are not stated.
    UnsupportedModelError
        If the potential has a feature that is not supported; the message names it.
    """
    file = InputFile(path)
    file.refuse_unsupported()
    elements = file.elements()
    energy_scale, mean_energy = _energy_conversion(file)
    spec = BpnnSpec(
        atomic_numbers=elements,
        functions=symmetry_functions(file, elements),
        networks=network_specs(file, elements),
        length_unit=file.unit("length_unit", tuple(ANGSTROM)),
        energy_unit=file.unit("energy_unit", tuple(EV)),
        energy_scale=energy_scale,
        mean_energy=mean_energy,
        atom_energies=_atom_energies(file, elements),
        has_normalized_nodes=file.has("normalize_nodes"),
        scaling=_scaling(file),
    )
    weights = _scaling_weights(file, spec)
    for number, functions, network in zip(elements, spec.functions, spec.networks, strict=True):
        weights |= _network_weights(path.with_name(weights_name(number)), number, len(functions), network.widths)
    name = path.absolute().parent.name or path.name
    return BpnnModel(spec, weights, _digest(path, spec), name, {"citation": CITATION})


def _energy_conversion(file: InputFile) -> tuple[float, float]:
    """Return conv_energy and mean_energy; conv_length is a change of the unit, on which nothing else depends."""
    present = [keyword for keyword in _CONVERSIONS if file.has(keyword)]
    if present and len(present) < len(_CONVERSIONS):
        raise ModelFileError(
            f"{file.path} has {' and '.join(present)} alone, expected {', '.join(_CONVERSIONS)} or none of them; "
            "correct the file"
        )
    scale = file.number("conv_energy", 1.0)
    if scale == 0.0:
        raise ModelFileError(f"{file.path} has conv_energy 0; correct the file")
    return scale, file.number("mean_energy", 0.0)


def _atom_energies(file: InputFile, elements: tuple[int, ...]) -> tuple[float, ...]:
    energies = [0.0] * len(elements)
    for words in file.every("atom_energy"):
        if len(words) < 2:
            raise ModelFileError(f"{file.path} has a line atom_energy without element and energy; correct the file")
        energies[file.element(words[0], elements)] = number_in(words[1], f"atom_energy of {file.path}")
    return tuple(energies)


def _scaling(file: InputFile) -> str:
    by_range, by_mean = file.has("scale_symmetry_functions"), file.has("center_symmetry_functions")
    # n2p2 takes scale_symmetry_functions_sigma only if neither of the others is there
    if not (by_range or by_mean) and file.has("scale_symmetry_functions_sigma"):
        return "sigma"
    return _SCALINGS[by_range, by_mean]


def _scaling_weights(file: InputFile, spec: BpnnSpec) -> dict[str, NDArray[np.float64]]:
    """Return factor and offset of each symmetry function."""
    path = file.path.with_name(SCALING_NAME)
    rows = [line.split() for line in text_of(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    n_columns = {"sigma": 6, "none": 2, "range": 4}.get(spec.scaling, 5)
    low, high = file.number("scale_min_short", 0.0), file.number("scale_max_short", 1.0)
    weights, row = {}, 0
    for e, (number, functions) in enumerate(zip(spec.atomic_numbers, spec.functions, strict=True), start=1):
        factors, offsets = np.ones(len(functions)), np.zeros(len(functions))
        for k in range(len(functions)):
            words = rows[row] if row < len(rows) else []
            row += 1
            if len(words) < n_columns or words[:2] != [str(e), str(k + 1)]:
                raise ModelFileError(
                    f"row {row} of {path} is '{' '.join(words)[:60]}', expected {n_columns} columns that begin with "
                    f"{e} {k + 1}, for symmetry function {k + 1} of {chemical_symbols[number]}; copy the file again"
                )
            numbers = [number_in(word, f"row {row} of {path}") for word in words[2:n_columns]]
            factors[k], offsets[k] = _line(spec.scaling, numbers, low, high, f"row {row} of {path}")
        weights |= {f"scaling.{number}.factor": factors, f"scaling.{number}.offset": offsets}
    return weights


def _line(scaling: str, numbers: list[float], low: float, high: float, where: str) -> tuple[float, float]:
    """Return a and b of the input a G + b, from minimum, maximum, mean and standard deviation."""
    if scaling == "none":
        return 1.0, 0.0
    if scaling == "center":
        return 1.0, -numbers[2]
    spread = numbers[3] if scaling == "sigma" else numbers[1] - numbers[0]
    if spread == 0.0:
        raise ModelFileError(f"{where} has no spread of values, by which inputs are divided; train without it")
    factor = (high - low) / spread
    return factor, low - factor * (numbers[0] if scaling == "range" else numbers[2])


def _network_weights(
    path: Path, number: int, n_inputs: int, widths: tuple[int, ...]
) -> dict[str, NDArray[np.float64]]:
    """Return weights (n_in, n_out) and biases; in the file each weight is followed by those to the next node."""
    lines = [line.split() for line in text_of(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    n_weights = sum((n_in + 1) * n_out for n_in, n_out in zip((n_inputs, *widths[:-1]), widths, strict=True))
    if len(lines) != n_weights:
        raise ModelFileError(
            f"{path} has {len(lines)} weights, expected {n_weights} for {n_inputs} symmetry functions and layers of "
            f"{', '.join(map(str, widths))} nodes; copy all files of the potential"
        )
    values = np.array([number_in(words[0], str(path)) for words in lines])
    weights, start, n_in = {}, 0, n_inputs
    for k, n_out in enumerate(widths):
        end = start + n_in * n_out
        weights[f"networks.{number}.{k}.weight"] = values[start:end].reshape(n_in, n_out)
        weights[f"networks.{number}.{k}.bias"] = values[end : end + n_out]
        start, n_in = end + n_out, n_out
    return weights


def _digest(path: Path, spec: BpnnSpec) -> str:
    names = (INPUT_NAME, SCALING_NAME, *(weights_name(number) for number in spec.atomic_numbers))
    files = [path, *(path.with_name(name) for name in names[1:])]
    digest = hashlib.sha256()
    for name, file in zip(names, files, strict=True):
        content = file.read_bytes()
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()
