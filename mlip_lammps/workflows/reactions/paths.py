"""Minimum energy paths with nudged elastic bands, and a check of their saddle."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import ase.io
import numpy as np
from ase import Atoms
from ase.build import minimize_rotation_and_translation
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import find_mic
from ase.mep import NEB
from ase.optimize import FIRE2
from ase.utils.forcecurve import fit_images
from numpy.typing import NDArray

from mlip_lammps.core.arguments import require_choice
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.structure.global_inputs import global_inputs_in
from mlip_lammps.workflows.checks import require_apart, require_known_elements, whole
from mlip_lammps.workflows.reactions.lammps_band import LammpsBand
from mlip_lammps.workflows.reactions.vibrations import Vibrations, is_molecule, moving_atoms, vibrations
from mlip_lammps.workflows.relaxation import Optimizer, relax_each, require_search
from mlip_lammps.workflows.settings import require_settings
from mlip_lammps.workflows.tasks import Tasks, digest, identity_of, portable

ENGINES = ("ase", "lammps")
N_IMAGES = 7
FORCE_TOLERANCE = 0.02
END_TOLERANCE = 5e-3
MAX_STEPS = 500
_BEFORE_CLIMBING = 5.0
"""The highest image climbs once the forces on the band are below this times the tolerance."""

_LEAST_DISTANCE = 0.05
"""Angstrom; ends that are closer are the same minimum."""


@dataclass(frozen=True)
class ReactionPath:
    """A minimum energy path.

    Attributes
    ----------
    images
        Structures along the path with energies and forces, including both ends.
    energies
        Energy of each image relative to the first in eV, shape (n_images,).
    places
        Length along the path in angstrom, shape (n_images,).
    curve
        Lengths and energies of an interpolation that uses the forces, shape (2, n).
    saddle
        Number of the highest image.
    largest_force
        Largest force on the band perpendicular to the path, eV/angstrom.
    n_steps
        Number of optimiser steps.
    saddle_modes
        Vibrations of the saddle; None if they were not computed.
    """

    images: tuple[Atoms, ...] = field(repr=False)
    energies: NDArray[np.float64]
    places: NDArray[np.float64]
    curve: NDArray[np.float64] = field(repr=False)
    saddle: int
    largest_force: float
    n_steps: int
    saddle_modes: Vibrations | None

    @property
    def barrier(self) -> float:
        """Energy of the saddle relative to the first image, eV."""
        return float(self.energies[self.saddle])

    @property
    def reverse_barrier(self) -> float:
        """Energy of the saddle relative to the last image, eV."""
        return float(self.energies[self.saddle] - self.energies[-1])

    @property
    def reaction_energy(self) -> float:
        """Energy of the last image relative to the first, eV."""
        return float(self.energies[-1])

    @property
    def is_saddle(self) -> bool | None:
        """Whether the highest image has exactly one imaginary mode; None if its modes were not computed."""
        return None if self.saddle_modes is None else self.saddle_modes.n_imaginary == 1


def reaction_path(
    first: Atoms,
    last: Atoms,
    calculator: Calculator,
    *,
    n_images: int = N_IMAGES,
    force_tolerance: float = FORCE_TOLERANCE,
    max_steps: int = MAX_STEPS,
    spring: float = 0.1,
    climbs: bool = True,
    relaxes_ends: bool = True,
    optimizer: Optimizer = "lbfgs",
    moving: Sequence[int] | None = None,
    checks_saddle: bool = True,
    engine: Literal["ase", "lammps"] = "ase",
    tasks: Tasks | None = None,
) -> ReactionPath:
    """Return the minimum energy path between two minima.

    Parameters
    ----------
    first, last
        Structures with the same atoms in the same order, in the same cell; ``FixAtoms`` constraints apply.
    calculator
        ASE calculator.
    n_images
        Number of images between the ends.
    force_tolerance
        Largest force on the band perpendicular to the path, eV/angstrom.
    max_steps
        Maximum number of optimiser steps.
    spring
        Force constant of the springs between images, eV/angstrom^2.
    climbs
        Whether the highest image climbs to the saddle.
    relaxes_ends
        Whether both ends are relaxed first.
    optimizer
        Optimizer of the ends, see ``relax``; the band is relaxed with FIRE, in both engines.
    moving
        Atoms that move in the vibrations of the saddle; all that are not fixed if None.
    checks_saddle
        Whether to compute the vibrations of the saddle.
    engine
        ``ase``: the band of ASE, whose images are evaluated side by side on the ranks of ``tasks``, on this machine.
        ``lammps``: the command ``neb`` of LAMMPS; ``calculator`` must be an ``MlipCalculator``, and each image, ends
        included, runs on as many MPI ranks as ``tasks`` has.
    tasks
        Where forces are computed. With a folder, the band is kept after each step (100 steps of LAMMPS), and an
        interrupted run continues.

    Raises
    ------
    UserInputError
        If the ends differ in atoms or cell, are the same minimum, overlap, or contain unknown elements, or atoms pass
        through each other between them.
    MlipError
        If the ends or the band do not relax.

    Notes
    -----
    If no atom is fixed, the last end is moved onto the first one; a molecule in vacuum is turned too.
    The start is an image dependent pair potential interpolation: S. Smidstrup et al., J. Chem. Phys. 140, 214106
    (2014). Tangents and climbing: G. Henkelman, H. Jonsson, J. Chem. Phys. 113, 9978 and 9901 (2000).
    """
    require_settings(n_images=n_images, spring=spring)
    require_search(optimizer, force_tolerance, max_steps)
    require_choice("engine", engine, ENGINES)
    model = getattr(getattr(calculator, "model", None), "path", None)
    if engine == "lammps" and model is None:
        raise UserInputError(f"{type(calculator).__name__} has no model file that LAMMPS can run; use the engine ase")
    tasks = tasks or Tasks()
    _require_ends(first, last, calculator)
    if checks_saddle:
        moving_atoms(first, moving)
    _start(first, last, n_images)  # raises before any force is computed
    if relaxes_ends:
        ends = {"the first end": first, "the last end": last}
        options = {"force_tolerance": END_TOLERANCE, "optimizer": optimizer, "tasks": tasks}
        first, last = (found.atoms for found in relax_each(ends, calculator, stage="ends", **options).values())
    images = _start(first, last, n_images)
    file = None
    if tasks.folder is not None:
        key = [identity_of(calculator), first, last, n_images, spring, climbs]
        file = tasks.folder / f"band-{digest(key)}.extxyz"
        images = _continued(file, images)

    def keep(n_done: int) -> None:
        tasks.report("band steps, at most", n_done, max_steps)
        if file is not None:
            unfinished = file.with_suffix(".unfinished")
            ase.io.write(unfinished, images, format="extxyz")
            unfinished.rename(file)

    tasks.report("band steps, at most", 0, max_steps)
    stages = [(False, _BEFORE_CLIMBING * force_tolerance), (True, force_tolerance)]
    stages = stages if climbs else [(False, force_tolerance)]
    with _evaluator(calculator, min(tasks.n_ranks, n_images) if engine == "ase" else 1) as evaluate:
        if engine == "lammps":
            band = LammpsBand(images, Path(model), spring, tasks.n_ranks)
            n_steps, is_done = _relax_in_lammps(band, stages, max_steps, keep)
            evaluate(images)
        else:
            evaluate([images[0], images[-1]])
            n_steps, is_done = _relax_in_ase(images, evaluate, spring, stages, max_steps, keep)
    largest = _largest_force(images, spring, climbs)
    if not is_done:
        raise MlipError(
            f"the band did not relax in {max_steps} steps: the largest force is {largest:.3g} eV/angstrom, expected "
            f"{force_tolerance:g}; allow more steps, or give more images"
        )
    energies = np.array([image.get_potential_energy() for image in images])
    fit = fit_images(images)
    saddle = int(np.argmax(energies))
    modes = None
    if checks_saddle and 0 < saddle < len(images) - 1:
        limit = max(3 * force_tolerance, 0.1)
        modes = vibrations(images[saddle], calculator, moving, kind="harmonic", largest_force=limit, tasks=tasks)
    return ReactionPath(
        images=tuple(images),
        energies=energies - energies[0],
        places=np.array(fit.path),
        curve=np.array([fit.fit_path, fit.fit_energies]),
        saddle=saddle,
        largest_force=largest,
        n_steps=n_steps,
        saddle_modes=modes,
    )


class _Band(NEB):
    """A band whose images are evaluated together."""

    def __init__(self, images: list[Atoms], evaluate, **options) -> None:
        super().__init__(images, method="improvedtangent", allow_shared_calculator=True, **options)
        self._evaluate = evaluate

    def get_forces(self) -> NDArray[np.float64]:
        self._evaluate(self.images[1:-1])
        return super().get_forces()


def _relax_in_ase(
    images: list[Atoms],
    evaluate: Callable[[Sequence[Atoms]], None],
    spring: float,
    stages: Sequence[tuple[bool, float]],
    max_steps: int,
    keep: Callable[[int], None],
) -> tuple[int, bool]:
    """Relax the band in stages, with and without climbing; return the number of steps and whether it converged."""
    n_steps, is_done = 0, False
    for climbs, tolerance in stages:
        search = FIRE2(_Band(images, evaluate, k=spring, climb=climbs), logfile=None)
        search.attach(lambda: keep(n_steps + search.nsteps))  # noqa: B023
        is_done = search.run(fmax=tolerance, steps=max_steps - n_steps)
        n_steps += search.get_number_of_steps()
    return n_steps, is_done


def _relax_in_lammps(
    band: LammpsBand, stages: Sequence[tuple[bool, float]], max_steps: int, keep: Callable[[int], None]
) -> tuple[int, bool]:
    """Relax the band in stages, like `_relax_in_ase`."""
    n_steps, is_done = 0, False
    for climbs, tolerance in stages:
        taken, is_done = band.relax(climbs, tolerance, max_steps - n_steps, lambda n: keep(n_steps + n))  # noqa: B023
        n_steps += taken
    return n_steps, is_done


def _largest_force(images: list[Atoms], spring: float, climbs: bool) -> float:
    """Return the largest force on the band of evaluated images."""
    band = _Band(images, lambda images: None, k=spring, climb=climbs)
    band.get_forces()
    return float(band.get_residual())


@contextmanager
def _evaluator(calculator: Calculator, n_processes: int) -> Iterator:
    """Yield a function that attaches energy and forces to structures, computed side by side."""

    def attach(images: Sequence[Atoms], results) -> None:
        for image, (energy, forces) in zip(images, results, strict=True):
            image.calc = SinglePointCalculator(image, energy=energy, forces=forces)

    if n_processes == 1:
        yield lambda images: attach(images, [_energy_and_forces(calculator, _bare(image)) for image in images])
        return
    # threads of an evaluation do not survive a fork
    context = get_context("spawn")
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    copied = (portable(calculator),)
    try:
        with ProcessPoolExecutor(n_processes, context, initializer=_set_calculator, initargs=copied) as pool:
            yield lambda images: attach(images, pool.map(_with_calculator, [_bare(image) for image in images]))
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


_calculator: Calculator | None = None
"""Calculator of a process of the pool."""


def _set_calculator(calculator: Calculator) -> None:
    global _calculator
    _calculator = calculator
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the program, which then ends the pool


def _with_calculator(atoms: Atoms) -> tuple[float, NDArray[np.float64]]:
    return _energy_and_forces(_calculator, atoms)


def _energy_and_forces(calculator: Calculator, atoms: Atoms) -> tuple[float, NDArray[np.float64]]:
    atoms.calc = calculator
    return float(atoms.get_potential_energy()), atoms.get_forces()


def _bare(image: Atoms) -> Atoms:
    """Return a copy without constraints: the band applies them."""
    atoms = image.copy()
    atoms.set_constraint()
    return atoms


def _require_ends(first: Atoms, last: Atoms, calculator: Calculator) -> None:
    if list(first.numbers) != list(last.numbers):
        raise UserInputError(
            f"the ends are {first.get_chemical_formula()} and {last.get_chemical_formula()} or order their atoms "
            "differently, expected the same atoms in the same order"
        )
    if np.abs(first.cell[:] - last.cell[:]).max() > 1e-3 or (first.pbc != last.pbc).any():
        raise UserInputError("the ends have different cells or pbc; give both in the same cell")
    for name, atoms in (("the first end", first), ("the last end", last)):
        require_known_elements(atoms, calculator, name)
        require_apart(atoms, name)


def _aligned(first: Atoms, last: Atoms) -> Atoms:
    """Return the last end with each atom at the image that is nearest to the first end, without rigid motion."""
    is_fixed = bool(first.constraints or last.constraints)
    if not is_fixed and is_molecule(first) and is_molecule(last):
        start, free = whole(first), Atoms(last.numbers, whole(last).positions)
        minimize_rotation_and_translation(start, free)
        places = first.positions + free.positions - start.positions
    else:
        steps = find_mic(last.positions - first.positions, first.cell, first.pbc)[0]
        places = first.positions + steps - (0.0 if is_fixed else steps.mean(axis=0))
    end = first.copy()
    end.set_positions(places, apply_constraint=False)
    return end


def _start(first: Atoms, last: Atoms, n_images: int) -> list[Atoms]:
    """Return the images of an IDPP interpolation."""
    end = _aligned(first, last)
    if (length := float(np.linalg.norm(end.positions - first.positions))) < _LEAST_DISTANCE:
        raise UserInputError(
            f"the ends are {length:.3f} angstrom apart, expected at least {_LEAST_DISTANCE:g}: they are, or relax to, "
            "the same minimum; give another end"
        )
    images = [first.copy(), *(first.copy() for _ in range(n_images)), end]
    band = NEB(images, method="improvedtangent")
    band.interpolate(apply_constraint=False)
    straight = [image.positions.copy() for image in images]
    with np.errstate(divide="ignore", invalid="ignore"):
        band.interpolate(method="idpp", apply_constraint=False)
    for number, image in enumerate(images):
        image.calc, image.info = None, global_inputs_in(first.info)
        if not np.isfinite(image.positions).all():  # IDPP divides by distances
            image.set_positions(straight[number], apply_constraint=False)
        try:
            require_apart(image, f"image {number} of the interpolated path")
        except UserInputError as error:
            raise UserInputError(
                f"atoms pass through each other between the ends: {error}, and that both ends list their atoms in the "
                "same order; if they do, move one of these atoms aside in an end"
            ) from error
    return images


def _continued(file: Path, images: list[Atoms]) -> list[Atoms]:
    """Return the kept band, or the given one if there is none."""
    if not file.is_file():
        return images
    kept = ase.io.read(file, index=":", format="extxyz")
    for image, place in zip(images, kept, strict=True):
        image.set_positions(place.positions, apply_constraint=False)
    return images
