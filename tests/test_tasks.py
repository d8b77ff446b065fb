"""Independent tasks: in this process and on ranks, errors, and continuing after an interrupt."""

import json
import socket
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import LinearCombinationCalculator, SumCalculator
from threadpoolctl import threadpool_info

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows import Tasks, relax, relax_all
from mlip_lammps.workflows import tasks as tasks_module
from mlip_lammps.workflows.crystals.force_constants import force_task
from mlip_lammps.workflows.relaxation import relax_each, relax_task
from mlip_lammps.workflows.run_folder import RunFolder, as_table, read_record
from mlip_lammps.workflows.tasks import identity_of


def stretched(by: float) -> Atoms:
    atoms = molecule("CO")
    atoms.positions[0, 2] += by
    return atoms


STRUCTURES = {f"co-{k}": stretched(0.05 * k) for k in range(1, 5)}


class Interrupting(EMT):
    """Calculator that is interrupted after some evaluations."""

    n_left = 20

    def calculate(self, *arguments, **options):
        if self.n_left == 0:
            raise KeyboardInterrupt
        self.n_left -= 1
        super().calculate(*arguments, **options)


def test_ranks_give_the_results_of_one_process_in_order(tmp_path):
    alone = relax_all(STRUCTURES, EMT())
    reports = []
    tasks = Tasks(tmp_path, n_ranks=2, report=lambda *report: reports.append(report))
    on_ranks = relax_all(STRUCTURES, EMT(), tasks=tasks)
    assert list(on_ranks) == list(STRUCTURES)
    for name, found in on_ranks.items():
        np.testing.assert_array_equal(found.atoms.positions, alone[name].atoms.positions)
        assert found.energy == alone[name].energy
    assert reports == [("relaxing", k, 4) for k in range(5)]


def test_an_interrupted_run_continues_after_the_finished_tasks_and_steps(tmp_path):
    items = [{"atoms": atoms} for atoms in STRUCTURES.values()]
    calculator = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        Tasks(tmp_path).map("relaxing", relax_task, calculator, items)
    finished = len(list(tmp_path.glob("*.json")))
    assert 0 < finished < len(items)
    reports, calculator.n_left = [], -1
    found = Tasks(tmp_path, report=lambda *report: reports.append(report)).map("", relax_task, calculator, items)
    assert reports[0] == ("", finished, len(items))
    assert [table["energy"] for table in found] == [
        pytest.approx(result.energy, abs=1e-6) for result in relax_all(STRUCTURES, EMT()).values()
    ]


def test_a_relaxation_continues_from_the_last_complete_step_of_its_trajectory(tmp_path):
    file = tmp_path / "steps.extxyz"
    calculator = Interrupting()
    calculator.n_left = 4
    with pytest.raises(KeyboardInterrupt):
        relax(stretched(0.3), calculator, trajectory=file)
    n_steps = len(ase.io.read(file, ":"))
    assert n_steps >= 2
    file.write_text(file.read_text() + "2\nLattice=")  # interrupted while it was written
    found = relax(stretched(0.3), EMT(), trajectory=file)
    whole = relax(stretched(0.3), EMT())
    assert found.energy == pytest.approx(whole.energy, abs=1e-5)
    assert found.energy_before == pytest.approx(whole.energy_before)
    assert len(ase.io.read(file, ":")) > n_steps


def test_a_relaxation_that_needs_more_steps_continues_from_its_last_geometry(tmp_path):
    options = {"optimizer": "bfgs", "tasks": Tasks(tmp_path)}
    with pytest.raises(MlipError, match="far: OC did not relax in 4 steps"):
        relax_each({"far": stretched(0.4)}, EMT(), max_steps=4, **options)
    found = relax_each({"far": stretched(0.4)}, EMT(), max_steps=100, **options)["far"]
    whole = relax(stretched(0.4), EMT(), optimizer="bfgs")
    assert found.n_steps < whole.n_steps
    assert found.energy == pytest.approx(whole.energy, abs=1e-5)
    assert found.energy_before == pytest.approx(whole.energy_before)
    assert len(list((tmp_path / "trajectories").iterdir())) == 1


def test_a_structure_that_does_not_relax_leaves_the_others(tmp_path):
    found = relax_all({"far": stretched(0.4), "near": relax(molecule("CO"), EMT()).atoms}, EMT(), max_steps=1)
    assert isinstance(found["far"], MlipError)
    assert found["near"].largest_force < 1e-3


def test_results_of_another_calculator_or_setting_are_not_used_again(tmp_path):
    tasks, item = Tasks(tmp_path), {"atoms": stretched(0.1)}
    first, second = (
        tasks.map("", relax_task, EMT(**options), [item])[0]["energy"] for options in ({}, {"asap_cutoff": True})
    )
    tasks.map("", relax_task, EMT(), [{**item, "options": {"max_steps": 999}}])
    assert len(list(tmp_path.glob("*.json"))) == 3
    assert first != second


