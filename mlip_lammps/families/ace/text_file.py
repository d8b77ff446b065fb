"""Reader of the older text format ``.ace`` of the PACE library. This module does not import torch."""

import re
from pathlib import Path

import numpy as np

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.ace.parts import Bond, Function, Parts
from mlip_lammps.families.ace.spec import BondSpec, EmbeddingSpec

START = "nelements="
"""First keyword of the format, after comments."""


def read_text(path: Path, text: str) -> Parts:
    """Read a potential of one element, which is what the library reads in this format.

    Raises
    ------
    ModelFileError
        If the file is damaged.
    UnsupportedModelError
        If it has several elements or other radial functions.
    """
    words = _Words(path, text)
    n_elements = words.integer_after("nelements", "=")
    if n_elements != 1:
        raise UnsupportedModelError(
            f"{path} is an .ace file with {n_elements} elements, for which this format has no embedding functions; "
            "save the potential as .yace (pace_yaml2yace)"
        )
    symbol = words.word_after("elements", ":")
    l_max = words.integer_after("lmax", "=")
    name = words.word_after("embedding-function", ":") if words.is_next("embedding-function") else None
    values = [words.number() for _ in range(words.integer_before("FS", "parameters", ":"))]
    if name is None and any(power != 1.0 for power in values[1::2]):
        raise ModelFileError(
            f"{path} has exponents other than 1 and no line 'embedding-function:'; add 'embedding-function: "
            "FinnisSinclair' or 'embedding-function: FinnisSinclairShiftedScaled' before 'FS parameters'"
        )
    words.expect("core", "energy-cutoff", "parameters", ":")
    core_cutoff, core_width = words.number(), words.number()
    energy = words.number_after("E0", ":") if words.is_next("E0") else 0.0
    basis = words.word_after("radbasename", "=")
    if basis.startswith("ACE.jl"):
        raise UnsupportedModelError(
            f"{path} has the radial basis {basis} of ACE.jl, which this package does not support; refit with pacemaker"
        )
    n_base = words.integer_after("nradbase", "=")
    n_radial = words.integer_after("nradmax", "=")
    words.number_after("cutoffmax", "=")
    spline_width = words.number_after("deltaSplineBins", "=")
    words.expect("core", "repulsion", "parameters", ":")
    core = words.number(), words.number()
    parameter, cutoff, width = (words.number_after(key, "=") for key in ("radparameter", "cutoff", "dcut"))
    words.expect("crad", "=")
    words.require_count("nradbase, nradmax and lmax", n_base * n_radial * (l_max + 1))
    by_base = np.array([words.number() for _ in range(n_base * n_radial * (l_max + 1))])
    coefficients = by_base.reshape(n_base, n_radial, l_max + 1).transpose(1, 2, 0)
    words.integer_after("rankmax", "=")
    n_densities = words.integer_after("ndensitymax", "=")
    if len(values) < 2 * n_densities:
        raise ModelFileError(
            f"{path} has {len(values)} FS parameters, expected two for each of {n_densities} densities; copy it again"
        )
    for key in ("num_c_tilde_max", "num_ms_combinations_max"):
        words.integer_after(key, "=")
    functions = []
    for key in ("total_basis_size_rank1", "total_basis_size"):
        functions += [_function(words) for _ in range(words.integer_after(key, ":"))]
    weights, exponents = tuple(values[: 2 * n_densities : 2]), tuple(values[1 : 2 * n_densities : 2])
    bond = BondSpec(basis, parameter, cutoff, width, *core, 0.0, 0.0)
    return Parts(
        path=path,
        symbols=(symbol,),
        atom_energies=(energy,),
        embeddings=(EmbeddingSpec(name or "FinnisSinclair", weights, exponents, core_cutoff, core_width),),
        bonds=((Bond(bond, coefficients, "density"),),),
        spline_width=spline_width,
        functions=(tuple(functions),),
    )


def _function(words: "_Words") -> Function:
    words.expect("ctilde_basis_func", ":")
    rank = words.integer_after("rank", "=")
    n_densities = words.integer_after("ndens", "=")
    words.integer_after("mu0", "=")
    mus, ns, ls = (words.integers_in_brackets(key, rank) for key in ("mu", "n", "l"))
    ms, coefficients = [], []
    n_terms = words.integer_after("num_ms", "=")
    words.require_count("num_ms", n_terms * (rank + n_densities))
    for _ in range(n_terms):
        words.expect("<")
        ms.append([words.integer() for _ in range(rank)])
        words.expect(">", ":")
        coefficients.append([words.number() for _ in range(n_densities)])
    shape = n_terms, rank
    return Function(
        mus, ns, ls, np.array(ms, dtype=np.int64).reshape(shape), np.array(coefficients).reshape(n_terms, n_densities)
    )


class _Words:
    """The words of a file in order; brackets, colons and signs of equality are words."""

    def __init__(self, path: Path, text: str):
        self.path = path
        start = text.find(START)
        if start < 0:
            raise ModelFileError(f"{path} lacks the line '{START}'; copy the file again")
        self.words = re.sub(r"([()<>=:])", r" \1 ", text[start:]).split()
        self.place = 0

    def is_next(self, word: str) -> bool:
        return self.words[self.place : self.place + 1] == [word]

    def expect(self, *words: str) -> None:
        found = self.words[self.place : self.place + len(words)]
        if found != list(words):
            raise self._error(" ".join(words), " ".join(found))
        self.place += len(words)

    def require_count(self, keys: str, count: int) -> None:
        """Raise if fewer words are left than a file says, before a loop over them."""
        left = len(self.words) - self.place
        if not 0 <= count <= left:
            raise ModelFileError(
                f"{self.path} says {keys} for {count} numbers, and {left} words are left; copy the file again"
            )

    def word(self) -> str:
        if self.place >= len(self.words):
            raise ModelFileError(f"{self.path} ends early, after '{' '.join(self.words[-4:])}'; copy the file again")
        self.place += 1
        return self.words[self.place - 1]

    def number(self) -> float:
        return self._converted(float, "a number")

    def integer(self) -> int:
        return self._converted(int, "an integer")

    def word_after(self, *words: str) -> str:
        self.expect(*words)
        return self.word()

    def number_after(self, *words: str) -> float:
        self.expect(*words)
        return self.number()

    def integer_after(self, *words: str) -> int:
        self.expect(*words)
        return self.integer()

    def integer_before(self, *words: str) -> int:
        found = self.integer()
        self.expect(*words)
        return found

    def integers_in_brackets(self, key: str, count: int) -> tuple[int, ...]:
        self.expect(key, "=", "(")
        self.require_count("rank", count)
        found = tuple(self.integer() for _ in range(count))
        self.expect(")")
        return found

    def _converted(self, convert, what: str):
        word = self.word()
        try:
            return convert(word)
        except ValueError:
            self.place -= 1
            raise self._error(what, word) from None

    def _error(self, expected: str, found: str) -> ModelFileError:
        before = " ".join(self.words[max(0, self.place - 4) : self.place])
        return ModelFileError(
            f"{self.path} has '{found}' after '{before}', expected {expected}; copy the file again"
        )
