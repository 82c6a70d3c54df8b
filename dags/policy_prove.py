"""
### Proves a release on the device of a GPU worker

A release that was built for other hardware (`awaiting proof`) runs nowhere before such a device has measured it.
`prove` goes to the queue `gpu`, alone on the accelerator, and does there what `gate5 prove DIR` does on a plant's
machine: golden inputs, parity, latency, a short closed loop. The signed result lies in the store then, and every device
of this kind pulls the release. Where a proof that counts on this device is there already, nothing is measured again.

The run fails where the engine fails its rules (the signed result says so, too) or is not for this worker. The proof is
signed with `store.signing_key`, or with the key file that `GATE5_PROOF_KEY` names on the worker: a key that may sign
`proofs` and nothing else (`gate5 keys add KEY.pub --channel proofs`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from gate5_dag.failed import on_failure
from gate5_dag.gpus import FIRST_GPU
from gate5_dag.settings import RETRY, channel_param, config_param

PARAMS = {
    "release_id": Param(
        None,
        type=["null", "string"],
        title="Release",
        description="Its id (see `gate5 history`); empty: the current release of the channel.",
    ),
    "channel": channel_param(),
    "episodes": Param(3, type="integer", minimum=1, maximum=1000, title="Episodes", description="Of each scenario."),
    "config": config_param(),
}


@task(**RETRY, **FIRST_GPU.alone, execution_timeout=timedelta(hours=2))
def prove() -> dict[str, Any]:
    """Measure the engine here and sign what was found; a second run finds the first one's proof."""
    from gate5_dag.proving import prove_release

    return prove_release()


@dag(
    dag_id="policy_prove",
    schedule=None,
    params=PARAMS,
    catchup=False,
    max_active_runs=4,
    doc_md=__doc__,
    description="Prove a release on the device of a GPU worker",
    tags=["gate5"],
    default_args={"owner": "gate5", "on_failure_callback": on_failure},
)
def policy_prove() -> None:
    """One task."""
    prove()


policy_prove()
