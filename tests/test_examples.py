"""The examples of the workflows run and print the numbers in their READMEs; each script is short."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
MOST_LINES = 60
TIME_LIMIT = 400

PRINTED = {
    "03_equation_of_state": r"phase change at 9\.0\d GPa",
    "04_elastic": r"C11, C12, C44 = 145\.\d, 60\.\d, 74\.\d GPa",
    "05_phonons": r"300 K: linear expansion 2\.6\de-6/K",
    "06_surfaces": r"\(1, 1, 1\): 0\.806",
    "07_adsorption": r"-0\.214 eV  adsorbed",
    "08_vibrations": r"Gibbs energy at 300 K and 1 atm 0\.25\d eV",
    "09_reaction_path": r"barrier 0\.07\d eV, .* saddle: True",
    "10_screening": r"same as diamond",
    "11_silicon_pressure": r"compress: 1 ps\nfinished",
    "12_liquid_surface": r"surface tension of the slab: -?\d+ \+- \d+ mN/m",
    "13_fine_tuning": r"replay.model, head pt_head: [\d.]+ meV/atom, \d+ meV/angstrom from sw",
}
_ONE_RANK = ["--ranks", "1"]
SHORTER = {
    "11_silicon_pressure": ["--cells", "2", "--slower", "0.05", "--out", "run", *_ONE_RANK],
    "12_liquid_surface": ["--cells", "2", "--equilibration", "0.2", "--time", "0.2", "--out", "run", *_ONE_RANK],
    "13_fine_tuning": ["--epochs", "1", "--out", "run"],
}
"""Arguments for examples whose dynamics takes longer than a test should."""
NEXT = {
    "11_silicon_pressure": (["analyse.py", "run/compress"], r"GPa: \d\.\d\d highest S\(k\), rings \{"),
    "12_liquid_surface": (["cavity.py", "run", "--radii", "2", "--sample", "80", *_ONE_RANK], r"cavity: \d+ \+-"),
}
"""Second scripts, with what they print."""


def test_every_workflow_example_is_listed_and_short():
    scripts = {file.parent.name: file for file in EXAMPLES.glob("*/run.py")}
    assert set(PRINTED) == set(scripts) - {"01_water"}
    for name in PRINTED:
        assert len(scripts[name].read_text().splitlines()) <= MOST_LINES
        assert f"examples/{name}/run.py" in (EXAMPLES / name / "README.md").read_text()


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_prints_its_result(name, tmp_path):
    if name == "13_fine_tuning" and "MLIP_LAMMPS_MACE_PYTHON" not in os.environ:
        pytest.skip("set MLIP_LAMMPS_MACE_PYTHON to a Python with mace-torch, or run: make test")
    printed = run_script(tmp_path, EXAMPLES / name / "run.py", *SHORTER.get(name, ()))
    assert re.search(PRINTED[name], printed), printed
    if name in NEXT:
        (script, *arguments), expected = NEXT[name]
        printed = run_script(tmp_path, EXAMPLES / name / script, *arguments)
        assert re.search(expected, printed), printed


def run_script(folder: Path, *command: Path | str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", *command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
