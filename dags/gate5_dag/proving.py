"""What the task of policy_prove does: the worker's device measures a release."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import get_current_context

from gate5.errors import RefusedError
from gate5_dag.credentials import store_credentials
from gate5_dag.tasks import load_config, log, stage_errors


def prove_release() -> dict[str, Any]:
    """Prove the release of the form, unless it is proved; a proof that says no fails the task, and no retry follows."""
    from gate5.pipeline.prove_stored import prove_stored

    params = dict(get_current_context()["params"])
    with stage_errors():
        config = load_config({"config": params["config"], "channel": params["channel"]})
        with store_credentials(config):
            found = prove_stored(
                config,
                params["release_id"] or None,
                key=os.environ.get("GATE5_PROOF_KEY") or None,
                episodes=int(params["episodes"]),
                say=lambda text: log.info("%s", text),
            )
        log.info("%s", found.sentence)
        if found.proof.verdict != "pass":
            raise RefusedError(found.sentence)
    return found.to_dict()
