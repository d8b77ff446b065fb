"""Profile of a step on the GPU: each operation compared with the limits of memory and arithmetic."""

import re
from dataclasses import asdict, dataclass

from benchmarks.common import markdown_table
from benchmarks.gpu_counts import PER_LIST, Work, check_counts, open_counter
from benchmarks.gpu_lammps import TimedRun, profile_environment, run_lammps
from benchmarks.gpu_models import Context, box, elements_of, pairs_of_an_atom, speed_model
from mlip_lammps.families import read_model
from mlip_lammps.families.mace import lower
from mlip_lammps.kernels.lowered import LoweredModel

CASES = (("medium", "mixed", 11), ("small", "mixed", 11), ("water-revpbe0d3", "mixed", 4), ("medium", "float64", 11))
_EMULATED = (("small", "mixed", 1), ("water-revpbe0d3", "float64", 1))
_EMPTY = "edges forget_closest"
_SKIN = 2.0
_SHOWN = 24
_LINE = re.compile(r"^(\S+ .*?)\s+(\d+)\s+([\d.]+)\s+([\d.]+) %$")
NOTE = """With `MLIP_LAMMPS_GPU_PROFILE=1` the engine times each operation separately; the time of an empty operation is
subtracted. Memory: the bytes that an operation must move, divided by the bandwidth of a large copy. Arithmetic: its
floating-point operations, divided by the rate of a large matrix product. Both use the limits measured above and are
given as fractions of the time. Floor: the larger of the two. Operations on arrays in the GPU's cache can be faster than
the memory limit.
{counts}"""
HEADINGS = ("operation", "calls", "us", "of the sum", "MB", "GFLOP", "memory", "arithmetic", "floor / time")


@dataclass(frozen=True)
class Spent:
    """Time of one kind of operation in a step, summed over its calls, less the cost of empty operations."""

    work: Work
    microseconds: float


def measure_profiles(context: Context) -> None:
    """Profile every case within the time limit."""
    for model, dtype, repeats in _EMULATED if context.is_emulated else CASES[: 1 if context.is_quick else None]:
        name = speed_model(context, model)
        if (name, dtype) not in context.files or context.seconds_left < 30.0:
            context.report.leave_out(f"profile of {name} in {dtype}", "no model file, or no time left")
            continue
        context.report.attempt(
            f"profile {name} {dtype}", lambda args=(name, dtype, model, repeats): _profile(context, *args)
        )


def _profile(context: Context, name: str, dtype: str, model: str, repeats: int) -> None:
    file, atoms, elements = context.files[name, dtype], box(model, repeats), elements_of(context, name, dtype)
    n_steps = 2 if context.is_emulated else 60
    options = {"warm_up": 2 if context.is_emulated else 10}
    plain = run_lammps(file, atoms, elements, n_steps, context.scratch, **options)
    run = run_lammps(
        file, atoms, elements, n_steps, context.scratch, n_runs=1, is_loaded_twice=True,
        environment=profile_environment(), **options,
    )  # fmt: skip
    lowered = lower(read_model(context.sources[name]))
    works = open_counter(file, lowered, _sizes(lowered, atoms, model, run)).works()
    spent, empty, of_lists = read_profile(run.errors, works)
    total = sum(one.microseconds for one in spent)
    text = [NOTE.format(counts=_check(lowered))]
    rows, numbers = _rows(context.limits, spent, total)
    text.append(markdown_table(HEADINGS, rows))
    floors = sum(number["floor_us"] or 0.0 for number in numbers)
    share = 0.01 * plain.shares["Pair"] * plain.median * 1e3
    text.append(
        f"A step takes {1e3 * plain.median:,.0f} us, {share:,.0f} of them in the pair style. The operations add up to "
        f"{total:,.0f} us ({100 * total / (1e3 * plain.median):.0f} % of the step), their floors to {floors:,.0f} us. "
        f"Waiting for an empty operation took {empty:.1f} us. Operations of new lists: {of_lists:.1f} us per step."
    )
    found = {
        "step_us": 1e3 * plain.median, "pair_us": share, "sum_us": total, "floor_us": floors, "empty_us": empty,
        "lists_us": of_lists, "operations": numbers, "errors": run.errors[-20000:] if not spent else "",
    }  # fmt: skip
    context.report.say(f"profile {name} {dtype}: step {1e3 * plain.median:.0f} us, operations {total:.0f} us")
    context.report.put(f"Profile: {name}, {dtype}, {plain.n_atoms:,} atoms", "\n\n".join(text), found)


