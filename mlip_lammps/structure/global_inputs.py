"""Global inputs of a model: numbers of the whole system, such as its total charge and its spin multiplicity."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

from mlip_lammps.core.errors import UserInputError

DEFAULTS = {"charge": 0.0, "spin": 1.0}
"""Values that a model takes if none is given: those of mace-torch's calculator.

The keys are names of ``atoms.info`` and keywords of ``pair_style mlip/torch``.
"""


@dataclass(frozen=True)
class GlobalInput:
    """One global input of a model; the metadata of a compiled file have these fields.

    Attributes
    ----------
    name
        One of ``DEFAULTS``.
    default
        Value if none is given.
    lowest, highest
        Bounds of the value; None without bounds.
    is_integer
        Whether the value must be a whole number.
    """

    name: str
    default: float
    lowest: float | None = None
    highest: float | None = None
    is_integer: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def range(self) -> str:
        """Values that the model takes, in words."""
        kind = "a whole number" if self.is_integer else "a number"
        return kind if self.lowest is None else f"{kind} from {self.lowest:g} to {self.highest:g}"

    def value_in(self, given: Mapping[str, Any], model: str) -> float:
        """Return the value among ``given``, or the default.

        Raises
        ------
        UserInputError
            If it is not a number that the model takes.
        """
        value = given.get(self.name, self.default)
        is_number = isinstance(value, Real) and not isinstance(value, bool) and abs(float(value)) < float("inf")
        is_number = is_number and (not self.is_integer or float(value).is_integer())
        is_inside = is_number and (self.lowest is None or self.lowest <= float(value) <= self.highest)
        if not is_inside:
            raise UserInputError(
                f"the {self.name} of the structure is {value!r}, but {model} takes {self.range}; correct "
                f'atoms.info["{self.name}"]'
            )
        return float(value)


def global_inputs_in(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of ``atoms.info`` that are global inputs."""
    return {name: info[name] for name in DEFAULTS if info.get(name) is not None}


def values_of(inputs: Sequence[GlobalInput], given: Mapping[str, Any], model: str) -> tuple[float, ...]:
    """Return the value of each input of a model, in its order.

    Raises
    ------
    UserInputError
        If a value is not one that the model takes.
    """
    return tuple(one.value_in(given, model) for one in inputs)


def other_values(inputs: Sequence[GlobalInput]) -> dict[str, float]:
    """Return values that differ from the defaults, for tests of a model."""
    values = {}
    for one in inputs:
        wanted = one.default + (1.0 if one.is_integer else 0.7)
        is_possible = one.highest is None or wanted <= one.highest
        values[one.name] = wanted if is_possible else one.lowest
    return values
