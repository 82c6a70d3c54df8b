"""What a stage read and wrote, as OpenLineage's datasets: checkpoint, ONNX graph, engine, reports, release.

A dataset's name is its address, its version the SHA-256 of what lay there. OpenLineage's provider asks for it where it
is installed and has somewhere to send it; nothing here is imported otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gate5.io.files import sha256
from gate5.workspace import contents
from gate5.workspace.address import find_run_workspace
from gate5.workspace.records import read_record

if TYPE_CHECKING:
    from gate5.workspace.artifacts import Workspace

#: A dataset's address, and the SHA-256 of what lies there, where it is known.
Found = tuple[str, str | None]


def lineage(dag_id: str, run_id: str, task_id: str, scenario: str | None) -> Any:
    """OpenLineage's ``OperatorLineage`` of a stage that has ended; empty where it has left nothing."""
    from airflow.providers.openlineage.extractors import OperatorLineage

    workspace = find_run_workspace(dag_id, run_id)
    if workspace is None:
        return OperatorLineage()
    read, wrote = datasets(workspace, contents.stage(task_id), scenario)
    return OperatorLineage(inputs=[_dataset(*each) for each in read], outputs=[_dataset(*each) for each in wrote])


def datasets(workspace: Workspace, stage: contents.Stage, scenario: str | None) -> tuple[list[Found], list[Found]]:
    """What a stage read and what it wrote, by its record; one that leaves none, by what it is said to read and write.

    ``resolve`` reads the checkpoint where it was announced, ``promote`` writes the release into the store besides.
    """
    if not stage.recorded:
        read, wrote = _there(workspace, stage.reads), _there(workspace, (file.name for file in stage.writes))
        return read, [*wrote, *(_released(workspace) if stage.name == "promote" else [])]
    record = read_record(workspace, stage.record(scenario))
    if record is None:
        return [], []
    read = [(_address(workspace, name), used["sha256"]) for name, used in record["inputs"].items() if used["sha256"]]
    wrote = [(_address(workspace, name), hash_) for name, hash_ in record["outputs"].items()]
    if stage.name == "resolve":
        read += [(record["result"]["source"], record["result"]["policy_sha256"])]
    return read, wrote


def _released(workspace: Workspace) -> list[Found]:
    made = workspace.read_json("release.json") if workspace.exists("release.json") else None
    if made is None:
        return []
    return [(f"{made['store'].rstrip('/')}/releases/{made['release_id']}", None)]


def _there(workspace: Workspace, names: Iterable[str]) -> list[Found]:
    found = ((name, workspace.find(name)) for name in names)
    return [(_address(workspace, name), sha256(data)) for name, data in found if data is not None]


def _address(workspace: Workspace, name: str) -> str:
    return f"{workspace.uri}/{name}"


def _dataset(address: str, version: str | None) -> Any:
    """A dataset as OpenLineage names them: ``file`` and a path, or ``s3://BUCKET`` and a key."""
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from openlineage.client.facet_v2 import dataset_version_dataset

    parts = urlsplit(address)
    space, name = (f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")) if parts.netloc else ("file", parts.path)
    kind = dataset_version_dataset.DatasetVersionDatasetFacet
    return Dataset(space, name, facets={} if version is None else {"version": kind(datasetVersion=version)})
