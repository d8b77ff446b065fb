"""Tests that ``make slow`` runs: variants whose like ``make test`` or ``make architectures`` runs already.

Most of them compile a model, which takes half a minute. Each file keeps at least one test of the kind, or a comment
names the tests that protect it instead.
"""

from collections.abc import Iterable

COMPILED = "test_the_compiled_model_equals_the_reference"
LAMMPS = "test_lammps_equals_ase"
LAMMPS_REFERENCE = "test_lammps_equals_the_reference"

SLOW: dict[str, tuple[str, ...]] = {
    "test_ace.py": (
        *(
            f"test_every_kind_of_potential_passes_the_checks_of_the_export[{name}]"
            for name in ("one_cutoff", "zbl", "inner_distance", "linear")
        ),
        *(
            f"test_the_kernels_equal_the_reference[{name}-{radial}]"
            for name in ("zbl", "inner_distance", "linear") for radial in ("table", "exact")
        ),
        "test_the_compiled_file_equals_the_library[many_cutoffs]",
        *(f"{LAMMPS_REFERENCE}[many_cutoffs-{n}]" for n in (1, 2, 4)),
    ),
    "test_ani.py": ("test_an_ensemble_of_the_size_of_ani_passes_the_check_of_the_export",),
    "test_bpnn.py": ("test_some_elements_give_the_same_energies",),
    "test_charge.py": (
        "test_other_precisions_and_exact_radial_functions_pass_the_check",
        *(f"{COMPILED}[{kind}]" for kind in ("nonlinear", "numbers")),
        *(f"{LAMMPS}[{kind}-{n}]" for kind in ("nonlinear-info3", "numbers-info2") for n in (1, 2)),
        *(f"test_keywords_that_a_model_does_not_take_stop_all_ranks[no spin-{n}]" for n in (1, 2)),
    ),
    "test_chgnet.py": ("test_a_model_without_norms_passes_the_check_of_the_export",),
    "test_conductivity.py": ("test_the_command_computes_the_conductivity_of_silicon",),
    "test_consistency.py": ("test_an_export_whose_programs_share_a_library_is_not_written",),
    "test_dynamics.py": (
        *(f"test_a_killed_run_leaves_no_process_and_continues_bit_for_bit[{name}]" for name in ("mpiexec", "a rank")),
        *(
            f"test_a_run_continues_bit_for_bit_from_any_good_restart_file[{name}]"
            for name in (
                "tilted-{'ensemble': 'nve'}", "tilted-{'thermostat': 'langevin'}", "tilted-{'thermostat': 'csvr'}",
                "tilted-{'temperature_end': 500.0}", "crystal-{'temperature_end': 500.0}",
                "tilted-{'ensemble': 'npt', 'barostat': 'aniso', 'thermostat': 'csvr'}",
                "crystal-{'ensemble': 'npt', 'barostat': 'tri', 'pressure_gpa': 1.0, 'pressure_end_gpa': 2.0}",
                "crystal-{'thermostat': 'csvr'}",
            )
        ),
    ),
    # compiling its programs takes two minutes; test_esen.py traces them, and test_charge.py gives LAMMPS a charge
    "test_esen.py": (
        "test_the_calculator_gives_the_results_of_fairchem", LAMMPS_REFERENCE, "test_lammps_takes_charge_and_spin",
        "test_a_charge_that_the_model_does_not_know_is_refused", "test_the_file_states_head_charge_and_spin",
    ),
    "test_examples.py": tuple(
        f"test_an_example_prints_its_result[{name}]"
        for name in (
            "05_phonons", "07_adsorption", "09_reaction_path", "11_silicon_pressure", "12_liquid_surface",
            "13_fine_tuning",
        )
    ),
    "test_exact_radial.py": (
        *(
            f"test_messages_and_their_adjoints_equal_the_torch_operators[{name}]"
            for name in (
                "wide-float64", "wide-mixed", "odd-float64", "odd-mixed", "half-float64", "half-mixed", "two-float64",
            )
        ),
        *(
            f"test_networks_of_any_form_equal_the_torch_operators[{name}]"
            for name in (
                "odd-True", "one-True", "one-False", "none-True", "none-False", "two whole-False",
                "none, cutoff on the basis-False",
            )
        ),
        *(
            f"test_hidden_functions_have_exact_slopes_and_are_zero_from_the_cutoff_on[{name}]"
            for name in ("two whole", "one", "none, cutoff on the basis")
        ),
        *(
            f"test_networks_written_for_another_processor_equal_the_torch_operators[{name}]"
            for name in ("float64-long", "mixed-short")
        ),
    ),
    "test_export.py": ("test_other_precisions_agree_within_their_tolerances[one_layer-float32]",),
    # test_ani.py compiles another family of one layer
    "test_families.py": (
        "test_the_export_of_another_family_has_no_words_of_mace",
        *(f"{name}[lennard-jones]" for name in ("test_a_file_is_read_by_its_family", "test_ase_equals_the_reference")),
        *(f"{LAMMPS_REFERENCE}[lennard-jones-{n}]" for n in (1, 2, 4)),
    ),
    "test_gpu_kernels.py": (
        *(f"test_every_kernel_compiles_without_spills[{name}]" for name in ("80-mixed", "90-float64", "100-mixed")),
        "test_every_kernel_equals_the_reference[two slices, l_max 3]",
    ),
    "test_interactions.py": ("test_a_registered_block_goes_from_the_file_to_the_compiled_model[cpu]",),
    "test_kernels.py": (
        *(
            f"test_convolution_and_its_adjoint_equal_the_reference[{name}]"
            for name in ("wide-float64", "odd-float64", "odd-mixed", "half-float64", "half-mixed")
        ),
        *(f"test_contraction_and_its_adjoint_equal_the_reference[{name}-float64]" for name in ("wide", "half", "two")),
    ),
    "test_latent_ewald.py": ("test_mixed_precision_stays_close_to_the_reference",),
    "test_m3gnet.py": (
        "test_the_calculator_gives_the_results_of_matgl[smooth]", "test_the_file_has_no_angles[smooth]",
        *(f"{LAMMPS_REFERENCE}[smooth-{n}]" for n in (1, 2, 4)),
    ),
    # its programs are compiled from the same building blocks as those of test_chgnet.py
    "test_matgl_chgnet.py": (
        "test_the_calculator_gives_the_results_of_matgl", LAMMPS_REFERENCE,
        "test_fix_pair_returns_the_magnetic_moments", "test_an_atom_with_too_many_bonds_stops_all_ranks",
        "test_the_file_states_bonds_moments_and_steps",
        "test_a_model_without_moments_and_norms_passes_the_check_of_the_export",
        *(f"test_three_layers_on_ranks_equal_the_reference[{n}]" for n in (1, 2, 4)),
    ),
    "test_nequip.py": (
        *(
            f"test_a_compiled_file_gives_the_results_of_nequip[{name}]"
            for name in ("averages", "two_orders", "packaged")
        ),
        *(f"{LAMMPS_REFERENCE}[{n}-packaged]" for n in (1, 2, 4)),
        "test_the_network_on_every_edge_gives_the_results_of_nequip",
    ),
    # test_variants.py compiles two models with a repulsion
    "test_pair_repulsion.py": (
        COMPILED, "test_lammps_on_two_ranks_equals_ase",
        "test_tables_may_change_more_where_atoms_are_closer_than_a_bond",
    ),
    "test_pair_tables.py": (
        "test_a_file_for_all_elements_has_the_kinds_of_all_pairs[nonlinear]",
        "test_a_file_for_all_elements_gives_the_energies_of_one_for_few",
        "test_lammps_makes_the_tables_of_the_named_elements[nonlinear]",
        "test_tables_of_more_than_4_gb_are_refused_before_they_are_made[nonlinear]",
        "test_verify_passes_on_two_ranks_with_some_of_the_elements",
    ),
    "test_readouts.py": tuple(
        f"test_compiled_readouts_give_the_energies_and_forces_of_the_reference[{name}]"
        for name in ("tanh-cpu", "abs-cpu", "none-cpu", "biased-cpu", "last-cpu", "last-emulated")
    ),
    # its programs are compiled from the same building blocks as those of test_nequip.py
    "test_sevennet.py": (
        "test_a_compiled_file_gives_the_results_of_package", LAMMPS_REFERENCE,
        "test_the_ase_calculator_gives_energy_forces_and_stress",
        "test_the_network_on_every_edge_gives_the_results_of_package",
    ),
    "test_tensornet.py": (
        "test_the_calculator_gives_the_results_of_matgl[with_dgl]",
        *(f"{LAMMPS_REFERENCE}[with_dgl-{n}]" for n in (1, 2, 4)),
        "test_the_radial_functions_are_tables[with_dgl]",
    ),
    "test_variants.py": (
        *(
            f"{COMPILED}[{kind}]"
            for kind in ("density", "edge_irreps", "uneven_edge_irreps", "nonlinear", "attention_three_layers")
        ),
        *(f"{LAMMPS}[attention_three_layers-{n}]" for n in (1, 2)),
        "test_a_choice_of_elements_in_another_order_gives_the_same_energies",
        *(
            f"test_exact_radial_functions_of_pairs_run_in_the_kernels[{kind}]"
            for kind in ("density_soft", "nonlinear_foundation", "nonlinear_without_hidden_layers")
        ),
        *(
            f"test_kernels_of_element_pairs_equal_the_torch_operators[nonlinear_without_hidden_layers-{name}]"
            for name in ("dtype0-True", "dtype1-True", "dtype0-False", "dtype1-False")
        ),
        *(
            f"test_exact_functions_of_element_pairs_equal_the_torch_operators[{name}]"
            for name in (
                "density_soft-dtype0-True", "density_soft-dtype1-True", "density_soft-dtype0-False",
                "density_soft-dtype1-False", "density_agnesi-dtype0-True", "density_agnesi-dtype0-False",
                "density_agnesi-dtype1-True", "density_agnesi-dtype1-False", "nonlinear_foundation-dtype0-False",
                "nonlinear_foundation-dtype1-True",
            )
        ),
        *(
            f"test_kernels_of_element_pairs_equal_the_torch_operators[density_{name}]"
            for name in (
                "soft-dtype0-True", "soft-dtype1-True", "soft-dtype0-False", "soft-dtype1-False", "agnesi-dtype1-False",
            )
        ),
    ),
    # the reference reads the same weights, and test_export.py compiles a model that mace-torch has saved
    "test_versions_of_mace_torch.py": ("test_the_calculator_gives_the_results_of_the_version_that_saved_the_file",),
}
"""Names of tests by file, with their parameters; a name alone means all parameters."""


def is_slow(file: str, name: str) -> bool:
    """Return whether a test of a file is in the list."""
    return any(_names(entry, name) for entry in SLOW.get(file, ()))


def unknown(file: str, names: Iterable[str]) -> list[str]:
    """Return the entries of a file that name none of its tests."""
    names = list(names)
    return [entry for entry in SLOW.get(file, ()) if not any(_names(entry, name) for name in names)]


def _names(entry: str, name: str) -> bool:
    return name == entry or name.startswith(f"{entry}[")
