"""liblammps exports a slow reference BLAS, which must not replace the BLAS of libtorch."""

import numpy as np
from lammps_run import run_driver


def test_matrix_products_inside_lammps_are_those_of_libtorch_alone(compile_once, tmp_path):
    run_driver("lammps_blas.py", 1, tmp_path, "alone.npz")
    run_driver("lammps_blas.py", 1, tmp_path, "inside.npz", compile_once("one_layer"))
    with np.load(tmp_path / "alone.npz") as alone, np.load(tmp_path / "inside.npz") as inside:
        np.testing.assert_allclose(inside["by_lammps"], alone["by_torch"], rtol=0, atol=1e-11)
        # The libraries sum in different orders, so that the last bits show which one was called.
        assert not np.array_equal(inside["by_lammps"], alone["by_torch"])
        np.testing.assert_array_equal(inside["by_torch"], alone["by_torch"])
