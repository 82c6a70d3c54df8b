"""The states of runs, asked of a real PostgreSQL: also while it is gone, and after it."""

from __future__ import annotations

import subprocess
from dataclasses import replace

from local_airflow.patience import wait_for
from local_cluster.backing import needed
from local_cluster.states import Snapshot, States
from tests.local_cluster.conftest import Database

TABLES = """
CREATE TABLE dag_run (dag_id text, run_id text, state text);
CREATE TABLE task_instance (dag_id text, run_id text, task_id text, map_index int, state text, try_number int);
INSERT INTO dag_run VALUES ('a', '1', 'running'), ('a', '2', 'failed');
INSERT INTO task_instance VALUES ('a', '1', 'resolve', -1, 'success', 2), ('a', '1', 'evaluate', 1, NULL, 0),
  ('a', '1', 'evaluate', 0, 'queued', 1), ('a', '2', 'resolve', -1, 'failed', 1);
"""
SEEN = Snapshot("running", (("evaluate", 0, "queued", 1), ("evaluate", 1, None, 0), ("resolve", -1, "success", 2)))


def test_states_are_read_and_a_database_that_goes_is_waited_for(database: Database) -> None:
    address, processes = database.client.database(), database.processes
    subprocess.run([needed("psql"), address, "-q", "-c", TABLES], check=True)
    states = States(address)
    assert states.of("a", "1") == SEEN
    assert SEEN.of("evaluate") == ["queued", "None"]
    assert states.of("a", "2").run == "failed"
    assert states.of("a", "3") == Snapshot()
    processes.stop("postgres")
    assert states.of("a", "1") == SEEN, "as it was last seen"
    processes.again("postgres")
    change = [needed("psql"), address, "-q", "-c", "UPDATE dag_run SET state = 'success'"]
    wait_for("PostgreSQL is not back", lambda: subprocess.run(change, check=False).returncode == 0 or None)
    assert states.of("a", "1") == replace(SEEN, run="success")
    states.close()
