"""The artifact store's credentials, from an Airflow connection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gate5.errors import StoreInputError

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig
    from gate5.pipeline.results import StageResult
    from gate5.workspace.artifacts import Workspace


@contextmanager
def store_credentials(config: ReleaseConfig) -> Iterator[None]:
    """Put the credentials of the connection ``store.connection`` into the environment for as long as the store is used.

    They come from Airflow's secrets backend and are in no configuration, XCom or log. Without a connection, boto3 finds
    credentials its own way (``AWS_*``, the machine's role).

    Raises:
        StoreInputError: there is no such connection, or it has no credentials.
    """
    if config.store.connection is None:
        yield
        return
    values = connection_environment(config.store.connection)
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def connection_environment(connection_id: str) -> dict[str, str]:
    """What boto3 reads from the environment, from an Airflow connection of type ``aws``."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection = Connection.get(connection_id)
    except AirflowNotFoundException:
        raise StoreInputError(
            f"store.connection is {connection_id!r}, but Airflow has no such connection: add one of type `aws`, or set "
            "it to null."
        ) from None
    extra = connection.extra_dejson
    found = {
        "AWS_ACCESS_KEY_ID": connection.login or extra.get("aws_access_key_id"),
        "AWS_SECRET_ACCESS_KEY": connection.password or extra.get("aws_secret_access_key"),
        "AWS_SESSION_TOKEN": extra.get("aws_session_token"),
    }
    if not found["AWS_ACCESS_KEY_ID"] or not found["AWS_SECRET_ACCESS_KEY"]:
        raise StoreInputError(
            f"The Airflow connection {connection_id!r} has no login and password: put access key and secret key there."
        )
    return {name: str(value) for name, value in found.items() if value}


def at_the_store(stage: Callable[..., StageResult]) -> Callable[..., StageResult]:
    """The stage, run with the store's credentials."""

    def run(workspace: Workspace, config: ReleaseConfig, *arguments: Any, **named: Any) -> StageResult:
        with store_credentials(config):
            return stage(workspace, config, *arguments, **named)

    return run
