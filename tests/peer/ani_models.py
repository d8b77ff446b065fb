"""Create small ANI models and evaluate ANI files with TorchANI in float64; runs in TorchANI's interpreter.

Usage: ``python ani_models.py create FOLDER`` writes ``NAME.pt`` with random weights for each model, and
``python ani_models.py evaluate FOLDER`` writes ``NAME.npz`` (structures and results) for each case of ``ani_files.py``.
The folder ``tests/data/ani`` was made with both commands by TorchANI 2.9.0.
"""

import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sevennet_models import structures

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ani_files import CASES, MODELS, N_MEMBERS, SMALL, STATE_DICTS, file_of


def create(folder: Path) -> None:
    """Write ``NAME.pt`` for each model of ``MODELS``."""
    import torch
    from torchani.aev import ANIAngular, ANIRadial
    from torchani.arch import Assembler
    from torchani.nn import ANINetworks
    from torchani.potentials import RepulsionXTB

    for name in MODELS:
        torch.manual_seed(3)
        is_gelu = name == "gelu"
        symbols = ("H", "C", "O") if is_gelu else ("O", "H", "N")
        maker = Assembler(symbols)
        maker.set_global_cutoff_fn("smooth" if is_gelu else "cosine")
        maker.set_aev_computer(
            radial=ANIRadial.cover_linearly(cutoff=4.6, eta=6.0, num_shifts=4),
            angular=ANIAngular.cover_linearly(cutoff=3.3, eta=3.0, num_shifts=2, num_sections=3),
        )
        options = {"dims": SMALL, "bias": not is_gelu, "activation": name}
        maker.set_atomic_networks(ANINetworks, "build", options)
        maker.set_self_energies({symbol: -0.5 - 0.25 * k for k, symbol in enumerate(symbols)})
        if is_gelu:
            maker.add_potential(RepulsionXTB, "repulsion_xtb", cutoff=5.0)
        model = maker.assemble(3 if is_gelu else 1).to(torch.float64 if is_gelu else torch.float32)
        for parameter in model.parameters():
            parameter.data.mul_(3.0)
        if is_gelu:
            model.set_active_members([0, 2])
        torch.save(model, folder / f"{name}.pt")


def model_of(case: str, path: Path) -> tuple[object, tuple[str, ...]]:
    """Return the model of a file as TorchANI reads it, and its elements."""
    import torch
    from torchani import neurochem
    from torchani.arch import ANI, Assembler, simple_ani

    if case in MODELS:
        model = torch.load(path, weights_only=False)
        return model, model.symbols
    if case == "neurochem":
        computer, symbols = neurochem.load_aev_computer_and_symbols(path.parent / "ani" / "rHCNO.params")
        energies = neurochem.load_sae(path.parent / "ani" / "sae_linfit.dat")
        words = [line.partition("=")[2] for line in (path.parent / "ani" / "sae_linfit.dat").open()]
        # TorchANI rounds them to float32
        energies.self_energies = torch.tensor([float(word) for word in words], dtype=torch.float64)
        networks = neurochem.load_ensemble(symbols, path.parent / "ani" / "train", N_MEMBERS)
        return ANI(symbols, computer, networks, energies), symbols
    symbols = tuple(STATE_DICTS[case]["widths"])
    if case == "ani2xr":
        model = simple_ani(symbols, "wb97x-631gd", ensemble_size=N_MEMBERS)
    else:
        maker = Assembler(symbols)
        maker.set_atomic_networks(ctor=case)
        maker.set_global_cutoff_fn("cosine")
        maker.set_aev_computer(angular=case, radial=case)
        maker.set_zeros_as_self_energies()
        model = maker.assemble(N_MEMBERS)
    missing, unexpected = model.load_state_dict(torch.load(path), strict=False)
    constant = ("atomic_numbers", "conv_tensor", "triu_index")
    if unexpected or not all(name.rpartition(".")[2] in constant for name in missing):
        raise RuntimeError(f"{case}: {missing} {unexpected}")
    return model, symbols


def evaluate(folder: Path) -> None:
    """Write ``NAME.npz`` for each case: structures, energies, forces and stresses."""
    import torch

    for case in CASES:
        with TemporaryDirectory() as scratch:
            model, symbols = model_of(case, file_of(case, Path(scratch)))
        stored = {}
        model = model.to(torch.float64)
        for number, atoms in enumerate(structures(list(symbols))):
            for part in ("numbers", "positions", "pbc"):
                stored[f".{number}.{part}"] = getattr(atoms, part)
            stored[f".{number}.cell"] = atoms.cell.array
            atoms.calc = model.ase()
            stored |= {f".{number}.energy": atoms.get_potential_energy(), f".{number}.forces": atoms.get_forces()}
            if atoms.pbc.all():
                stored[f".{number}.stress"] = atoms.get_stress()
        np.savez_compressed(folder / f"{case}.npz", **stored)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    {"create": create, "evaluate": evaluate}[sys.argv[1]](Path(sys.argv[2]))
