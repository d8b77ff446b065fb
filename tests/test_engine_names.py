"""Names of the engines' packages: there when they are used, loaded no earlier."""

import subprocess
import sys

import pytest

import mlip_lammps
import mlip_lammps.engines.ase
import mlip_lammps.engines.lammps

TIME_LIMIT = 120


def test_the_engines_give_their_classes_by_name():
    from mlip_lammps.engines.ase import MlipCalculator
    from mlip_lammps.engines.lammps import LammpsSession

    assert MlipCalculator.__module__ == "mlip_lammps.engines.ase.calculator"
    assert LammpsSession.__module__ == "mlip_lammps.engines.lammps.session"


@pytest.mark.parametrize("package", [mlip_lammps, mlip_lammps.engines.ase, mlip_lammps.engines.lammps])
def test_every_name_of_an_engine_is_there_and_no_other(package):
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="has no Nothing"):
        package.Nothing  # noqa: B018


def test_the_entry_point_of_lammps_imports_nothing_that_is_slow():
    code = (
        "import sys\n"
        "import mlip_lammps.engines.lammps.plugin\n"
        "print({'torch', 'numpy', 'ase', 'lammps', 'mpi4py'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=TIME_LIMIT
    )
    assert done.stdout.strip() == "set()"
