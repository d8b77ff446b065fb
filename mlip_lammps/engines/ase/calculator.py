"""An ASE calculator that runs a model."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes, all_properties
from numpy.typing import NDArray

from mlip_lammps.compilation.cache import require_device, require_head, runnable_model
from mlip_lammps.core.arguments import require_count
from mlip_lammps.core.errors import CloseAtomsWarning
from mlip_lammps.core.user_line import level_of_user
from mlip_lammps.model_file.born_charges import born_charges
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import Graph, build_graph
from mlip_lammps.structure.min_distances import find_close_pair


class MlipCalculator(Calculator):
    """Energies, forces and stress of a model, for the structure and per atom.

    Parameters
    ----------
    model
        A ``.pt2`` file from ``mlip-lammps export``, the name of a shipped model, a trained or portable file, or an open
        ``CompiledModel``. A model that is not compiled is compiled once in the default precision, and cached.
    n_threads
        Number of threads for an evaluation on a CPU; the default of torch if 0.
    device
        ``cpu`` or ``cuda``: of what has to be compiled, for a CPU if None. A compiled file has its own, which must be
        this one.
    head
        Head of a trained model that has several. A compiled file has one, which must be this one.

    Attributes
    ----------
    node_properties
        Further results for each atom of the last evaluation by name, shape (n_atoms,); empty for most models.

    Raises
    ------
    ModelFileError
        If the file is missing, is not a model, or was compiled for another machine or torch.
    UserInputError
        If an argument is invalid, if a compiled file is for another device or head, or if a model has several heads and
        none is chosen; on evaluation, if the model does not know an element or does not take the charge or spin.

    Warns
    -----
    CloseAtomsWarning
        Once, for the first two atoms closer than the model's smallest distance for their elements.

    Notes
    -----
    ``stresses`` are per-atom stresses, shape (n_atoms, 6). Their sum is ``stress``. Times the volume and in bar, they
    equal ``compute stress/atom NULL virial`` of LAMMPS. A model with a charge or spin embedding takes
    ``atoms.info["charge"]`` and ``atoms.info["spin"]`` (the spin multiplicity), 0 and 1 by default; other models
    ignore them. A model with magnetic moments (CHGNet) gives them in Bohr magnetons as ``magmoms``: absolute values, or
    for CHGNet of MatGL what it was trained on. A model with latent charges gives them as
    ``node_properties["latent_charges"]``, since ASE has no property of this kind; their sign and scale are those of the
    training, which sees energies only. It also gives the derivatives of the polarization of these charges,
    ``get_property("born_effective_charges")``, with the polarization first. A copy shares the open model. A pickle
    contains the path of the compiled file, which unpickling opens.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress", "stresses"]

    def __init__(
        self,
        model: CompiledModel | Path | str,
        n_threads: int = 0,
        device: str | None = None,
        head: str | None = None,
    ):
        super().__init__()
        require_count("n_threads", n_threads, 0)
        if isinstance(model, CompiledModel):
            require_device(model.path, device)
            require_head(model.path, head)
            self.model = model
        else:
            self.model = CompiledModel(runnable_model(model, device, head), n_threads)
        further = [name for name in self.model.node_properties if name in all_properties]
        if self.model.latent_ewald is not None:
            further.append("born_effective_charges")
        self.implemented_properties = [*type(self).implemented_properties, *further]
        self.node_properties: dict[str, NDArray[np.float64]] = {}
        self._has_warned = False

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Return what has changed since the last evaluation: what the energy depends on, and any change counts.

        Optimizers ask several times for each evaluation of a small structure, so this does not compare with a
        tolerance as ASE does. It compares the charge and spin, which ASE does not.
        """
        if self.atoms is None:
            return list(all_changes)
        pairs = {name: (atoms.arrays[name], self.atoms.arrays[name]) for name in ("positions", "numbers")}
        pairs |= {"cell": (atoms.cell.array, self.atoms.cell.array), "pbc": (atoms.pbc, self.atoms.pbc)}
        changes = [name for name, (now, before) in pairs.items() if not np.array_equal(now, before)]
        if self.model.global_inputs and not changes:
            values = [self.model.global_values(one.info) for one in (atoms, self.atoms)]
            changes += ["info"] if values[0] != values[1] else []
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        has_volume = self.atoms.pbc.any() and self.atoms.cell.rank == 3
        if {"stress", "stresses"} & set(properties) and not has_volume:
            raise PropertyNotImplementedError("the stress needs a periodic cell in three directions; set cell and pbc")
        graph = build_graph(self.atoms, self.model.cutoff)
        self._warn_of_close_atoms(graph)
        found = self.model.evaluate(graph, has_atom_virials="stresses" in properties)
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "energies": found.node_energies,
            "forces": found.forces,
            **{name: values for name, values in found.node_properties.items() if name in all_properties},
        }
        self.node_properties = dict(found.node_properties)
        if has_volume:
            self.results["stress"] = found.stress
        if "born_effective_charges" in properties:
            self.results["born_effective_charges"] = born_charges(self.model, graph)
        if "stresses" in properties:  # only on request: they take longer than the other sums over edges
            self.results["stresses"] = found.stresses

    def _warn_of_close_atoms(self, graph: Graph) -> None:
        """Warn once, like the pair style."""
        smallest = self.model.metadata.get("min_distances")
        if self._has_warned or not smallest:
            return
        pair = find_close_pair(graph, self.model.species(graph.atomic_numbers), smallest)
        if pair is None:
            return
        self._has_warned = True
        first, second = (f"atom {k} ({self.atoms[k].symbol})" for k in (pair.i, pair.j))
        warnings.warn(
            f"{first} and {second}, counted from 0, are {pair.distance:.4g} angstrom apart, but the model's smallest "
            f"distance for their elements is {pair.smallest:.4g} angstrom; check the structure, the time step and the "
            "temperature",
            CloseAtomsWarning,
            stacklevel=level_of_user(),
        )