def test_an_error_of_a_task_on_a_rank_keeps_its_type_and_text(tmp_path):
    items = [{"atoms": stretched(0.1 * k), "options": {"cell": "loose"}} for k in range(2)]
    with pytest.raises(UserInputError, match="cell 'loose' is not one of"):
        Tasks(tmp_path, n_ranks=2).map("", relax_task, EMT(), items)


def test_a_used_emt_runs_on_ranks():
    calculator = EMT()
    items = [{"atoms": stretched(0.1 * k)} for k in range(2)]
    alone = Tasks().map("", relax_task, calculator, items)
    on_ranks = Tasks(n_ranks=2).map("", relax_task, calculator, items)
    assert [table["energy"] for table in on_ranks] == [table["energy"] for table in alone]


def test_this_process_works_beside_ranks_with_one_thread_of_numpy():
    def blas_threads() -> set[int]:
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    before = blas_threads()
    with tasks_module._one_thread(EMT()):
        assert blas_threads() == {1}
    assert blas_threads() == before


def test_a_rank_starts_without_torch_and_can_import_it():
    program = (
        "import sys; from mlip_lammps.workflows import worker; worker.import_vesin_without_torch(); import vesin\n"
        "assert 'torch' not in sys.modules\n"
        "import torch; print(torch.ones(1).sum().item())"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "1.0\n"


def test_invalid_numbers_of_ranks_and_calculators_are_refused():
    with pytest.raises(UserInputError, match="n_ranks is 0; give"):
        Tasks(n_ranks=0)
    local = Interrupting()
    local.hook = lambda: None
    with pytest.raises(UserInputError, match="Interrupting cannot be copied to other processes"):
        Tasks(n_ranks=2).map("", relax_task, local, [{"atoms": stretched(0.1 * k)} for k in range(2)])


def test_the_record_of_a_run_states_settings_checksums_and_end(tmp_path):
    file = tmp_path / "a.xyz"
    file.write_text("1\n\nCu 0 0 0\n")
    with RunFolder(tmp_path / "run", "relax", {"cell": "free"}, {"structure 1": file}) as folder:
        assert read_record(folder.path)["status"] == "running"
        folder.write_results({"energy": np.float64(1.5), "atoms": bulk("Cu"), "nothing": float("nan")})
    record = read_record(folder.path)
    assert record["status"] == "finished"
    assert record["settings"] == {"cell": "free"}
    assert len(record["inputs"]["structure 1"]["sha256"]) == 64
    assert record["versions"]["ase"]
    results = json.loads((folder.path / "results.json").read_text())
    assert results["energy"] == 1.5
    assert results["nothing"] is None
    assert results["atoms"]["formula"] == "Cu"


def test_results_of_a_model_with_other_weights_are_moved(tmp_path):
    """The file given may be one of several, as for potentials of n2p2: its checksum alone says too little."""
    for checksum, remains in (("a", False), ("a", True), ("b", False)):
        folder = RunFolder(tmp_path, "relax", {}, model={"source": {"sha256": checksum}})
        with folder:
            assert (tmp_path / "results.json").is_file() == remains
            folder.write_results({"energy": 1.0})


def test_the_record_of_an_interrupted_or_failed_run_says_so(tmp_path):
    for error, status in ((KeyboardInterrupt(), "interrupted"), (MlipError("no"), "failed")):
        with pytest.raises(type(error)), RunFolder(tmp_path, "relax", {}):
            raise error
        assert read_record(tmp_path)["status"] == status


def test_a_damaged_result_is_computed_again(tmp_path):
    items = [bulk("Cu", a=a) for a in (3.6, 3.7)]
    expected = Tasks(tmp_path).map("cells", force_task, EMT(), items)
    damaged = sorted(tmp_path.glob("*.json"))[0]
    damaged.write_text(damaged.read_text()[:5])
    found = Tasks(tmp_path).map("cells", force_task, EMT(), items)
    np.testing.assert_array_equal(np.array(found), np.array(expected))


def test_a_run_beside_its_input_is_refused(tmp_path):
    (tmp_path / "si.extxyz").write_text("")
    with pytest.raises(UserInputError, match="contains the input"):
        RunFolder(tmp_path, "relax", {}, {"structure 1": tmp_path / "si.extxyz"})


def test_a_folder_in_use_is_refused_until_its_process_ends(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from mlip_lammps.workflows.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1]), 'relax', {}): print('open', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    message = f"is in use by process {process.pid} on {socket.gethostname()}; wait for it, or give another folder"
    with pytest.raises(UserInputError, match=message), RunFolder(tmp_path, "relax", {}):
        pass
    assert read_record(tmp_path)["status"] == "running"
    process.kill()
    process.wait()
    process.stdout.close()
    for _ in range(2):
        with RunFolder(tmp_path, "relax", {}):
            pass
    assert read_record(tmp_path)["status"] == "finished"


def test_results_of_other_settings_are_moved_to_a_folder_of_their_own(tmp_path):
    names = ("run.json", "results.json", "cu.extxyz", "plot.png")
    for fmax in (1, 2, 3):
        with RunFolder(tmp_path, "relax", {"fmax": fmax}) as folder:
            assert folder.earlier == (None if fmax == 1 else tmp_path / "earlier" / str(fmax - 1))
            assert [name for name in names if (tmp_path / name).exists()] == ["run.json"]
            folder.write_results({"energy": float(fmax)})
            folder.write_structures("cu", bulk("Cu"))
            (tmp_path / "plot.png").touch()
            (tmp_path / "trajectory.lammpstrj").touch()
        with RunFolder(tmp_path, "relax", {"fmax": fmax}) as folder:
            assert folder.earlier is None
            assert (tmp_path / "results.json").is_file()
    for fmax in (1, 2):
        assert {file.name for file in (tmp_path / "earlier" / str(fmax)).iterdir()} == set(names)
        record = read_record(tmp_path / "earlier" / str(fmax))
        assert (record["settings"], record["status"]) == ({"fmax": fmax}, "finished")


def test_a_refused_run_leaves_the_results_of_the_earlier_one(tmp_path):
    with RunFolder(tmp_path, "relax", {"fmax": 1}) as folder:
        folder.write_results({})
        folder.write_structures("cu", bulk("Cu", a=3.6))

    def refused() -> None:
        with RunFolder(tmp_path, "relax", {"fmax": 2}) as folder:
            folder.write_structures("cu", bulk("Cu", a=3.7))
            raise UserInputError("refused")

    with pytest.raises(UserInputError):
        refused()
    assert (tmp_path / "results.json").is_file()
    assert read_record(tmp_path)["settings"] == {"fmax": 1}
    assert ase.io.read(tmp_path / "cu.extxyz").get_volume() == pytest.approx(3.6**3 / 4)
    assert not list((tmp_path / "earlier").iterdir())


def test_a_damaged_record_says_how_to_go_on(tmp_path):
    with RunFolder(tmp_path, "relax", {}):
        pass
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserInputError, match=r"run.json is not the record of a run .* delete this file and repeat the"):
        RunFolder(tmp_path, "relax", {})
    (tmp_path / "run.json").unlink()
    with RunFolder(tmp_path, "relax", {}):
        pass


