"""Where the pages read from: the configuration, and the artifact store with the credentials that Airflow keeps."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from gate5.config.models import ReleaseConfig
from gate5.errors import Gate5Error, StoreError, StoreInputError
from gate5.io import canonical
from gate5.io.paths import resolve_path
from gate5.store.artifact_store import ArtifactStore, open_store
from gate5.store.channel import Log
from gate5.workspace.artifacts import Workspace

#: How long a store that failed is left alone [s].
REST_S = 5.0
_FAILED: dict[str, tuple[float, StoreError | None]] = {}


def default_path() -> str:
    """The configuration of the channels that the pages show, as the DAG's form names it."""
    return os.environ.get("GATE5_CONFIG") or "config/release.yaml"


def default_config() -> ReleaseConfig:
    """The same, read.

    Raises:
        ConfigError: it cannot be read.
    """
    path = resolve_path(default_path())
    return ReleaseConfig.load(path) if path.exists() else ReleaseConfig()


def run_config(workspace: Workspace | None, form: Mapping[str, Any]) -> ReleaseConfig:
    """The configuration of a run: what it froze, else the file that its form names, else the default one."""
    data = workspace.find("config.json") if workspace else None
    try:
        if data is not None:
            return ReleaseConfig.parse(canonical.loads(data), "config.json")
        return ReleaseConfig.load(resolve_path(str(form["config"]))) if form.get("config") else default_config()
    except (Gate5Error, ValueError):
        return default_config()


def opened(config: ReleaseConfig) -> ArtifactStore:
    """The store of a configuration, to be read from.

    Raises:
        StoreInputError: its address or connection cannot be used.
        StoreError: it failed a moment ago, for this page or another one: it is not asked again so soon.
    """
    store = config.store
    where = f"{store.endpoint} {store.uri}"
    failed, error = _FAILED.get(where, (0.0, None))
    if error is not None and time.monotonic() - failed < REST_S:
        raise error
    if "://" not in store.uri:
        return open_store(store)
    from gate5.io.s3 import make_client

    access, secret = (None, None) if store.connection is None else _keys(store.connection)
    client = make_client(store.endpoint, store.region, access_key=access, secret_key=secret, hurry=True)
    return open_store(store, client=client)


def rest(config: ReleaseConfig, error: Gate5Error) -> None:
    """Ask a store that failed nothing for some seconds: one that hangs would hold up every line of a page."""
    if isinstance(error, StoreError):
        _FAILED.clear()  # one store in use, as a rule: this never grows
        _FAILED[f"{config.store.endpoint} {config.store.uri}"] = (time.monotonic(), error)


def log_of(store: ArtifactStore, channel: str) -> Log:
    """A channel's log; verified where this machine has public keys, else read as it is (``ring`` is ``None``)."""
    return Log(store, channel, store.trusted_keys or None)


def _keys(connection_id: str) -> tuple[str, str]:
    """Access and secret key of an Airflow connection; the environment of this process is not touched."""
    from airflow.models.connection import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found = Connection.get_connection_from_secrets(connection_id)
    except AirflowNotFoundException:
        raise StoreInputError(
            f"store.connection is {connection_id!r}, but Airflow has no such connection: add one of type `aws`."
        ) from None
    extra = found.extra_dejson
    access = found.login or extra.get("aws_access_key_id")
    secret = found.password or extra.get("aws_secret_access_key")
    if not access or not secret:
        raise StoreInputError(f"The Airflow connection {connection_id!r} has no login and password.")
    return str(access), str(secret)
