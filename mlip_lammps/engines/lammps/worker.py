"""One rank of ``run_cases``: ``mpiexec -n N python -m mlip_lammps.engines.lammps.worker FOLDER``."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlip_lammps.core.errors import MlipError
from mlip_lammps.engines.lammps.cases import CASES_FILE, STARTED, Case, CaseResult
from mlip_lammps.engines.lammps.rank import run_rank
from mlip_lammps.engines.lammps.session import (
    BAR_PER_EV_PER_CUBIC_ANGSTROM,
    NODE_ENERGY_SUM,
    PRESSURE,
    LammpsSession,
)
from mlip_lammps.model_file.archive import runs_on_gpu

from lammps import MPIAbortException  # isort: skip


def _main(folder: Path) -> None:
    """Evaluate the cases; runs on every rank."""
    with (folder / CASES_FILE).open("rb") as stream:
        model, cases = pickle.load(stream)
    with LammpsSession() as session:
        for number, case in enumerate(cases):
            is_first_rank = session.communicator.rank == 0
            if is_first_rank:
                print(f"{STARTED} {number}", flush=True)
            try:
                outcome = _evaluate(session, model, case)
            except MlipError as error:
                if isinstance(error.__cause__, MPIAbortException):
                    raise
                outcome = str(error)  # raised on every rank after an agreement in LAMMPS
            if is_first_rank:
                unfinished = folder / f"{number}.unfinished"
                unfinished.write_bytes(pickle.dumps(outcome))
                unfinished.rename(folder / f"{number}.pickle")


def _evaluate(session: LammpsSession, model: str, case: Case) -> CaseResult | None:
    """Return the result on rank 0, None on other ranks."""
    session.set_structure(case.atoms, case.box)
    session.set_model(model, options=case.options)
    session.run_commands(case.before_run)
    # if a model finds its own edges, take results from such a step; edges are available only in steps with per-atom
    # virials
    is_resident = runs_on_gpu(model)
    found = session.evaluate(case.n_steps) if is_resident else None
    thermo_of_found = session.lammps.last_thermo() if is_resident else None
    columns = " ".join(f"c_{PRESSURE}[{k}] c_case_virial_sum[{k}]" for k in range(1, 7))
    session.run_commands(
        f"""compute case_virial all stress/atom NULL virial
        compute case_virial_sum all reduce sum {" ".join(f"c_case_virial[{k}]" for k in range(1, 7))}
        thermo_style custom step pe vol c_{NODE_ENERGY_SUM} {columns}"""
    )
    found_on_edges = session.evaluate(case.n_steps if found is None else 0)
    positions, edges = session.positions(), session.edges()
    n_owned = session.communicator.gather(session.lammps.extract_setting("nlocal"))
    thermo = session.lammps.last_thermo()
    if found is None:
        found, thermo_of_found = found_on_edges, thermo
    centroid_virials = session.centroid_virials() if case.has_centroid_virials else None
    if edges is None:
        return None
    in_ev = 1.0 / BAR_PER_EV_PER_CUBIC_ANGSTROM
    return CaseResult(
        evaluation=replace(found, centroid_virials=centroid_virials),
        positions=positions,
        node_energy_sum=thermo_of_found[f"c_{NODE_ENERGY_SUM}"],
        lammps_virial=thermo["Volume"] * in_ev * np.array([thermo[f"c_{PRESSURE}[{k}]"] for k in range(1, 7)]),
        atom_virial_sum=-in_ev * np.array([thermo[f"c_case_virial_sum[{k}]"] for k in range(1, 7)]),
        edge_atoms=edges[0],
        edge_vectors=edges[1],
        n_owned=tuple(n_owned),
    )


if __name__ == "__main__":
    run_rank(_main)
