"""One rank of ``Tasks``: ``mpiexec -n N python -m mlip_lammps.workflows.worker FOLDER``.

Ranks claim tasks one by one, so that none waits while others have work. They do not communicate, and need no MPI call.
"""

import pickle
import sys
from pathlib import Path

from mlip_lammps.workflows.tasks import DONE, JOB_FILE, write_result


def _main(folder: Path) -> None:
    task, calculator, items = pickle.loads((folder / JOB_FILE).read_bytes())
    for number, (file, item) in enumerate(items):
        try:
            (folder / f"{number}.claim").touch(exist_ok=False)
        except FileExistsError:
            continue
        try:
            write_result(file, task(calculator, item))
        except Exception as error:
            (folder / f"{number:06d}.error").write_bytes(_pickled(error))
        print(f"{DONE} {number}", flush=True)


def _pickled(error: Exception) -> bytes:
    """Return the error without its traceback, or its text if it cannot be pickled."""
    try:
        text = pickle.dumps(error.with_traceback(None))
        pickle.loads(text)
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return text


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