@pytest.mark.parametrize("name", ["out", "out/relax"])
def test_a_file_in_place_of_the_folder_is_refused(name, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UserInputError, match="out is a file, but --out needs a folder; give the name of a folder"):
        RunFolder(tmp_path / name, "relax", {})


def test_the_folder_of_another_command_is_refused(tmp_path):
    with RunFolder(tmp_path, "relax", {}):
        pass
    with pytest.raises(UserInputError, match="contains a run of mlip-lammps relax, expected one of eos"):
        RunFolder(tmp_path, "eos", {})
    with pytest.raises(UserInputError, match=r"has no run.json"):
        read_record(tmp_path / "nowhere")


def test_results_as_a_table_contain_properties_and_no_private_fields():
    found = relax(bulk("Cu", a=3.6), EMT(), cell="isotropic")
    table = as_table(found)
    assert table["pressure_gpa"] == pytest.approx(0, abs=0.5)
    assert table["space_group"] == "Fm-3m (225)"
    assert "forces" not in table
    json.dumps(table)


def test_results_of_other_parameters_and_files_are_not_used_again(tmp_path):
    crystal, energies = {"a": bulk("Cu", a=3.6)}, []
    for weight in (0.01, 0.05):
        mixed = LinearCombinationCalculator([EMT(), LennardJones(sigma=2.3, epsilon=0.1)], [1.0, weight])
        energies.append(relax_all(crystal, mixed, tasks=Tasks(tmp_path / "tasks"))["a"].energy)
    assert abs(energies[1] - energies[0]) > 1e-4
    potential = tmp_path / "my potential.sw"
    identities = []
    for text in ("first", "second", "second"):
        potential.write_text(text)
        calculator = EMT()
        calculator.parameters["commands"] = ["pair_style sw", f'pair_coeff * * "{potential}" Si', "x" * 5000]
        identities.append(identity_of(calculator))
    assert identities[0] != identities[1] == identities[2]


def test_a_used_sum_of_calculators_is_refused_on_ranks():
    total = SumCalculator([EMT(), LennardJones(sigma=2.0, epsilon=0.01)])
    crystal = bulk("Cu", a=3.6)
    crystal.calc = total
    crystal.get_potential_energy()
    with pytest.raises(UserInputError, match="SumCalculator cannot be copied to other processes"):
        Tasks(n_ranks=2).map("", relax_task, total, [{"atoms": stretched(0.1 * k)} for k in range(2)])
