"""Checks that forces and virial are derivatives of the energy: finite differences and energy-conserving dynamics."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms

from mlip_lammps.core.errors import MlipError
from mlip_lammps.core.limits import DerivativeLimits, DynamicsLimits, Limits
from mlip_lammps.engines.lammps.cases import Case, CaseResults, rank_environment
from mlip_lammps.engines.lammps.process import LammpsProcess, input_keywords, input_word
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.global_inputs import global_inputs_in
from mlip_lammps.structure.lammps_data import write_lammps_data
from mlip_lammps.verify.checks import QUANTITIES, Check, Worst
from mlip_lammps.verify.lammps_checks import rank_text

GROUP = "derivatives, in LAMMPS"
N_DIRECTIONS = 3
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_STEPS = (1.0, -1.0, 0.5, -0.5)

MASS = 20.0
"""Mass of every atom in amu: with equal masses, the forces alone determine the fastest motion."""
FORCE_TO_ACCELERATION = 9648.533
"""Acceleration in angstrom/ps^2 that a force of 1 eV/angstrom gives a mass of 1 amu."""
FARTHEST = 0.3
"""Largest distance in angstrom that forces may move an atom initially at rest during the run; prevents collisions."""
LONGEST = 10.0
"""Largest phase in radians of the fastest vibration during the run."""
MOST_ATOMS = 500
"""Largest number of atoms of a user's structure in derivative and dynamics checks."""


