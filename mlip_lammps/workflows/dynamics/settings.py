"""Settings of molecular dynamics."""

import math
from dataclasses import dataclass, fields
from typing import Any

from ase import Atoms
from ase.data import atomic_masses

from mlip_lammps.core.arguments import require_choice
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows.settings import DYNAMICS

ENSEMBLES = ("nve", "nvt", "npt")
# the first of each is the default
THERMOSTATS = ("nose-hoover", "langevin", "csvr")
BAROSTATS = ("iso", "aniso", "tri")

_TIMESTEP_WITH_HYDROGEN, _TIMESTEP = 0.5, 1.0
_LONGEST_WITH_HYDROGEN = 1.0
_MOST_STEPS = 2**31 - 1


@dataclass(frozen=True)
class DynamicsSettings:
    """Settings of a run.

    Attributes
    ----------
    ensemble
        ``nve``, ``nvt`` or ``npt``.
    temperature, temperature_end
        Temperature of the initial velocities and of the thermostat in K, and its value at the end of the run; None for
        a constant temperature.
    pressure_gpa, pressure_end_gpa
        Pressure of the barostat in GPa, and its value at the end of the run; None for a constant pressure.
    thermostat
        ``nose-hoover``, ``langevin`` or ``csvr`` (stochastic velocity rescaling).
    barostat
        Degrees of freedom of the cell: ``iso`` (volume), ``aniso`` (three lengths) or ``tri`` (lengths and tilts).
    time_ps
        Length of the run in ps.
    timestep_fs
        Time step in fs.
    thermostat_fs, barostat_fs
        Time constants of thermostat and barostat in fs.
    seed
        Seed of the initial velocities and of a stochastic thermostat.
    thermo_every, trajectory_every, restart_every
        Steps between rows of thermodynamic output, frames of the trajectory, and restart files.
    spectrum_fs
        Time between frames of ``velocities.lammpstrj``, for the vibrational spectrum, in fs; None for no spectrum.
    stop_above
        Ends the run when the largest force deviation of a committee exceeds this, in eV/angstrom; None for no limit.
    label_above
        Saves frames whose largest force deviation exceeds this, in eV/angstrom; None to save none.

    Raises
    ------
    UserInputError
        If a setting is invalid, or two settings exclude each other.
    """

    ensemble: str = "nvt"
    temperature: float = 300.0
    temperature_end: float | None = None
    pressure_gpa: float = 0.0
    pressure_end_gpa: float | None = None
    thermostat: str = "nose-hoover"
    barostat: str = "iso"
    time_ps: float = 10.0
    timestep_fs: float = _TIMESTEP_WITH_HYDROGEN
    thermostat_fs: float = 100.0
    barostat_fs: float = 1000.0
    seed: int = 2026
    thermo_every: int = 20
    trajectory_every: int = 100
    restart_every: int = 2000
    spectrum_fs: float | None = None
    stop_above: float | None = None
    label_above: float | None = None

    def __post_init__(self) -> None:
        require_choice("ensemble", self.ensemble, ENSEMBLES)
        require_choice("thermostat", self.thermostat, THERMOSTATS)
        require_choice("barostat", self.barostat, BAROSTATS)
        for name, allowed in DYNAMICS.items():
            allowed.require(name, getattr(self, name))
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.ensemble == "nve" and self.temperature_end is not None:
            raise UserInputError("temperature_end is given, but nve has no thermostat; use nvt or npt")
        if self.ensemble != "npt" and (self.pressure_gpa != 0.0 or self.pressure_end_gpa is not None):
            raise UserInputError(f"a pressure is given, but {self.ensemble} has no barostat; use npt")
        if self.ensemble == "nve" and self.thermostat != THERMOSTATS[0]:
            raise UserInputError(f"thermostat is {self.thermostat}, but nve has no thermostat; use nvt or npt")
        if self.ensemble != "npt" and self.barostat != BAROSTATS[0]:
            raise UserInputError(f"barostat is {self.barostat}, but {self.ensemble} has no barostat; use npt")
        if self.ensemble != "nve" and min(self.temperature, self.temperature_end or self.temperature) <= 0.0:
            raise UserInputError("the temperature of the thermostat is 0 K; give a temperature above 0")
        if not 1 <= self.n_steps <= _MOST_STEPS:
            raise UserInputError(
                f"time_ps is {self.time_ps:g}, which is {self.n_steps} steps of {self.timestep_fs:g} fs; expected 1 to "
                f"{_MOST_STEPS} steps"
            )
        if self.spectrum_fs is not None and self.spectrum_fs < self.timestep_fs:
            raise UserInputError(
                f"spectrum_fs is {self.spectrum_fs:g}, less than a time step of {self.timestep_fs:g} fs; give a longer "
                "time"
            )

    @property
    def n_steps(self) -> int:
        """Number of time steps."""
        return round(self.time_ps * 1000.0 / self.timestep_fs)

    @property
    def velocities_every(self) -> int | None:
        """Steps between frames of velocities; None without a spectrum."""
        return None if self.spectrum_fs is None else math.floor(self.spectrum_fs / self.timestep_fs + 1e-9)

    @property
    def has_ramp(self) -> bool:
        """Whether the temperature or the pressure changes during the run."""
        return (self.temperature_end or self.temperature) != self.temperature or (
            self.pressure_gpa if self.pressure_end_gpa is None else self.pressure_end_gpa
        ) != self.pressure_gpa

    @property
    def is_langevin(self) -> bool:
        """Whether random forces act, which change the momentum."""
        return self.ensemble != "nve" and self.thermostat == "langevin"

    @property
    def has_tilts(self) -> bool:
        """Whether the barostat tilts the cell."""
        return self.ensemble == "npt" and self.barostat == "tri"

    def identity(self) -> dict[str, Any]:
        """Return the settings that fix the trajectory; the length is one of them only if there is a ramp."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        if not self.has_ramp:
            del found["time_ps"]
        return found


def default_timestep(atoms: Atoms) -> float:
    """Return a time step in fs: 0.5 with hydrogen, otherwise 1."""
    return _TIMESTEP_WITH_HYDROGEN if 1 in atoms.numbers else _TIMESTEP


def timestep_warnings(atoms: Atoms, timestep_fs: float) -> tuple[str, ...]:
    """Return a warning of a time step in fs that is too long for the lightest atoms, if it is.

    The limit is 1 fs for hydrogen and grows with the square root of the mass, as the periods of vibrations do.
    """
    masses = atoms.get_masses()
    lightest = int(masses.argmin())
    limit = _LONGEST_WITH_HYDROGEN * math.sqrt(max(masses[lightest] / atomic_masses[1], 1.0))
    if timestep_fs <= limit + 1e-9:
        return ()
    longest = math.floor(10 * limit) / 10
    return (
        f"a time step of {timestep_fs:g} fs is long for {atoms.symbols[lightest]}, where {longest:g} fs is usually the "
        "most; the energy may drift and atoms may be lost",
    )
