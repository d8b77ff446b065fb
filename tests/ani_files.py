"""ANI potentials with random weights in the file formats of TorchANI and NeuroChem; TorchANI need not be installed."""

import bz2
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "data" / "ani"
WIDTHS_1X = {"H": (160, 128, 96), "C": (144, 112, 96), "N": (128, 112, 96), "O": (128, 112, 96)}
WIDTHS_2X = {"H": (256, 192, 160), "C": (224, 192, 160), "N": (192, 160, 128), "O": (192, 160, 128)}
WIDTHS_2X |= {"S": (160, 128, 96), "F": (160, 128, 96), "Cl": (160, 128, 96)}
SMALL = {"H": (8, 6), "C": (6, 7), "N": (9, 5), "O": (8, 6)}
STATE_DICTS = {
    "ani1x": {"widths": WIDTHS_1X, "start": 0.9, "cutoff": 5.2, "etas": (16.0, 8.0, 32.0), "counts": (16, 4, 8)},
    "ani2x": {"widths": WIDTHS_2X, "start": 0.8, "cutoff": 5.1, "etas": (19.7, 12.5, 14.1), "counts": (16, 8, 4)},
    "ani2xr": {"widths": WIDTHS_2X, "start": 0.9, "cutoff": 5.2, "etas": (19.7, 12.5, 14.1), "counts": (16, 8, 4)},
}
N_MEMBERS = 2
MODELS = ("gelu", "celu")
"""Files of ``torch.save(model)`` in ``tests/data/ani``, by their activation function."""
CASES = (*STATE_DICTS, "neurochem", *MODELS)


def file_of(case: str, folder: Path) -> Path:
    """Return the file of a case; all but the committed ones are written to ``folder``."""
    if case in MODELS:
        return FOLDER / f"{case}.pt"
    return write_neurochem(folder) if case == "neurochem" else write_state_dict(folder / f"{case}.pt", case)


def numbers_of(case: str) -> dict[str, np.ndarray]:
    """Return a state dict of a published architecture with random weights, by the names of TorchANI 2."""
    one = STATE_DICTS[case]
    rng, symbols = np.random.default_rng(7), list(one["widths"])
    n_radial, n_shifts, n_sections = one["counts"]
    half = np.pi / n_sections / 2
    computer = "potentials.nnp.aev_computer."
    arrays = {
        "energy_shifter.self_energies": rng.uniform(-2.0, -0.5, size=len(symbols)),
        f"{computer}radial.eta": one["etas"][:1],
        f"{computer}radial.shifts": np.linspace(one["start"], one["cutoff"], n_radial, endpoint=False),
        f"{computer}angular.eta": one["etas"][1:2],
        f"{computer}angular.zeta": one["etas"][2:],
        f"{computer}angular.shifts": np.linspace(one["start"], 3.5, n_shifts, endpoint=False),
        f"{computer}angular.sections": np.linspace(half, np.pi + half, n_sections, endpoint=False),
    }
    if case == "ani2xr":
        for name, low, high in (("y", 1.0, 9.0), ("sqrt_alpha", 1.0, 3.0), ("k_rep", 1.0, 1.5)):
            values = rng.uniform(low, high, size=(len(symbols), len(symbols)))
            arrays[f"potentials.repulsion_xtb.{name}_ab"] = 0.5 * (values + values.T)
    n_inputs = len(symbols) * n_radial + len(symbols) * (len(symbols) + 1) // 2 * n_shifts * n_sections
    for member in range(N_MEMBERS):
        for symbol, widths in one["widths"].items():
            for k, (weight, bias) in enumerate(random_network(rng, n_inputs, widths)):
                layer = f"layers.{k}" if k < len(widths) else "final_layer"
                start = f"potentials.nnp.neural_networks.members.{member}.atomics.{symbol}.{layer}"
                arrays[f"{start}.weight"] = weight
                if case != "ani2xr":
                    arrays[f"{start}.bias"] = bias
    arrays = {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()}
    numbers = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9, "S": 16, "Cl": 17}
    return {"atomic_numbers": np.array([numbers[symbol] for symbol in symbols]), **arrays}


