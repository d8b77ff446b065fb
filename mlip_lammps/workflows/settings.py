"""What the numeric settings of the workflows may be. A name means the same in every function and command."""

from mlip_lammps.core.arguments import COUNT, POSITIVE, Number

_HIGHEST_TEMPERATURE = 1e4
"""K; crystals and molecules do not exist above."""

NUMBERS = {
    "n_ranks": COUNT,
    # relaxation
    "force_tolerance": Number(0, 1, is_above=True),
    "max_steps": COUNT,
    "pressure_gpa": Number(-1000, 1000),
    # crystals
    "strain": Number(1e-5, 0.1),
    "displacement": Number(1e-5, 0.5),
    "symmetry_tolerance": Number(0, 1, is_above=True),
    "mesh_length": Number(1, 1000),
    "tolerance_thz": POSITIVE,
    "n_most": Number(1, 100, is_whole=True),
    "n_snapshots": Number(1, is_whole=True, is_optional=True),
    "seed": Number(1, 2**30, is_whole=True),
    "n_volumes": Number(5, 1000, is_whole=True),
    "length_change_percent": Number(-20, 20),
    "t_max": Number(10, _HIGHEST_TEMPERATURE),
    # surfaces
    "vacuum": Number(0, 1000, is_above=True),
    "fixed_layers": Number(0, is_whole=True),
    "n_layers": COUNT,
    "n_gas": Number(0, is_above=True, is_optional=True),
    # reactions
    "temperature": Number(0, _HIGHEST_TEMPERATURE, is_above=True),
    "pressure_pa": POSITIVE,
    "spin": Number(0, 100),
    "symmetry_number": Number(1, is_whole=True, is_optional=True),
    "largest_force": POSITIVE,
    "n_images": Number(1, 1000, is_whole=True),
    "spring": POSITIVE,
    # dynamics
    "equilibration_ps": Number(0, is_optional=True),
    "viscosity": Number(0, is_above=True, is_optional=True),
    "run_ps": Number(4),
}

DYNAMICS = {
    # at more kinetic energy, atoms come closer than in any training data
    "temperature": Number(0, 2e4),
    "temperature_end": Number(0, 2e4, is_optional=True),
    "pressure_gpa": Number(-1000, 1000),
    "pressure_end_gpa": Number(-1000, 1000, is_optional=True),
    "time_ps": POSITIVE,
    "timestep_fs": Number(0, 20, is_above=True),
    "thermostat_fs": POSITIVE,
    "barostat_fs": POSITIVE,
    "seed": NUMBERS["seed"],
    "thermo_every": COUNT,
    "trajectory_every": COUNT,
    "restart_every": COUNT,
    "spectrum_fs": Number(0, 1000, is_above=True, is_optional=True),
    "stop_above": Number(0, is_above=True, is_optional=True),
    "label_above": Number(0, is_above=True, is_optional=True),
}
"""What the numeric settings of molecular dynamics may be."""

STRAIN_SWITCH = Number(0, 1, is_whole=True)
"""Each number of a mask."""

INDEX = Number(0, is_whole=True)
"""Index of an atom."""

MILLER_INDEX = Number(-99, 99, is_whole=True)
LENGTH_FACTOR = Number(0.5, 2.0)
TEMPERATURE = Number(0, _HIGHEST_TEMPERATURE)


def require_settings(**settings: object) -> None:
    """Raise ``UserInputError`` unless each setting, by its name in `NUMBERS`, may have its value."""
    for name, value in settings.items():
        NUMBERS[name].require(name, value)
