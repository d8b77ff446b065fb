"""Tasks in threads whose evaluations a GPU makes together: small structures alone do not fill one.

Each task has a copy of the calculator. Its model hands the graph to a `Meeting`, which evaluates all graphs in one call
as soon as every task waits for a result.
"""

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from mlip_lammps.core.errors import MlipError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.graph import Graph

MOST_TASKS = 64
"""Tasks at a time."""

MOST_ATOMS = 20_000
"""Atoms in one evaluation: more do not make an H200 faster, and take more of its memory."""


class Meeting:
    """Collects the graphs of several threads and evaluates them together.

    Parameters
    ----------
    model
        Model of all threads.
    n_threads
        Threads that will evaluate. Each calls ``leave`` at its end.
    """

    def __init__(self, model: CompiledModel, n_threads: int) -> None:
        self._model = model
        self._n_threads = n_threads
        self._waiting: list[tuple[Graph, Future[Evaluation]]] = []
        self._lock = threading.Lock()
        self._has_ended = False

    def evaluate(self, graph: Graph) -> Evaluation:
        """Return the results of a graph, after all threads have given one or left."""
        found: Future[Evaluation] = Future()
        with self._lock:
            if self._has_ended:
                raise MlipError("the run was interrupted")
            self._waiting.append((graph, found))
            self._evaluate_if_complete()
        return found.result()

    def leave(self) -> None:
        """Take a thread out."""
        with self._lock:
            self._n_threads -= 1
            self._evaluate_if_complete()

    def end(self) -> None:
        """Raise an error in all threads that wait, and in those that evaluate later."""
        with self._lock:
            self._has_ended = True
            for _, found in self._waiting:
                found.set_exception(MlipError("the run was interrupted"))
            self._waiting.clear()

    def _evaluate_if_complete(self) -> None:
        if len(self._waiting) < self._n_threads:
            return
        while self._waiting:
            chosen = [self._waiting.pop(0)]
            n_atoms = chosen[0][0].n_atoms
            while self._waiting and (n_atoms := n_atoms + self._waiting[0][0].n_atoms) <= MOST_ATOMS:
                chosen.append(self._waiting.pop(0))
            self._evaluate(chosen)

    def _evaluate(self, chosen: Sequence[tuple[Graph, "Future[Evaluation]"]]) -> None:
        try:
            results = self._model.evaluate_many([graph for graph, _ in chosen])
        except Exception as error:
            if len(chosen) > 1:  # one of them may be wrong, or all of them too large
                for one in chosen:
                    self._evaluate([one])
            else:
                chosen[0][1].set_exception(error)
            return
        for (_, found), result in zip(chosen, results, strict=True):
            found.set_result(result)


class _MeetingModel:
    """An open model that evaluates through a meeting."""

    def __init__(self, model: CompiledModel, meeting: Meeting) -> None:
        self._model = model
        self._meeting = meeting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __copy__(self) -> "_MeetingModel":
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "_MeetingModel":
        return self

    def evaluate(self, graph: Graph, **options: Any) -> Evaluation:
        """Return the results of a graph; those with further options come from an evaluation of its own."""
        return self._model.evaluate(graph, **options) if any(options.values()) else self._meeting.evaluate(graph)


def has_batches(calculator: object) -> bool:
    """Return whether a calculator evaluates several structures faster together: that of a model on a GPU."""
    return isinstance(calculator, MlipCalculator) and calculator.model.gpu is not None


def run_in_threads(
    run: Callable[[MlipCalculator, Any], None], calculator: MlipCalculator, items: Sequence[Any]
) -> Iterator[None]:
    """Call ``run`` with a calculator and each item; yield once for each that has finished.

    The first error is raised again, after the others have finished.
    """
    n_threads = min(MOST_TASKS, len(items))
    meeting = Meeting(calculator.model, n_threads)
    left, finished = deque(items), SimpleQueue[Exception | None]()

    def work() -> None:
        own = copy.copy(calculator)
        own.reset()
        own.model = _MeetingModel(calculator.model, meeting)
        while (item := _next(left)) is not None:
            try:
                run(own, item)
            except Exception as error:
                finished.put(error)
            else:
                finished.put(None)
        meeting.leave()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    errors = []
    try:
        for _ in items:
            if (error := finished.get()) is not None:
                errors.append(error)
            yield
    finally:
        left.clear()
        meeting.end()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def _next(left: deque[Any]) -> Any | None:
    """Take the next item; None if there is none."""
    try:
        return left.popleft()
    except IndexError:
        return None
