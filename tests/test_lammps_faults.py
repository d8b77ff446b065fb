"""Faults of one rank in a running simulation: all ranks stop with one message that names place and cause."""

import re

import pytest
from lammps_deck import assert_results_agree, deck, pair_coeff, read_results
from lammps_faults import build_fault_library, run_with_fault
from lammps_files import with_metadata
from lammps_frames import assert_frame_is_the_models, read_frames, write_frame
from lammps_run import Finished, error_line, run_lammps
from lammps_structures import expected_results, write_data

from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = ("H", "O")
TIME_LIMIT = 60.0
STEP = 2
RUN = "velocity all create 300 7 loop geom\nfix motion all nve\nthermo 1\nrun 5"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build_fault_library(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def model(compile_once):
    return compile_once("two_layers")


@pytest.fixture(scope="module")
def atoms():
    return rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)


@pytest.fixture
def folder(tmp_path, atoms):
    write_data(tmp_path / "box.data", atoms, ELEMENTS)
    return tmp_path


FAULTS = {
    "nan_energy": (STEP, r"the energy of atom \d+ at \S+ \S+ \S+ is not finite; check for overlapping atoms"),
    "infinite_force": (STEP, r"the force of atom \d+ at \S+ \S+ \S+ is not finite; check for overlapping atoms"),
    "exception": (STEP, r"a planted exception"),
    "no_memory_to_open": (None, r"\S+: not enough memory to open the model; use fewer ranks"),
    "no_memory_in_model": (0, r"not enough memory for the model; use more ranks"),
    "no_memory_for_edges": (0, r"not enough memory for the edges of \d+ atoms .*; use more ranks"),
}


@pytest.mark.parametrize(("n_ranks", "rank"), [(2, 1), (4, 2)])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_one_rank_names_step_and_rank_and_stops_all(fault, n_ranks, rank, model, library, folder):
    step, message = FAULTS[fault]
    text = deck(coeff=pair_coeff(f"{model} H O"), runs=RUN)
    done = run_with_fault(
        text, folder, library, fault, n_ranks=n_ranks, rank=rank, call=step or 0, is_refused=True, time_limit=TIME_LIMIT
    )
    line = error_line(done)
    place = "" if step is None else f"step {step}, rank {rank}: "
    assert re.search(f"pair_style mlip/torch: {place}{message}", line), line
    assert [row["Step"] for row in done.thermo] == list(range(step or 0))
    assert not (folder / "dump.out").exists(), "went on after the fault"


def test_a_fault_of_one_member_on_one_rank_stops_a_committee(model, compile_once, library, folder):
    members = f"{model} {compile_once('one_layer_of_two')} {model}"
    text = deck(coeff=pair_coeff(f"{members} : H O"), runs=RUN)
    done = run_with_fault(
        text, folder, library, "exception", n_ranks=4, rank=3, call=3 * STEP, is_refused=True, time_limit=TIME_LIMIT
    )
    assert re.search(f"step {STEP}, rank 3: {model}: a planted exception", error_line(done))


def test_the_fault_library_alone_changes_nothing(model, library, atoms, folder):
    text = deck(coeff=pair_coeff(f"{model} H O"))
    done = run_with_fault(text, folder, library, "none", n_ranks=2, rank=1, call=0)
    assert_results_agree(read_results(done), expected_results(model, atoms))


BAND = """units metal
atom_modify map yes
variable model world {} {}
variable partition uloop 2
read_data box.data
pair_style mlip/torch
pair_coeff * * ${{model}} H O
compute e all pe/atom
fix band all neb 1.0
{}
"""
RUN_BAND = "min_style fire\nneb 0.0 0.0 3 3 1 final final.txt"
PARTITIONS = ("-partition", "2x2")


@pytest.fixture
def band_folder(folder):
    (folder / "final.txt").write_text("1\n1 3.0 3.0 3.0\n")
    return folder


def test_partitions_that_run_one_calculation_need_one_model(model, compile_once, band_folder):
    other = compile_once("one_layer_of_two")
    options = dict(lammps=PARTITIONS, time_limit=TIME_LIMIT)
    done = run_lammps(BAND.format(model, other, RUN_BAND), 4, band_folder, is_refused=True, **options)
    message = "partition 2 has model .*one_layer.*, which differs from partition 1 .*; give every partition the same"
    assert re.search(message, done.output), done.output
    run_lammps(BAND.format(model, model, RUN_BAND), 4, band_folder, **options)
    # independent partitions may have different models
    alone = f"unfix band\nrun 0\n{write_frame('dump.${partition}')}"
    run_lammps(BAND.format(model, other, alone), 4, band_folder, **options)
    for number, own in ((1, model), (2, other)):
        [frame] = read_frames(band_folder / f"dump.{number}", ELEMENTS)
        assert_frame_is_the_models(frame, MlipCalculator(own, n_threads=1))


def test_a_fault_in_one_partition_stops_all(model, library, band_folder):
    done = run_with_fault(
        BAND.format(model, model, RUN_BAND),
        band_folder,
        library,
        "nan_energy",
        n_ranks=4,
        rank=3,
        call=STEP,
        lammps=PARTITIONS,
        is_refused=True,
        time_limit=TIME_LIMIT,
    )
    assert re.search(r"step \d, rank 1: the energy of atom \d+ .* \(in partition 2\)", error_line(done))


# Atoms 1 and 2 are 0.5 angstrom apart, across a boundary of the cell and of ranks.
MEET = "set atom 1 x 0.1 y 0.1 z 0.1\nset atom 2 x 0.1 y 0.1 z -0.4"
APART = "atom [12] and atom [12] are 0.5 A apart, but the model's smallest distance for their elements is {} A; check"


def close_run(folder, style: str, n_ranks: int, **options: object) -> Finished:
    runs = f"run 0\n{MEET}\nrun 1\nrun 1"
    return run_lammps(deck(style, pair_coeff("watched.pt2 H O"), runs=runs), n_ranks, folder, **options)


@pytest.mark.parametrize("n_ranks", [1, 4])
def test_atoms_below_the_minimum_distance_give_one_warning_or_an_error(n_ranks, model, atoms, folder):
    symbols = [atoms.get_chemical_symbols()[k] for k in (0, 1)]
    limits = {("H", "H"): 0.61, ("H", "O"): 0.62, ("O", "O"): 0.63}
    of_pair = limits[tuple(sorted(symbols))]
    others = {pair: 0.4 for pair in limits if limits[pair] != of_pair}
    table = limits | others

    def watch(metadata):
        pairs = [[table[tuple(sorted((a, b)))] for b in metadata["elements"]] for a in metadata["elements"]]
        metadata["min_distances"] = pairs

    with_metadata(model, folder / "watched.pt2", watch)
    told = [line for line in close_run(folder, "mlip/torch", n_ranks).output.splitlines() if "smallest" in line]
    assert len(told) == 1, told
    apart = APART.format(of_pair)
    assert re.match(f"WARNING: pair_style mlip/torch: step 0: {apart}", told[0])

    line = error_line(close_run(folder, "mlip/torch close error", n_ranks, is_refused=True))
    assert re.search(rf"step 0, rank \d: {apart}", line), line
    assert "smallest" not in close_run(folder, "mlip/torch close ignore", n_ranks).output
