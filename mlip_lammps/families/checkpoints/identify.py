"""What a file is that the reader does not take: the program that wrote it, and the next step for its user."""

from pathlib import Path
from typing import Any

from mlip_lammps.families.checkpoints.pickle_reader import PROGRAMS, Record, program_refusal

MLIAP = "mace.calculators.lammps_mliap_mace.LAMMPS_MLIAP_MACE"
_WRAPPING_MODULES = {
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "mace.calculators.lammps_mliap_mace.MACEEdgeForcesWrapper": "model",
}
"""Classes that contain a model, and its name among their submodules."""
_DEEPEST = 8
_COMPILED_SUFFIXES = ("_compiled.model", "-lammps.pt", "-mliap_lammps.pt", ".pt", ".pth", ".model")


def unwrap(root: Any) -> Any:
    """Return the model inside dictionaries ``{"model": model}`` and the wrappers of torch and mace-torch."""
    for _ in range(_DEEPEST):
        inner = _inner(root)
        if inner is None:
            break
        root = inner
    return root


def _inner(outer: Any) -> Record | None:
    found = None
    if isinstance(outer, dict):
        found = outer.get("model")
    elif isinstance(outer, Record) and isinstance(outer.state, dict):
        if outer.name == MLIAP:
            found = outer.state.get("model")
        elif outer.name in _WRAPPING_MODULES:
            modules = outer.state.get("_modules")
            found = modules.get(_WRAPPING_MODULES[outer.name]) if isinstance(modules, dict) else None
    if found is None and isinstance(outer, Record) and outer.name in _WRAPPING_MODULES and outer.args:
        found = outer.args[0]  # torch.compile stores its module as an argument
    return found if isinstance(found, Record) else None


def torchscript_refusal(path: Path, entries: list[str], version: str = "") -> str:
    """Return the refusal of a TorchScript archive.

    Parameters
    ----------
    entries
        Names of its zip entries.
    version
        Version of NequIP in the archive, if there is one.
    """
    packages = {name.partition("/code/__torch__/")[2].partition("/")[0].removesuffix(".py") for name in entries}
    if "mace" in packages:
        return (
            f"{path} is a TorchScript archive of a MACE model, from which the trained model cannot be restored; "
            f"{_model_beside(path)}"
        )
    for package in PROGRAMS:
        if package in packages:
            return program_refusal(str(path), package, "TorchScript archive", version if package == "nequip" else "")
    return (
        f"{path} is a TorchScript archive, which does not contain the model's Python modules; "
        "give the .model file of mace-torch that it was made from"
    )


def _model_beside(path: Path) -> str:
    """Return where the trained model of a TorchScript archive usually is."""
    name = path.name
    suffix = next((suffix for suffix in _COMPILED_SUFFIXES if name.endswith(suffix)), "")
    stem = name.removesuffix(suffix)
    candidates = [stem if stem.endswith(".model") else f"{stem}.model"]
    candidates += [f"{stem}_stagetwo.model", f"{stem}_swa.model"]
    present = [one for one in candidates if one != name and (path.parent / one).is_file()]
    if present:
        return f"give the model that it was made from, probably {path.parent / present[0]}"
    usual = next(one for one in candidates if one != name)
    return (
        f"give the .model file that mace_run_train wrote at its end, usually {usual} in the same folder or in the "
        "folder of the training"
    )


def dictionary_refusal(path: Path, content: dict) -> str:
    """Return the refusal of a file that contains a dictionary without a model."""
    keys = ", ".join(str(key)[:40] for key in list(content)[:3])
    shown = f"{path} contains a dictionary ({keys}, ...)"
    names = [str(name) for part in _parts(content) for name in part]
    if any(name.startswith(("interactions.0.", "module.interactions.0.")) for name in names):
        return (
            f"{shown}, that is, weights without a model, as mace_run_train keeps them in its checkpoints; give the "
            ".model file that it wrote at its end, or write it by running mace_run_train with the same settings and "
            "--restart_latest"
        )
    package = _package_of(content)
    if package in PROGRAMS:
        return program_refusal(str(path), package, "dictionary")
    return (
        f"{shown}, that is, weights without a model, and their names are those of no architecture "
        "that this package reads; give the file that the training program saves at its end, for MACE the .model file"
    )


def _parts(content: dict) -> list[dict]:
    """Return the dictionary and the dictionaries in it in which programs store weights."""
    inner = [content.get(name) for name in ("model", "state_dict", "model_state_dict", "params")]
    inner += [one.get("state_dict") for one in inner if isinstance(one, dict)]
    return [content, *(one for one in inner if isinstance(one, dict))]


def _package_of(content: dict) -> str:
    for part in _parts(content):
        module = part.get("@module")
        if isinstance(module, str):
            return module.partition(".")[0]
        names = [str(name) for name in part]
        if any("alignn_layers" in name for name in names):
            return "alignn"
        if any(".atomic_model.descriptor." in name for name in names):
            return "deepmd"
        if "model_args" in part and "state_dict" in part:
            return "chgnet"
    return ""
