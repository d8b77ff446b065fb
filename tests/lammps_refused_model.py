"""Continue a session after a refused pair_coeff; it has no model until the next one: MODEL OTHER_MODEL."""

import sys

from mlip_lammps.core.errors import MlipError
from mlip_lammps.engines.lammps.session import LammpsSession
from mlip_lammps.testing.structures import rattled_triclinic


def refusal(session: LammpsSession, command: str) -> str:
    try:
        session.run_commands(command)
    except MlipError as error:
        return str(error)
    raise AssertionError(f"not refused: {command}")


def main(model: str, other_model: str) -> None:
    with LammpsSession() as session:
        session.set_structure(rattled_triclinic(("H", "O"), seed=1))
        assert "knows C, O, Ni" in refusal(session, f"pair_style mlip/torch\npair_coeff * * {other_model} H O")
        assert "All pair coeffs are not set" in refusal(session, "run 0")
        session.set_model(model)
        energy = session.evaluate().energy
        for files in (other_model, f"{model} {other_model} :", f"{model} missing.pt2 :"):
            refusal(session, f"pair_coeff * * {files} H O")
            assert "All pair coeffs are not set" in refusal(session, "run 0")
        session.set_model(model)
        assert session.evaluate().energy == energy


if __name__ == "__main__":
    main(*sys.argv[1:])
