"""The table that `profile yes` prints at the end of a run."""

import pytest
from lammps_deck import deck, pair_coeff
from lammps_run import run_lammps
from lammps_structures import write_data

from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = ("H", "O")
SECTIONS = [
    "edges",
    "model 1 layer 1 forward",
    "model 1 layer 2 both ways",
    "model 1 layer 1 backward",
    "model 2 layer 1 both ways",
    "communication",
    "rest",
    "total",
]


def tables(output: str) -> list[tuple[int, dict[str, list[float]]]]:
    """Return, for each run, the number of evaluations and the minimum, average, maximum and percentage per section."""
    found = []
    for text in output.split("\nmlip/torch profile: ")[1:]:
        header, _, rule, *rows, sent = text.split("\n\n")[0].splitlines()
        assert sent.startswith("kB sent per evaluation")
        assert set(rule) == {"-"}
        cells = [[cell.strip() for cell in row.split("|")] for row in rows]
        found.append((int(header.split(",")[1].split()[0]), {row[0]: [float(x) for x in row[1:]] for row in cells}))
    return found


def test_a_profile_accounts_for_the_time_of_every_step(compile_once, tmp_path):
    write_data(tmp_path / "box.data", rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2), ELEMENTS)
    models = f"{compile_once('two_layers')} {compile_once('one_layer_of_two')}"
    runs = "fix motion all nve\nrun 7\nrun 0\nminimize 0 0 3 100"
    text = deck(
        "hybrid/overlay mlip/torch profile yes zero 5.0",
        coeff=pair_coeff(f"mlip/torch {models} : H O", "zero"),
        runs=runs,
    )
    found = tables(run_lammps(text, 2, tmp_path).output)
    assert [n for n, _ in found[:2]] == [7, 1]
    assert len(found) == 3
    assert found[2][0] > 1
    for _, table in found:
        assert list(table) == SECTIONS
        parts = [table[name] for name in SECTIONS[:-1]]
        assert sum(average for _, average, _, _ in parts) == pytest.approx(table["total"][1], rel=5e-3)
        assert sum(percent for _, _, _, percent in parts) == pytest.approx(100.0, abs=0.1)
        for name, (least, average, most, _) in table.items():
            assert least * 0.999 <= average <= most * 1.001, name
            assert average > 0, name
