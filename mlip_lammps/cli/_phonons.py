"""The phonon command: relaxation, phonons, and what is computed on request."""

import argparse

import numpy as np
from ase import Atoms

from mlip_lammps.analysis.averages import Average
from mlip_lammps.analysis.crystal_plots import plot_against, plot_bands, plot_mode_spectra
from mlip_lammps.cli import options
from mlip_lammps.cli._run import Run, open_run
from mlip_lammps.workflows.crystals.conductivity import (
    LatticeConductivity,
    lattice_conductivity,
    require_phono3py,
)
from mlip_lammps.workflows.crystals.convergence import converge_supercell
from mlip_lammps.workflows.crystals.mode_spectra import ModeSpectra, mode_spectra
from mlip_lammps.workflows.crystals.phonons import Bands, Phonons, phonons
from mlip_lammps.workflows.crystals.quasi_harmonic import Gruneisen, QuasiHarmonic, gruneisen, quasi_harmonic

_TEMPERATURE_STEP = 10.0
_CONDUCTIVITY_TEMPERATURES = (100.0, 50.0)
"""First temperature and step in K; a harmonic crystal at 0 K conducts without limit."""


def run_phonons(arguments: argparse.Namespace) -> int:
    """Compute phonons; see the options of the command."""
    if arguments.anharmonic:
        require_phono3py()
    temperatures = np.arange(0.0, arguments.t_max + _TEMPERATURE_STEP / 2, _TEMPERATURE_STEP)
    with open_run(arguments, "phonons", [arguments.born] if arguments.born else []) as run:
        atoms = run.single() if arguments.no_relax else run.relaxed_crystal(**options.relaxation_of(arguments))
        shared = {
            "displacement": arguments.displacement,
            "symmetry_tolerance": arguments.symmetry_tolerance,
            "tasks": run.tasks,
        }
        steps, supercell = (), arguments.supercell
        if arguments.converge:
            steps = converge_supercell(atoms, run.calculator, supercell, **shared)
            supercell = steps[-1].supercell
        found = phonons(
            atoms,
            run.calculator,
            supercell,
            temperatures=temperatures,
            projects_dos=arguments.projected_dos,
            born_file=arguments.born,
            **shared,
        )
        found.write(run.folder.path)
        results = {"phonons": found}
        if steps:
            results["supercells"] = steps
        if arguments.qha:
            results["quasi_harmonic"] = quasi_harmonic(
                atoms, run.calculator, supercell, temperatures=temperatures, **shared
            )
        if arguments.gruneisen:
            results["gruneisen"] = gruneisen(atoms, run.calculator, supercell, **shared)
        if arguments.anharmonic:
            results["conductivity"] = _run_conductivity(run, atoms, supercell, arguments)
        if arguments.spectrum_temperature is not None:
            results["mode_spectra"] = _run_spectra(run, found, arguments)
        run.folder.write_results(results)
        _draw(run, found, results.get("quasi_harmonic"), results.get("gruneisen"))
        if steps:
            rows = [
                (" ".join(map(str, step.supercell)), step.n_atoms,
                 "" if step.largest_change_thz is None else f"{step.largest_change_thz:.3f}") for step in steps
            ]  # fmt: skip
            run.show_table(("supercell", "atoms", "largest change, THz"), rows)
        _show(run, found, results.get("quasi_harmonic"), results.get("gruneisen"))
        if arguments.anharmonic:
            _show_conductivity(run, results["conductivity"])
        if arguments.spectrum_temperature is not None:
            _show_spectra(run, results["mode_spectra"])
    return 0


def _run_conductivity(run: Run, atoms: Atoms, supercell: tuple | None, arguments: argparse.Namespace):
    first, step = _CONDUCTIVITY_TEMPERATURES
    found = lattice_conductivity(
        atoms,
        run.calculator,
        supercell,
        mesh=arguments.mesh,
        n_snapshots=arguments.snapshots,
        temperatures=np.arange(min(first, arguments.t_max), arguments.t_max + step / 2, step),
        symmetry_tolerance=arguments.symmetry_tolerance,
        tasks=run.tasks,
    )
    found.write(run.folder.path)
    panels = {"conductivity (W/m/K)": found.mean_w_per_m_k}
    plot_against(run.folder.path / "conductivity.png", found.temperatures, panels, "temperature (K)")
    return found