def _check(lowered: LoweredModel) -> str:
    try:
        faults = check_counts(lowered)
    except Exception as error:  # the generator of the kernel source may have changed; the counts are then outdated
        return f"Counts were not checked against the source of the kernels: {error!r}."
    if faults:
        return "COUNTS DIFFER from the source of the kernels: " + "; ".join(faults) + "."
    return "Counts agree with the source of the kernels."


def _sizes(lowered: LoweredModel, atoms, model: str, run: TimedRun) -> dict[str, float]:
    """Return the sizes of the graph, with pairs counted in a smaller box of the same structure."""
    small = atoms if len(atoms) < 5000 else box(model, 5 if not model.startswith("water") else 2)
    cutoff, n = lowered.cutoff, run.n_atoms
    edges, slots = (n * pairs_of_an_atom(small, reach) for reach in (cutoff, cutoff + _SKIN))
    return {"local": n, "nodes": n, "atoms": n + run.n_ghost, "edges": edges, "slots": slots, "cells": 0}


def read_profile(output: str, works: list[Work]) -> tuple[list[Spent], float, float]:
    """Return the last profile in ``output`` for a step, the cost of an empty operation, and the share of the lists.

    Raises
    ------
    ValueError
        If ``output`` has no profile.
    """
    of_name = {work.name: work for work in works}
    lines = output.rpartition("mlip-lammps: operations on the GPU")[2].splitlines()
    # names are never truncated, but a long name may be close to its numbers
    calls = {m[1].strip(): (int(m[2]), float(m[3])) for line in lines if (m := _LINE.match(line.rstrip()))}
    known = {name: found for name, found in calls.items() if name in of_name}
    if not known:
        raise ValueError(f"no profile of the engine in the output of LAMMPS: {output[-1500:]!r}")
    per_step = [n / of_name[name].calls for name, (n, _) in known.items() if name.split()[0] == "last"]
    n_steps = max(per_step)
    empty = known[_EMPTY][1] if _EMPTY in known else 0.0
    spent, of_lists = [], 0.0
    for name, (n, each) in known.items():
        microseconds = n * max(0.0, each - empty) / n_steps
        if name.split()[0] in PER_LIST:
            of_lists += microseconds
        else:
            spent.append(Spent(of_name[name], microseconds))
    return sorted(spent, key=lambda one: -one.microseconds), empty, of_lists


def _rows(limits: dict[str, float], spent: list[Spent], total: float) -> tuple[list[tuple], list[dict]]:
    rows, numbers = [], []
    for one in spent:
        work, seconds = one.work, 1e-6 * one.microseconds
        memory = work.n_bytes / limits["bytes"] if limits else None
        arithmetic = None if work.flops is None or not limits else work.flops / limits[work.number]
        floor = None if memory is None else max(memory, arithmetic or 0.0)
        shares = [None if part is None or seconds <= 0 else part / seconds for part in (memory, arithmetic, floor)]
        measured = {"us": one.microseconds, "of_memory": shares[0], "of_arithmetic": shares[1]}
        numbers.append({**asdict(work), **measured, "floor_us": None if floor is None else 1e6 * floor})
        if len(rows) < _SHOWN:
            counted = "not counted" if work.flops is None else f"{work.flops / 1e9:.2f}"
            percents = ["-" if share is None else f"{100 * share:.0f} %" for share in shares]
            rows.append(
                (
                    work.name,
                    work.calls,
                    f"{one.microseconds:,.1f}",
                    f"{100 * one.microseconds / total:.1f} %" if total else "-",
                    f"{work.n_bytes / 1e6:,.1f}",
                    counted,
                    *percents,
                )
            )
    rest = spent[_SHOWN:]
    if rest:
        us = sum(one.microseconds for one in rest)
        share = f"{100 * us / total:.1f} %" if total else "-"
        rows.append((f"{len(rest)} others", "", f"{us:,.1f}", share, "", "", "", "", ""))
    return rows, numbers
