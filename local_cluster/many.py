"""Ten candidates at once on one channel: every run ends well, and of those that were promoted the newest is current."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

from local_cluster.cluster import DAG, Cluster
from local_cluster.faults import Case, Fault, Met
from local_cluster.outcome import Ending, channel_log
from local_cluster.packages import ROOT

COUNT = 10
CHANNEL = "many"
MANY = Case(CHANNEL, (Fault(f"{COUNT} candidates at once on one channel", "all", lambda _: None),))
GOOD = ROOT / "examples" / "checkpoints" / "good"


def other_policy(number: int) -> bytes:
    """The good policy with another bias in the last place: another candidate, that drives as well."""
    import torch

    made = io.BytesIO()
    with zipfile.ZipFile(GOOD / "policy.zip") as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "policy.pth":
                state = torch.load(io.BytesIO(data), weights_only=True)
                state["action_net.bias"] += 1e-6 * (number + 1)
                changed = io.BytesIO()
                torch.save(state, changed)
                data = changed.getvalue()
            new.writestr(name, data)
    return made.getvalue()


def carry_out_many(cluster: Cluster) -> Met:
    """Start a run for each candidate, wait for all, and look at the channel."""
    began = time.monotonic()
    names = [f"many-{number}" for number in range(COUNT)]
    for number, name in enumerate(names):
        # Only the CPU worker has it: what the others need comes through the workspace.
        folder = cluster.boxes["cpu-worker"].code / "examples" / name
        _write(folder, number)
        cluster.release(name, channel=CHANNEL, checkpoint=f"examples/{name}")
    wrong, outcomes = [], list[str]()
    for name in names:
        state = cluster.wait_for_run(name)
        if state != "success":
            wrong.append(f"{name} ended {state}")
            continue
        said = cluster.patiently(lambda name=name: cluster.api.xcom(DAG, name, "promote", "return_value"))
        outcomes.append(str(said["outcome"]))
    entries, faults = channel_log(cluster, CHANNEL)
    wrong += faults
    if len(entries) != outcomes.count("promoted") or len({entry.release for entry in entries}) != len(entries):
        wrong.append(f"the log has {len(entries)} entries, and {outcomes.count('promoted')} runs say promoted")
    if set(outcomes) - {"promoted", "superseded"}:
        wrong.append(f"outcomes {sorted(set(outcomes))}")
    if entries and entries[-1].made != max(str(entry.made) for entry in entries):
        wrong.append("an older candidate replaced a newer one")
    told = tuple(f"{outcomes.count(kind)} {kind}" for kind in ("promoted", "superseded") if kind in outcomes)
    return Met(MANY, (True,), time.monotonic() - began, Ending(CHANNEL, "success", told, {}, tuple(wrong)))


def _write(folder: Path, number: int) -> None:
    folder.mkdir()
    (folder / "policy.zip").write_bytes(other_policy(number))
    (folder / "vecnormalize.pkl").write_bytes((GOOD / "vecnormalize.pkl").read_bytes())