def random_network(rng: np.random.Generator, n_in: int, widths: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return weight (n_out, n_in) and bias (n_out,) of each layer; inputs are few and small."""
    layers = []
    for n_out in (*widths, 1):
        scale = 0.3 if not layers else n_in**-0.5
        layers.append((rng.normal(scale=scale, size=(n_out, n_in)), rng.normal(scale=0.1, size=n_out)))
        n_in = n_out
    return layers


def write_state_dict(path: Path, case: str, **changes: object) -> Path:
    """Write a state dict; that of ANI-2x has the names of older files. ``changes`` replace arrays; None removes one."""
    import torch

    arrays = numbers_of(case)
    if case == "ani2x":
        arrays = {old_name(name): array for name, array in arrays.items() if name != "atomic_numbers"}
    arrays = {name: array for name, array in (arrays | changes).items() if array is not None}
    torch.save({name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}, path)
    return path


def old_name(name: str) -> str:
    """Return the older name of an array in an ensemble."""
    parts = name.removeprefix("potentials.nnp.").replace("members.", "").replace("atomics.", "").split(".")
    if parts[0] == "aev_computer":
        kind, term = parts[1:]
        letter = kind[0].upper()
        old = {"eta": f"Eta{letter}", "shifts": f"Shf{letter}", "zeta": "Zeta", "sections": "ShfZ"}[term]
        return f"aev_computer.{kind}_terms.{old}"
    if parts[0] == "neural_networks":
        layer = "6" if "final_layer" in parts else str(2 * int(parts[4]))
        return ".".join([*parts[:3], layer, parts[-1]])
    return name


def write_neurochem(folder: Path) -> Path:
    """Write a potential of H, C, N and O in the format of NeuroChem; return its .info file."""
    rng, symbols = np.random.default_rng(8), list(SMALL)
    home = folder / "ani"
    home.mkdir(parents=True, exist_ok=True)
    (folder / "ani.info").write_text(f"ani/rHCNO.params\nani/sae_linfit.dat\nani/train\n{N_MEMBERS}\n")
    grids = ((0.9, 5.2, 4), (0.9, 3.5, 2), (0.4, 3.5, 3))
    radial, shifts, sections = (np.linspace(*grid, endpoint=False) for grid in grids)

    def line(name: str, values: object) -> str:
        return f"{name} = [{','.join(f'{value:.7e}' for value in values)}]"

    lines = ["TM = 1", "Rcr = 5.2000e+00", "Rca = 3.5000e+00", line("EtaR", [4.0]), line("ShfR", radial)]
    lines += [line("Zeta", [8.0]), line("ShfZ", sections), line("EtaA", [2.0]), line("ShfA", shifts)]
    lines.append("Atyp = [H,C,N,O]")
    (home / "rHCNO.params").write_text("\n".join(lines) + "\n")
    energies = rng.uniform(-2.0, -0.5, size=4)
    (home / "sae_linfit.dat").write_text("".join(f"{s},{k}={energies[k]:.12f}\n" for k, s in enumerate(symbols)))
    n_inputs = 4 * len(radial) + 10 * len(shifts) * len(sections)
    for member in range(N_MEMBERS):
        networks = home / f"train{member}" / "networks"
        networks.mkdir(parents=True, exist_ok=True)
        for symbol, widths in SMALL.items():
            text, n_in = f"inputsize={n_inputs};\natom_net {symbol} $\n", n_inputs
            for k, (weight, bias) in enumerate(random_network(rng, n_inputs, widths)):
                files = [f"ANN-{symbol}-l{k}.{kind}param" for kind in ("w", "b")]
                for file, array in zip(files, (weight, bias), strict=True):
                    (networks / file).write_bytes(array.astype("<f4").tobytes())
                settings = {
                    "nodes": len(bias), "activation": 9 if k < len(widths) else 6, "type": 0, "blocksize": n_in,
                    "dropout": 0, "dropset": 0.5, "maskupdate": 0, "maxnorm": 0, "norm": 3.0, "normupdate": 0,
                    "l2norm": 0, "l2valu": 0.01, "btchnorm": 0,
                    "weights": f"FILE:{files[0]}[{weight.size}]", "biases": f"FILE:{files[1]}[{bias.size}]",
                }  # fmt: skip
                text += "layer [\n" + "".join(f"    {name}={value};\n" for name, value in settings.items()) + "]\n"
                n_in = len(bias)
            compressed = bz2.compress(f"{text}$\n\0".encode())
            (networks / f"ANN-{symbol}.nnf").write_bytes(b"! network of an atom\n=\n" + compressed)
    return folder / "ani.info"
