"""Run by the cluster's own interpreter: for each line DAG, TAB, RUN on its input, one line of JSON from the database.

It ends with its input, so that nothing is left of it however the one that asks ends.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from typing import Any

#: A run's state, and of each of its tasks id, index, state and try.
RUN = "SELECT state FROM dag_run WHERE dag_id = %s AND run_id = %s"
TASKS = "SELECT task_id, map_index, state, try_number FROM task_instance WHERE dag_id = %s AND run_id = %s"


def main() -> None:
    psycopg2: Any = importlib.import_module("psycopg2")
    connection: Any = None
    for line in sys.stdin:
        answer = None
        try:
            if connection is None:
                connection = psycopg2.connect(os.environ["DATABASE"], connect_timeout=5)
                connection.autocommit = True
            with connection.cursor() as cursor:
                about = tuple(line.rstrip("\n").split("\t"))
                cursor.execute(RUN, about)
                state = cursor.fetchone()
                cursor.execute(TASKS, about)
                answer = [state and state[0], sorted(cursor.fetchall())]
        except psycopg2.Error:  # gone, or being started: who asks will ask again
            with contextlib.suppress(psycopg2.Error, AttributeError):
                connection.close()
            connection = None
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
