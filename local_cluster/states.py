"""The states of a run and of its tasks, read from Airflow's database.

Whoever waits asks several times a second, for each case. Airflow's API would spend more on that than on the tasks.
"""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass

from gate5.errors import OperationError
from local_cluster import ask_database
from local_cluster.packages import OVERLAY


@dataclass(frozen=True)
class Snapshot:
    """A run at one instant.

    Attributes:
        run: its state; ``None``: there is no such run, or none is known.
        tasks: of each task id, index, state and try.
    """

    run: str | None = None
    tasks: tuple[tuple[str, int, str | None, int], ...] = ()

    def of(self, task_id: str) -> list[str]:
        """The states of a task."""
        return [str(state) for name, _, state, _ in self.tasks if name == task_id]


class States:
    """Answers from one connection, which is made again where the database was gone.

    Args:
        address: of the database.
    """

    def __init__(self, address: str) -> None:
        self._lock, self._last = threading.Lock(), dict[tuple[str, str], Snapshot]()
        self._process = subprocess.Popen(
            [str(OVERLAY / "bin" / "python"), ask_database.__file__],
            env={"DATABASE": address, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def of(self, dag_id: str, run_id: str) -> Snapshot:
        """A run now; while the database is gone, as it was last seen.

        Raises:
            OperationError: what asks the database has ended.
        """
        with self._lock:
            try:
                assert self._process.stdin is not None
                assert self._process.stdout is not None
                print(f"{dag_id}\t{run_id}", file=self._process.stdin, flush=True)
                line = self._process.stdout.readline()
            except (BrokenPipeError, ValueError):
                line = ""
            if not line:
                raise OperationError("What reads the states from Airflow's database has ended.")
            answer, about = json.loads(line), (dag_id, run_id)
            if answer is not None:
                self._last[about] = Snapshot(answer[0], tuple((str(t), int(i), s, int(n)) for t, i, s, n in answer[1]))
            return self._last.get(about, Snapshot())

    def close(self) -> None:
        """End what asks."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
