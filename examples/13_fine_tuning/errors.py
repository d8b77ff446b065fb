"""Print the errors of a model on the test frames of both labels: python errors.py MODEL [HEAD]"""

import sys

import ase.io
import numpy as np

from mlip_lammps.families import family_of, read_model, select_head


def main() -> None:
    model, head = sys.argv[1], (*sys.argv, None)[2]
    trained, found = select_head(read_model(model), head), []
    reference = family_of(trained).reference(trained)
    for name in ("sw", "pbe"):
        energies, forces = [], []
        for atoms in ase.io.read(f"{name}_test.xyz", ":"):
            result = reference.evaluate(atoms)
            energies.append((result.energy - atoms.info["REF_energy"]) / len(atoms))
            forces.append(result.forces - atoms.arrays["REF_forces"])
        energy, force = (1e3 * np.sqrt(np.mean(np.square(values))) for values in (energies, forces))
        found.append(f"{energy:.1f} meV/atom, {force:.0f} meV/angstrom from {name}")
    print(f"{model}{f', head {head}' if head else ''}: {'; '.join(found)}")


if __name__ == "__main__":
    main()