def _run_spectra(run: Run, phonons: Phonons, arguments: argparse.Namespace) -> ModeSpectra:
    found = mode_spectra(
        phonons,
        run.calculator,
        run.folder.path / f"dynamics-{arguments.spectrum_temperature:g}K",
        temperature=arguments.spectrum_temperature,
        run_ps=arguments.spectrum_time,
        n_ranks=arguments.ranks,
        report=run.tasks.report,
    )
    points: dict[str, tuple[np.ndarray, list[float], list[float]]] = {}
    for mode in found.modes:
        total, harmonic, fitted = points.setdefault(_point(mode.q_point), (0.0 * found.frequency_thz, [], []))
        total += mode.degeneracy * mode.power
        harmonic.append(mode.harmonic_thz)
        fitted.append(mode.freq_thz.mean)
    title = f"spectra of modes at q-points, {found.temperature:g} K"
    plot_mode_spectra(run.folder.path / "spectra.png", found.frequency_thz, points, title)
    return found


def _point(q_point: np.ndarray) -> str:
    return " ".join(f"{q:.3g}" for q in q_point)


def _show_spectra(run: Run, found: ModeSpectra) -> None:
    def show(average: Average) -> str:
        return f"{average.mean:.3f} ± {average.error:.3f}"

    rows = [
        (_point(mode.q_point), mode.degeneracy, f"{mode.harmonic_thz:.3f}", show(mode.freq_thz), show(mode.width_thz))
        for mode in found.modes
    ]
    names = ("q-point", "modes", "harmonic, THz", f"at {found.temperature:g} K, THz", "width, THz")
    run.show_table(names, rows)


def _show_conductivity(run: Run, found: LatticeConductivity) -> None:
    k = int(np.abs(found.temperatures - 300.0).argmin())
    axes = ", ".join(f"{value:.2f}" for value in found.conductivity_w_per_m_k[k, :3])
    run.show_facts({
        f"conductivity, {found.temperatures[k]:g} K": f"{axes} W/m/K along x, y, z with {found.n_displacements} "
                                                      f"displacements and {' '.join(map(str, found.mesh))} q-points",
    })  # fmt: skip


def _draw(run: Run, found: Phonons, expansion: QuasiHarmonic | None, parameters: Gruneisen | None) -> None:
    folder, bands = run.folder.path, found.bands
    title = f"{found.primitive.get_chemical_formula(empirical=True)}, {found.space_group}"
    dos = found.dos_thz, found.dos
    plot_bands(folder / "bands.png", _lines(bands), dos, parts=found.element_dos or {}, title=title)
    thermal = found.thermal
    panels = {
        "free energy (kJ/mol)": thermal.free_energy_kj_per_mol,
        "entropy (J/K/mol)": thermal.entropy_j_per_k_mol,
        "heat capacity (J/K/mol)": thermal.heat_capacity_j_per_k_mol,
    }
    plot_against(folder / "thermal.png", thermal.temperatures, panels, "temperature (K)")
    if expansion is not None:
        panels = {
            "volume (Å³)": expansion.volume,
            "expansion (1e-6/K)": 1e6 * expansion.expansion_per_k,
            "bulk modulus (GPa)": expansion.bulk_modulus_gpa,
        }
        plot_against(folder / "expansion.png", expansion.temperatures, panels, "temperature (K)")
    if parameters is not None:
        lines = [
            (labels, distances, values)
            for (labels, _, _), distances, values in zip(
                _lines(bands), parameters.distances, parameters.parameters, strict=True
            )
        ]
        plot_bands(folder / "gruneisen.png", lines, title=title, y_label="Grüneisen parameter", has_dots=True)


def _lines(bands: Bands) -> list[tuple]:
    return list(zip(bands.labels, bands.distances, bands.freq_thz, strict=True))


