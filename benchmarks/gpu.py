"""Check and time GPU model files on the GPU of this machine, in less than ten minutes.

    make gpu
    python -m benchmarks.gpu [--quick] [--out benchmarks/results] [--parts limits parity targets profile peer]

Parts: ``limits`` (bandwidth and arithmetic of the GPU), ``parity`` (comparison with the reference in float64, through
Python and LAMMPS), ``targets`` (whole LAMMPS steps), ``profile`` (each operation compared with the limits of the GPU),
``peer`` (mace-torch on the same GPU). A failed part does not stop the others. Results are written to ``gpu_CARD.md``
and ``gpu_CARD.json`` as soon as they are available. Without a GPU the script exits with code 2.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu_card import card_facts, has_gpu, measure_limits
from benchmarks.gpu_models import Context, export_all, find_sources
from benchmarks.gpu_parity import measure_parity
from benchmarks.gpu_peer import measure_peer
from benchmarks.gpu_profile import measure_profiles
from benchmarks.gpu_report import Report
from benchmarks.gpu_targets import measure_targets

PARTS = {"parity": measure_parity, "targets": measure_targets, "profile": measure_profiles, "peer": measure_peer}
_NO_GPU = (
    "no GPU found; on a machine with a GPU, this script compares GPU files with the reference, times LAMMPS and "
    "mace-torch, and writes gpu_CARD.md and gpu_CARD.json to {out}"
)


def add_limits(context: Context) -> None:
    """Measure the bandwidth and the arithmetic rate of the GPU."""
    context.limits = context.report.attempt("limits of the card", measure_limits) or {}
    if not context.limits:
        text = "Left out: this torch has no CUDA, so shares of the limits are not known below."
    else:
        text = (
            f"A copy of 1 GiB moves {context.limits['bytes'] / 1e12:.2f} TB/s, read and written together; a large "
            f"matrix product reaches {context.limits['float32'] / 1e12:.1f} TFLOP/s in float32 (no TF32) and "
            f"{context.limits['float64'] / 1e12:.1f} TFLOP/s in float64 (on tensor cores, where the card has them)."
        )
    context.report.put("Limits of the card", text, context.limits)
    context.report.say(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sizes and shorter runs: about three minutes")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="default: benchmarks/results")
    parts = ["limits", *PARTS]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts, help="default: all")
    parser.add_argument("--seconds", type=float, default=560.0, help="time limit of new measurements (default: 560)")
    parser.add_argument("--emulated", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.emulated and not has_gpu():
        print(_NO_GPU.format(out=arguments.out))
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m benchmarks.gpu", *sys.argv[1:]])
    report = Report(arguments.out, card_facts(), command)
    report.say(", ".join(f"{key} {value}" for key, value in report.facts.items()))
    with tempfile.TemporaryDirectory(prefix="mlip-lammps-gpu-") as scratch:
        context = Context(
            scratch=Path(scratch),
            report=report,
            ends=time.monotonic() + arguments.seconds,
            is_quick=arguments.quick,
            is_emulated=arguments.emulated,
        )
        if "limits" in arguments.parts:
            add_limits(context)
        report.attempt("models", lambda: find_sources(context))
        report.attempt("exports", lambda: export_all(context))
        for name, measure in PARTS.items():
            if name in arguments.parts:
                report.attempt(name, lambda measure=measure: measure(context))
    report.say(f"written: {report.path} and {report.path.with_suffix('.json').name}")
    has_failed = "What failed" in report.numbers or any("FAILED" in text for text in report.texts.values())
    return 1 if has_failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
