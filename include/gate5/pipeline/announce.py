"""Announce a candidate to Airflow: an event on the asset ``gate5_candidate``, through Airflow's REST API.

The DAG ``policy_release`` starts on it. Where Airflow is and who asks comes from the arguments, else from the
environment (``AIRFLOW_URL``; ``AIRFLOW_TOKEN``, or ``AIRFLOW_USER`` and ``AIRFLOW_PASSWORD``), else from the Airflow of
`make ui` on this machine. Standard library only: a training machine need not have Airflow.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from gate5.checkpoint import fetch, read
from gate5.config.models import ReleaseConfig
from gate5.errors import InputError, OperationError
from gate5.io.airflow import AddressError, Api, ApiError, NoAnswerError, checked_address, origin
from gate5.io.paths import resolve_path

ASSET = "gate5_candidate"


class AnnounceInputError(InputError):
    """Airflow's address or login is missing or wrong."""


class AnnounceError(OperationError):
    """Airflow cannot be reached or did not take the event."""


def announce_candidate(
    uri: str,
    sha256: str,
    *,
    url: str | None = None,
    token: str | None = None,
    vecnormalize_sha256: str | None = None,
) -> dict[str, Any]:
    """Create the event that starts a release of a checkpoint.

    Args:
        uri: where the workers find the checkpoint: an absolute path that they share, or ``s3://BUCKET/PREFIX``.
        sha256: of the policy's archive, 64 hex digits; a release of anything else under ``uri`` is refused.
        url: Airflow's address, ``https://airflow.example.org``.
        token: an access token of Airflow's API.
        vecnormalize_sha256: of the normaliser's statistics, checked too where given.

    Returns:
        Airflow's event: ``id``, ``timestamp``, ``extra``.

    Raises:
        AnnounceInputError: no address, no login, or Airflow refuses the login.
        AnnounceError: Airflow does not answer, or has no such asset.
    """
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise AnnounceInputError(
            f"{sha256!r} is not a SHA-256: give the 64 lower-case hex digits of the policy's hash."
        )
    local = {} if url or os.environ.get("AIRFLOW_URL") else _local()
    address = _checked(url or os.environ.get("AIRFLOW_URL") or local.get("address"))
    api = _client(address, token or os.environ.get("AIRFLOW_TOKEN"), local)
    extra = {"uri": uri, "sha256": sha256}
    if vecnormalize_sha256 is not None:
        extra["vecnormalize_sha256"] = vecnormalize_sha256
    try:
        event = api.call("POST", "assets/events", {"asset_id": _asset(api), "extra": extra})
        return {"id": event["id"], "timestamp": event["timestamp"], "extra": event["extra"]}
    except ApiError as error:
        raise _refused(api, error) from None
    except NoAnswerError as error:
        raise AnnounceError(str(error)) from None
    except (KeyError, TypeError):
        raise AnnounceError(f"What answers at {origin(address)} is not Airflow's API; check the address.") from None


@dataclass(frozen=True)
class Announced:
    """A candidate that Airflow has been told of.

    Attributes:
        uri, sha256: where the checkpoint is, and its policy's hash.
        event: Airflow's, as ``announce_candidate`` gives it.
    """

    uri: str
    sha256: str
    event: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "text": self.line()}

    def line(self) -> str:
        """For a person."""
        return f"announced {self.uri}"


def announce(checkpoint: str, url: str | None, config: ReleaseConfig) -> Announced:
    """Tell Airflow that there is a candidate; the DAG ``policy_release`` then starts by itself."""
    files = fetch(checkpoint, vecnormalize=config.checkpoint.vecnormalize)
    found = read(files, **config.checkpoint.reading())
    event = announce_candidate(files.uri, found.policy_sha256, url=url, vecnormalize_sha256=found.vecnormalize_sha256)
    return Announced(files.uri, found.policy_sha256, event)


def _local() -> dict[str, Any]:
    """The Airflow of `make ui` on this machine: address, user and password; empty where none runs."""
    home = resolve_path("var/airflow")
    try:
        running = json.loads((home / "running.json").read_text())
        if running["what"] != "make ui":
            return {}  # the Airflow of `make release` does one run by hand and does not listen to the asset
        passwords = json.loads((home / "passwords.json").read_text())
        return {"address": running["address"], "user": running["user"], "password": passwords[running["user"]]}
    except (OSError, ValueError, KeyError):
        return {}


def _checked(address: str | None) -> str:
    if not address:
        raise AnnounceInputError(
            "No Airflow to announce the candidate to: set AIRFLOW_URL, give --url, or start one with `make ui`."
        )
    try:
        return checked_address(address)
    except AddressError as error:
        raise AnnounceInputError(str(error)) from None


def _client(address: str, token: str | None, local: dict[str, Any]) -> Api:
    if token:
        return Api(address, token=token)
    user = os.environ.get("AIRFLOW_USER") or local.get("user")
    password = os.environ.get("AIRFLOW_PASSWORD") or local.get("password")
    if not user or not password:
        raise AnnounceInputError(
            f"No login for the Airflow at {address}: set AIRFLOW_TOKEN, or AIRFLOW_USER and AIRFLOW_PASSWORD."
        )
    return Api(address, user, password)


def _asset(api: Api) -> int:
    for asset in api.get("assets", name_pattern=ASSET, limit=100)["assets"]:
        if asset["name"] == ASSET:
            return int(asset["id"])
    raise AnnounceError(
        f"The Airflow at {origin(api.address)} has no asset {ASSET!r}: is the DAG policy_release there, and unpaused?"
    )


def _refused(api: Api, error: ApiError) -> InputError | OperationError:
    where = f"The Airflow at {origin(api.address)}"
    if error.status in (401, 403):
        return AnnounceInputError(
            f"{where} refuses the login ({error.status}): check AIRFLOW_TOKEN, or AIRFLOW_USER and AIRFLOW_PASSWORD; "
            "the user must be allowed to create asset events."
        )
    return AnnounceError(f"{where}: {error}")
