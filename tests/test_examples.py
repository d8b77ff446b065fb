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
}


def test_every_workflow_example_is_listed_and_short():
    scripts = {file.parent.name: file for file in EXAMPLES.glob("*/run.py")}
    assert set(PRINTED) == set(scripts) - {"01_water"}
    for name in PRINTED:
        assert len(scripts[name].read_text().splitlines()) <= MOST_LINES
        assert f"examples/{name}/run.py" in (EXAMPLES / name / "README.md").read_text()


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_prints_its_result(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", EXAMPLES / name / "run.py"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(PRINTED[name], done.stdout), done.stdout