class Derivatives:
    """Energies of a structure displaced along random directions and under strain."""

    def __init__(self, name: str, atoms: Atoms, limits: DerivativeLimits, cutoff: float):
        self.name = name
        self.atoms = atoms
        self.limits = limits
        self.strain_step = limits.step / cutoff
        rng = np.random.default_rng(6)
        directions = rng.normal(size=(N_DIRECTIONS, len(atoms), 3))
        self.directions = directions / np.abs(directions).max(axis=(1, 2), keepdims=True)

    def cases(self) -> list[Case]:
        """Return the displaced and strained structures."""
        cases = []
        for k, direction in enumerate(self.directions):
            for step in _STEPS:
                moved = self.atoms.copy()
                moved.positions += step * self.limits.step * direction
                cases.append(Case(self._key("direction", k, step), moved))
        if self.atoms.pbc.all():
            for k, (a, b) in enumerate(VOIGT):
                for step in _STEPS:
                    strain = np.zeros((3, 3))
                    strain[a, b] += 0.5 * step * self.strain_step
                    strain[b, a] += 0.5 * step * self.strain_step
                    strained = self.atoms.copy()
                    strained.set_cell(self.atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
                    cases.append(Case(self._key("strain", k, step), strained))
        return cases

    def add(self, found: CaseResults, forces: Worst, virial: Worst) -> None:
        """Compare energy differences with the forces and the virial of LAMMPS."""
        keys = [self.name, *(case.name for case in self.cases())]
        if faults := [found.faults[key] for key in keys if key in found.faults]:
            forces.fail(self.name, faults[0])
            virial.fail(self.name, faults[0])
            return
        results = found.results[self.name].evaluation
        scale = max(1.0, float(np.abs(results.forces).max()))
        for k, direction in enumerate(self.directions):
            slope = self._slope(found, "direction", k, self.limits.step)
            length = float(np.linalg.norm(direction))
            error = abs(slope + float((results.forces * direction).sum())) / length
            forces.add(_number(error), self.limits.force * scale, f"direction {k + 1}, {self.name}")
        if results.virial is None:
            return
        for k, component in enumerate(("xx", "yy", "zz", "yz", "xz", "xy")):
            slope = self._slope(found, "strain", k, self.strain_step)
            error = abs(slope - results.virial[k]) / len(self.atoms)
            virial.add(_number(error), self.limits.virial * scale, f"{component}, {self.name}")

    def _key(self, kind: str, k: int, step: float) -> str:
        return f"{self.name}: {kind} {k + 1}, {step:+g}"

    def _slope(self, found: CaseResults, kind: str, k: int, step: float) -> float:
        """Return dE/ds from central differences with one step and half of it, extrapolated to step zero.

        Energies are subtracted atom by atom, so that the large atomic constants cause no rounding error.
        """

        def central(part: float) -> float:
            cases = (found.results[self._key(kind, k, sign * part)] for sign in (1.0, -1.0))
            plus, minus = (case.evaluation.node_energies for case in cases)
            return float((plus - minus).sum()) / (2.0 * part * step)

        return (4.0 * central(0.5) - central(1.0)) / 3.0


def _number(error: float) -> float:
    return error if math.isfinite(error) else math.inf


def derivative_checks(derivatives: list[Derivatives], found: CaseResults) -> Iterator[Check]:
    """Yield one check for the forces and one for the virial."""
    forces, virial = Worst(), Worst()
    for one in derivatives:
        one.add(found, forces, virial)
    yield forces.check(GROUP, "forces, by energy differences", "eV/angstrom")
    yield virial.check(GROUP, "virial, by strain", "eV per atom")


@dataclass(frozen=True)
class LmpRun:
    """An input script for the ``lmp`` program, which most users run.

    Attributes
    ----------
    name, atoms
        Name and atoms of a periodic structure.
    """

    model: Path
    name: str
    atoms: Atoms
    n_ranks: int
    silence_seconds: float


def dynamics_checks(
    lmp: LmpRun, evaluate: Callable[[Atoms], Evaluation], limits: DynamicsLimits, energy_limits: Limits
) -> Iterator[Check]:
    """Run at constant energy with a time step and half of it; yield checks of the energy and its fluctuation."""
    where = f"{lmp.name}, {rank_text(lmp.n_ranks)}"
    ratio_line = (GROUP, "energy fluctuation, dt over dt/2")
    energy_line = ("lmp -in INPUT = ASE", "energy")
    step = choose_time_step(lmp.atoms, evaluate, limits.n_steps)
    try:
        rows = _run_dynamics(lmp, step, limits.n_steps)
    except MlipError as error:
        for group, line in (ratio_line, energy_line):
            yield Check(group, line, None, None, None, "", where, "fail", str(error))
        return
    long, short = (float(np.std([row["TotEng"] for row in run])) for run in rows)
    ratio = long / short if short > 0.0 else math.inf
    verdict = "pass" if limits.lowest <= ratio <= limits.highest else "fail"
    note = f"{limits.n_steps} steps of {1e3 * step:.3g} fs; fluctuations {long:.1e} and {short:.1e} eV"
    yield Check(*ratio_line, ratio, limits.highest, limits.lowest, "", where, verdict, note)
    first = Worst()
    difference = abs(rows[0][0]["PotEng"] - evaluate(lmp.atoms).energy) / len(lmp.atoms)
    first.add(_number(difference), energy_limits.energy, where)
    yield first.check(*energy_line, QUANTITIES["energy"])


def choose_time_step(atoms: Atoms, evaluate: Callable[[Atoms], Evaluation], n_steps: int) -> float:
    """Return a time step in ps such that ``n_steps`` cause no collision and do not span many vibrations."""
    rng = np.random.default_rng(8)
    direction = rng.normal(size=atoms.positions.shape)
    curvature = 0.0
    for _ in range(8):
        direction /= np.linalg.norm(direction)
        ends = []
        for sign in (1.0, -1.0):
            moved = atoms.copy()
            moved.positions += sign * 0.01 * direction
            ends.append(evaluate(moved).forces)
        direction = (ends[1] - ends[0]) / 0.02
        curvature = float(np.linalg.norm(direction))
    fastest = math.sqrt(max(curvature, 1e-3) * FORCE_TO_ACCELERATION / MASS)
    acceleration = max(float(np.abs(evaluate(atoms).forces).max()), 1e-3) * FORCE_TO_ACCELERATION / MASS
    return min(LONGEST / fastest, math.sqrt(2.0 * FARTHEST / acceleration)) / n_steps


def _run_dynamics(lmp: LmpRun, step: float, n_steps: int) -> list[list[Mapping[str, float]]]:
    """Return the thermo output of both runs at the same physical times."""
    elements = sorted(set(lmp.atoms.get_chemical_symbols()))
    keywords = input_keywords(lmp.model, global_inputs_in(lmp.atoms.info))
    with TemporaryDirectory(prefix="mlip-lammps-") as scratch:
        folder = Path(scratch)
        write_lammps_data(folder / "atoms.data", lmp.atoms, elements)
        text = "\nclear\n".join(
            f"""units metal
            box tilt large
            read_data ${{data}}
            mass * {MASS}
            pair_style mlip/torch {keywords}
            pair_coeff * * ${{model}} {" ".join(elements)}
            velocity all create 300 7 loop geom
            fix motion all nve
            timestep {step / divisor:.17g}
            thermo_style custom step pe etotal
            thermo_modify format float %.16g
            thermo {divisor}
            run {divisor * n_steps}"""
            for divisor in (1, 2)
        )
        (folder / "in.verify").write_text(text + "\n")
        process = LammpsProcess(
            folder / "in.verify",
            lmp.n_ranks,
            {"data": input_word(folder / "atoms.data"), "model": input_word(lmp.model.resolve())},
            folder / "log.lammps",
            silence_seconds=lmp.silence_seconds,
            environment=rank_environment(),
        )
        with process:
            rows = list(process.rows())
    if len(rows) != 2 * (n_steps + 1):
        raise MlipError(
            f"LAMMPS wrote {len(rows)} rows of thermo output, expected {2 * (n_steps + 1)}; verify the model again and "
            "report the error if it persists"
        )
    return [rows[: n_steps + 1], rows[n_steps + 1 :]]
