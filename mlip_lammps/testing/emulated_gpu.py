"""Model files for a GPU that is emulated on this CPU, made in seconds: neither NVRTC nor a GPU is needed."""

from pathlib import Path
from tempfile import TemporaryDirectory

from ase.data import chemical_symbols

from mlip_lammps.checkpoint import TrainedModel
from mlip_lammps.export.archive import add_member, add_metadata
from mlip_lammps.export.contract import FORMAT_VERSION
from mlip_lammps.export.gpu_compilation import EMULATED_PATH, compile_for_gpu
from mlip_lammps.export.gpu_model import with_padded_channels
from mlip_lammps.export.layers import PRECISIONS
from mlip_lammps.export.lowering import lower
from mlip_lammps.export.min_distances import min_distances


def write_emulated(trained: TrainedModel, output: Path, dtype: str = "float64") -> Path:
    """Write a model file that LAMMPS, ASE and ``CompiledModel`` run with the kernels of a GPU, slowly.

    Parameters
    ----------
    output
        File to write.
    dtype
        ``float64``, ``float32`` or ``mixed``.

    Returns
    -------
    Path
        ``output``.

    Notes
    -----
    ``export_model(..., device="emulated")`` writes the same, and compares it with the reference first. This function
    does not, so that tests can hold kernels with a planted fault to the reference themselves.
    """
    lowered = lower(trained)
    elements = [chemical_symbols[z] for z in lowered.atomic_numbers]
    distances = min_distances(elements)
    with TemporaryDirectory(dir=output.parent) as scratch:
        compiled = compile_for_gpu(
            lowered, PRECISIONS[dtype].features, distances, (), output, Path(scratch), lambda line: None
        )
        add_member(output, EMULATED_PATH, compiled.emulated.read_bytes())
    padded, spec = with_padded_channels(lowered), trained.spec
    add_metadata(
        output,
        {
            "format_version": FORMAT_VERSION,
            "build_id": compiled.emulated.stem,
            "source": {"name": trained.source_name, "sha256": trained.source_sha256},
            "model_class": spec.model_class,
            "heads": list(spec.heads),
            "head": spec.heads[0],
            "elements": elements,
            "cutoff": spec.cutoff,
            "n_layers": spec.n_layers,
            "feature_widths": list(padded.feature_widths),
            "skip_widths": list(padded.skip_widths),
            "message_widths": list(padded.message_widths),
            "dtype": dtype,
            "device": "cuda",
            "min_distances": distances,
            **compiled.record,
        },
    )
    return output
