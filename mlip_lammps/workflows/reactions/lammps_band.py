"""Nudged elastic bands with the command ``neb`` of LAMMPS, which gives each image ranks of its own."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from numpy.typing import NDArray

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.engines.lammps.box import in_lammps_frame
from mlip_lammps.engines.lammps.cases import rank_environment
from mlip_lammps.engines.lammps.groups import fixed_ids, group_commands
from mlip_lammps.engines.lammps.process import LammpsProcess, input_keywords, input_word
from mlip_lammps.engines.mpi_process import MpiRunError
from mlip_lammps.structure.global_inputs import global_inputs_in
from mlip_lammps.structure.handedness import right_handed
from mlip_lammps.structure.lammps_data import write_lammps_data

_STEPS_AT_ONCE = 100
"""Steps of one start of LAMMPS; an interruption costs at most these."""
_SCRIPT, _START, _IMAGE = "in.neb", "band.data", "image.{}"


class LammpsBand:
    """A band of images that LAMMPS relaxes; the ends stay.

    Parameters
    ----------
    images
        Images with both ends, which are moved in place; ``FixAtoms`` constraints of the first apply to all.
    model
        Compiled model.
    spring
        Force constant of the springs between images, eV/angstrom^2.
    n_ranks
        Number of MPI ranks of each image.

    Raises
    ------
    UserInputError
        If the model file does not exist, or a path has both kinds of quotes.

    Notes
    -----
    Springs act along the path, ``fix neb ... parallel neigh``, with the tangents of G. Henkelman and H. Jonsson,
    J. Chem. Phys. 113, 9978 (2000), as in ``ase.mep.NEB(method="improvedtangent")``.
    """

    def __init__(self, images: Sequence[Atoms], model: Path, spring: float, n_ranks: int = 1) -> None:
        if not model.is_file():
            raise UserInputError(f"the model file {model} does not exist; give the path of a compiled model")
        self.images, self.model, self.spring, self.n_ranks = list(images), model.resolve(), spring, n_ranks

    def relax(
        self,
        climbs: bool,
        force_tolerance: float,
        max_steps: int,
        keep: Callable[[int], None] = lambda n_steps: None,
    ) -> tuple[int, bool]:
        """Relax the band and return the number of steps, and whether the forces are below ``force_tolerance``.

        Parameters
        ----------
        climbs
            Whether the highest image climbs to the saddle.
        force_tolerance
            Limit for the largest force on an atom of the band, in eV/angstrom.
        max_steps
            Maximum number of steps.
        keep
            Called with the number of steps when the images have moved.

        Raises
        ------
        MlipError
            If LAMMPS fails.
        """
        n_steps, largest = 0, np.inf
        while largest > force_tolerance and n_steps < max_steps:
            taken, largest = self._run(climbs, force_tolerance, min(_STEPS_AT_ONCE, max_steps - n_steps))
            n_steps += taken
            keep(n_steps)
        return n_steps, largest <= force_tolerance

    def _run(self, climbs: bool, force_tolerance: float, n_steps: int) -> tuple[int, float]:
        """Let LAMMPS take up to ``n_steps`` steps; return their number and the largest force."""
        with TemporaryDirectory(prefix="mlip-lammps-") as scratch:
            folder = Path(scratch)
            places = self._write(folder, climbs, force_tolerance, n_steps)
            rows = self._start(folder)
            for number, (image, before) in enumerate(zip(self.images, places, strict=True), start=1):
                if 1 < number < len(self.images):
                    moved = np.loadtxt(folder / f"{_IMAGE.format(number)}.moved", skiprows=9, ndmin=2)[:, 1:]
                    steps = self._prism.vector_to_ase(moved - before)
                    steps = find_mic(steps, image.cell, image.pbc)[0]  # LAMMPS wraps atoms
                    image.set_positions(image.positions + steps)
        return int(rows[-1]["Step"]), float(np.sqrt(rows[-1]["MaxAtomForce"]))  # LAMMPS prints the square

    def _write(self, folder: Path, climbs: bool, force_tolerance: float, n_steps: int) -> list[NDArray[np.float64]]:
        """Write the input of LAMMPS and return the positions of the images in its frame."""
        first, n = self.images[0], len(self.images)
        together = Atoms(
            np.tile(first.numbers, n), np.concatenate([image.positions for image in self.images]), cell=first.cell,
            pbc=first.pbc,
        )  # fmt: skip
        self._prism, boxed = in_lammps_frame(right_handed(together))
        places = np.split(boxed.positions, n)
        elements = sorted(set(first.get_chemical_symbols()))
        write_lammps_data(folder / _START, boxed[: len(first)], elements)
        for number, rows in enumerate(places, start=1):
            lines = [f"{k} {x:.17g} {y:.17g} {z:.17g}" for k, (x, y, z) in enumerate(rows, start=1)]
            (folder / _IMAGE.format(number)).write_text("\n".join([str(len(rows)), *lines, ""]))
        fixed = group_commands("fixed", fixed_ids(first))
        held = "\n".join([*fixed, "fix             fixed fixed setforce 0 0 0"]) if fixed else ""
        stages = f"1 {n_steps}" if climbs else f"{n_steps} 0"  # without a first step, climbing crashes
        (folder / _SCRIPT).write_text(f"""\
units           metal
atom_style      atomic
atom_modify     map array sort 0 0.0
boundary        {" ".join("p" if periodic else "m" for periodic in first.pbc)}
box             tilt large
read_data       {_START}
neighbor        1.0 bin
variable        image uloop {n}
pair_style      mlip/torch {input_keywords(self.model, global_inputs_in(first.info))}
pair_coeff      * * ${{model}} {" ".join(elements)}
timestep        0.002
fix             springs all neb {self.spring:.17g} parallel neigh
{held}
partition       yes 1 fix end all setforce 0 0 0
partition       yes {n} fix end all setforce 0 0 0
min_style       fire
min_modify      norm max dmax 0.1
thermo          1
neb             0 {force_tolerance:.17g} {stages} 1 each {_IMAGE.format("${image}")}
write_dump      all custom {_IMAGE.format("${image}")}.moved id x y z modify sort id format float %.17g
""")
        return places

    def _start(self, folder: Path) -> list[dict[str, float]]:
        """Run LAMMPS and return the rows that the command ``neb`` prints."""
        process = LammpsProcess(
            folder / _SCRIPT,
            self.n_ranks * len(self.images),
            {"model": input_word(self.model)},
            folder / "log.lammps",
            n_partitions=len(self.images),
            environment=rank_environment(),
            working_folder=folder,
        )
        try:
            with process:
                return list(process.rows())
        except MpiRunError as error:
            raise MlipError(f"LAMMPS stopped in the command neb{_reason(folder)}") from error


def _reason(folder: Path) -> str:
    """Return the error in the log of a partition."""
    for log in sorted(folder.glob("log.lammps*")):
        if found := re.search(r"^ERROR.*$", log.read_text(errors="replace"), re.MULTILINE):
            return f": {found[0]}"
    return ""
