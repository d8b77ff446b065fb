"""Reader of the keywords in an input.nn. This module does not import torch."""

from collections.abc import Sequence
from pathlib import Path

from ase.data import atomic_numbers as number_of_symbol

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError

_LARGEST_FILE = 1 << 26
_OTHER_NAMES = {"symfunction": "symfunction_short"}
_IS_2G = ("2", "2G-HDNNP")
_REFUSED = {
    "use_electrostatics": "a charge model",
    "electrostatic_type": "a charge model",
    "use_fixed_charges": "fixed charges",
    "use_vdw": "a dispersion correction",
    "use_vdw_hirshfeld": "a dispersion correction",
    "use_gap": "a Gaussian approximation potential",
    "use_ewald": "a charge model",
    "global_pairsymfunction_short": "networks of pairs of atoms",
    "element_pairsymfunction_short": "networks of pairs of atoms",
    "pairsymfunction_short": "networks of pairs of atoms",
}
"""Keywords of RuNNer for parts of the energy that this package does not compute."""
_SHORT_FORMS = ("global_symfunction_short", "element_symfunction_short")


class InputFile:
    """The keywords of an input.nn.

    Raises
    ------
    ModelFileError
        If it is not a text file.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lines: dict[str, list[list[str]]] = {}
        for line in text_of(path).splitlines():
            words = line.partition("#")[0].partition("!")[0].split()
            if words:
                self._lines.setdefault(_OTHER_NAMES.get(words[0], words[0]), []).append(words[1:])

    def has(self, keyword: str) -> bool:
        return keyword in self._lines

    def every(self, keyword: str) -> list[list[str]]:
        """Return the words after each line of a keyword."""
        return self._lines.get(keyword, [])

    def words(self, keyword: str, at_least: int = 1) -> list[str] | None:
        """Return the words after a keyword that occurs once; None if it does not occur.

        Raises
        ------
        ModelFileError
            If it occurs twice or has too few words.
        """
        found = self.every(keyword)
        if not found:
            return None
        if len(found) > 1 or len(found[0]) < at_least:
            raise ModelFileError(
                f"the keyword {keyword} of {self.path} occurs {len(found)} times with {len(found[0])} values, expected "
                f"once with {at_least}; correct the file"
            )
        return found[0]

    def word(self, keyword: str) -> str:
        """Return the first word after a keyword that must occur.

        Raises
        ------
        ModelFileError
            If it does not occur.
        """
        found = self.words(keyword)
        if found is None:
            raise ModelFileError(f"{self.path} lacks the keyword {keyword}, which n2p2 and RuNNer require; add it")
        return found[0]

    def number(self, keyword: str, default: float) -> float:
        found = self.words(keyword)
        return default if found is None else number_in(found[0], f"{keyword} of {self.path}")

    def unit(self, keyword: str, known: Sequence[str]) -> str:
        """Return the unit that a keyword names.

        Raises
        ------
        ModelFileError
            If the file does not state one of the known units.
        """
        found = (self.words(keyword) or [""])[0].lower()
        if found not in known:
            stated = f"has {keyword} {found}" if found else f"does not state its {keyword.replace('_', ' ')}"
            raise ModelFileError(
                f"{self.path} {stated}; add the line '{keyword} {known[0]}' or '{keyword} {known[1]}' to it, the unit "
                "of the training data (RuNNer: length_unit bohr, energy_unit hartree)"
            )
        return found

    def elements(self) -> tuple[int, ...]:
        """Return the atomic numbers in ascending order.

        Raises
        ------
        ModelFileError
            If they are not elements or not as many as the file says.
        """
        self.word("elements")
        symbols = self.words("elements")
        wrong = [symbol for symbol in symbols if number_of_symbol.get(symbol, 0) < 1]
        n_stated = self.number("number_of_elements", len(symbols))
        if wrong or len(set(symbols)) != len(symbols) or n_stated != len(symbols):
            raise ModelFileError(
                f"{self.path} has number_of_elements {n_stated:g} and elements {' '.join(symbols)}, expected as many "
                "different elements; correct the file"
            )
        return tuple(sorted(number_of_symbol[symbol] for symbol in symbols))

    def element(self, symbol: str, elements: Sequence[int]) -> int:
        """Return the index of an element.

        Raises
        ------
        ModelFileError
            If it is not an element of the potential.
        """
        number = number_of_symbol.get(symbol, 0)
        if number not in elements:
            raise ModelFileError(f"{self.path} has an entry for {symbol}, which its line elements lacks; correct it")
        return elements.index(number)

    def refuse_unsupported(self) -> None:
        """Raise if the energy has parts that are not the networks of single atoms.

        Raises
        ------
        UnsupportedModelError
            The message names the keyword.
        """
        for keyword in ("nnp_type", "nnp_generation", "nnp_type_gen", "nnp_gen"):
            found = self.words(keyword)
            if found and found[0].upper() not in _IS_2G:
                raise UnsupportedModelError(
                    f"{self.path} has {keyword} {found[0]}, a potential with charges, and this package supports "
                    "2G-HDNNP; train without charges"
                )
        if (self.words("nn_type_short") or ["1"])[0] != "1":
            raise UnsupportedModelError(
                f"{self.path} has nn_type_short {self.word('nn_type_short')}, and this package supports 1, networks of "
                "single atoms; train with it"
            )
        for keyword, meaning in _REFUSED.items():
            if self.has(keyword):
                raise UnsupportedModelError(
                    f"{self.path} has {keyword}, that is, {meaning}, which this package does not support; train "
                    "without it"
                )
        for keyword in _SHORT_FORMS:
            if self.has(keyword):
                raise UnsupportedModelError(
                    f"{self.path} has {keyword}, which only RuNNer reads; write a line symfunction_short for each "
                    "symmetry function, as RuNNer prints them"
                )


def text_of(path: Path) -> str:
    """Return the text of a file.

    Raises
    ------
    ModelFileError
        If it cannot be read, is not text, or is very large.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ModelFileError(f"{path} has {path.stat().st_size} bytes, expected a text file; check the path")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}); copy all files of the potential") from error
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path} is not a text file ({error.reason}); copy the file again") from error


def number_in(word: str, where: str) -> float:
    """Return a finite number.

    Raises
    ------
    ModelFileError
        If the word is not one.
    """
    try:
        value = float(word.lower().replace("d", "e"))
    except ValueError:
        value = float("nan")
    if not -1e300 < value < 1e300:
        raise ModelFileError(f"{word} is not a number in {where}; correct the file")
    return value
