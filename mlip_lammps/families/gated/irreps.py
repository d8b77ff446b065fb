"""Irreps of the convolution and the gate, in e3nn's order and without e3nn."""

from collections.abc import Iterable

from mlip_lammps.families.gated.spec import GateSpec, gate_entries
from mlip_lammps.families.irreps import Entry, format_irreps, simplify_irreps

Irreps = tuple[Entry, ...]
Path = tuple[int, int, int]


def sorted_irreps(entries: Iterable[Entry]) -> tuple[Irreps, tuple[int, ...]]:
    """Return ``entries`` in e3nn's order, and the place of each; odd entries of an order come before even ones."""
    found = list(entries)
    order = sorted(range(len(found)), key=lambda k: (found[k].kind, k))
    places = [0] * len(found)
    for place, k in enumerate(order):
        places[k] = place
    return tuple(found[k] for k in order), tuple(places)


def harmonics(l_max: int, is_odd: bool) -> Irreps:
    """Return the irreps of the spherical harmonics; with ``is_odd``, their parity is (-1)^l."""
    return tuple(Entry(1, order, (-1) ** order if is_odd else 1) for order in range(l_max + 1))


def products(a: Entry, b: Entry) -> Iterable[tuple[int, int]]:
    """Yield (order, parity) of the irreps in the product of two irreps."""
    for order in range(abs(a.order - b.order), a.order + b.order + 1):
        yield order, a.parity * b.parity


def full_product(irreps: Irreps, edge: Irreps) -> Irreps:
    """Return the irreps of the full tensor product, sorted and merged."""
    entries = (Entry(a.mul * b.mul, *kind) for a in irreps for b in edge for kind in products(a, b))
    return simplify_irreps(sorted_irreps(entries)[0])


def convolution(irreps: Irreps, edge: Irreps, wanted: Iterable[tuple[int, int]]) -> tuple[Irreps, list[Path]]:
    """Return the result of the convolution and its paths.

    Parameters
    ----------
    wanted
        (order, parity) of the irreps to keep.

    Returns
    -------
    irreps
        One entry for each path, sorted.
    paths
        (entry of ``irreps``, order of the harmonics, entry of the result), in the order of the two inputs.
    """
    kept, entries, inputs = set(wanted), [], []
    for i, a in enumerate(irreps):
        for b in edge:
            for kind in products(a, b):
                if kind in kept:
                    entries.append(Entry(a.mul, *kind))
                    inputs.append((i, b.order))
    result, places = sorted_irreps(entries)
    return result, [(i, order, place) for (i, order), place in zip(inputs, places, strict=True)]


def gate_spec(scalars: Irreps, gated: Irreps, of_scalars: dict[int, str], of_gates: dict[int, str]) -> GateSpec:
    """Return the gate for ``scalars`` and ``gated`` irreps.

    Parameters
    ----------
    of_scalars, of_gates
        Activation by parity.
    """
    parity = 1 if any(entry.parity == 1 for entry in scalars) else -1
    named_scalars = tuple((str(entry), of_scalars[entry.parity]) for entry in scalars)
    gates = tuple((str(Entry(entry.mul, 0, parity)), of_gates[parity]) for entry in gated)
    text = format_irreps(gated)
    entries = [entry for _, _, entry in gate_entries(named_scalars, gates, text)]
    irreps_in = format_irreps(simplify_irreps(sorted_irreps(entries)[0]))
    return GateSpec(named_scalars, gates, text, irreps_in)