def _lengths(expansion: QuasiHarmonic, temperature: float) -> dict[str, str]:
    """Return the lengths of the cell vectors if they are not equal."""
    if expansion.cell_lengths is None or np.ptp(expansion.cell_lengths[0]) < 1e-6:
        return {}
    lengths = [np.interp(temperature, expansion.temperatures, one) for one in expansion.cell_lengths.T]
    return {f"cell vectors, {temperature:g} K": " ".join(f"{one:.4f}" for one in lengths) + " Å"}


def _show(run: Run, found: Phonons, expansion: QuasiHarmonic | None, parameters: Gruneisen | None) -> None:
    thermal = found.thermal
    points: dict[str, np.ndarray] = {}
    for labels, values in zip(found.bands.labels, found.bands.freq_thz, strict=True):
        points.setdefault(labels[0], values[0])
        points.setdefault(labels[1], values[-1])
    run.show_table(
        ("point", "frequencies, THz"), [(name, " ".join(f"{f:.2f}" for f in row)) for name, row in points.items()]
    )
    curves = (thermal.free_energy_kj_per_mol, thermal.entropy_j_per_k_mol, thermal.heat_capacity_j_per_k_mol)
    shown_at = min(300.0, float(thermal.temperatures[-1]))
    room = [float(np.interp(shown_at, thermal.temperatures, values)) for values in curves]
    run.show_facts({
        "space group": f"{found.space_group}, atoms moved by at most {found.largest_shift:.1g} Å",
        "supercell": f"{' '.join(map(str, found.supercell))}, {len(found.phonopy.supercell)} atoms, "
                     f"{found.n_displacements} displacements",
        "numerical error": f"sum rule {found.residuals.sum_rule:.1e}, symmetry {found.residuals.symmetry:.1e} of "
                           f"{found.residuals.largest:.3g} eV/Å²",
        "zero-point energy": f"{1e3 * thermal.zero_point_energy:.2f} meV per primitive cell",
        f"at {shown_at:g} K": "free energy {:.3f} kJ/mol, entropy {:.3f}, heat capacity {:.3f} J/K/mol".format(*room),
    })  # fmt: skip
    if found.residuals.are_large:
        run.console.print(
            "the force constants contradict each other by the numerical error above, so the forces jump within the "
            "displacements, as where neighbours lie at a cutoff that the model does not smooth; imaginary modes may "
            "come from this: try another --displacement, and see mlip-lammps verify",
            style="bold yellow",
        )
    if expansion is not None:
        shown_at = min(300.0, float(expansion.temperatures[-1]))
        at = expansion.at(shown_at)
        run.show_facts({
            f"quasi-harmonic, {shown_at:g} K": f"volume {at['volume']:.4f} Å³, "
                                     f"expansion {1e6 * at['expansion_per_k']:.2f}e-6/K, "
                                     f"bulk modulus {at['bulk_modulus_gpa']:.2f} GPa",
            "": f"Gibbs energy {at['gibbs']:.5f} eV, heat capacity {at['heat_capacity_j_per_k_mol']:.3f} J/K/mol, "
                f"Grüneisen parameter {at['gruneisen_parameter']:.3f}",
            **_lengths(expansion, shown_at),
        })  # fmt: skip
    if parameters is not None:
        run.show_facts({"mean Grüneisen parameter, 300 K": f"{parameters.mean_300_k:.3f}"})
    for number, mode in enumerate(found.imaginary, start=1):
        run.folder.write_structures(f"imaginary-{number}", mode.structure)
        run.console.print(
            f"imaginary mode: {mode.freq_thz:.2f} THz at q = {' '.join(f'{q:.3f}' for q in mode.q_point)}; its "
            f"displacements are in imaginary-{number}.extxyz",
            style="bold yellow",
        )
    if not found.is_stable:
        run.console.print("thermal properties leave out imaginary modes", style="yellow")
    if not found.imaginary and not found.is_stable:
        run.console.print(
            f"the lowest frequency on the path is {found.bands.lowest_thz:.2f} THz, interpolated between points that "
            "are stable; test a larger supercell with --converge",
            style="bold yellow",
        )
