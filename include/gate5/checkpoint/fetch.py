"""Where a checkpoint's bytes come from: a directory, a .zip or S3. Nothing is interpreted here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gate5.errors import CheckpointError, StoreError
from gate5.io.paths import resolve_path

POLICY = "policy.zip"
VECNORMALIZE = "vecnormalize.pkl"
_FORMS = "a directory with policy.zip (and vecnormalize.pkl), a .zip, or s3://BUCKET/KEY"


@dataclass(frozen=True)
class CheckpointFiles:
    """A checkpoint's bytes as they were found.

    Attributes:
        policy: the Stable-Baselines3 archive.
        vecnormalize: the pickle that ``VecNormalize.save`` wrote; ``None`` where there was none.
        uri: where they came from.
    """

    policy: bytes
    vecnormalize: bytes | None
    uri: str


def fetch(source: str | os.PathLike[str], *, client: Any = None) -> CheckpointFiles:
    """Read a checkpoint's files.

    Args:
        source: a directory with ``policy.zip`` and, if the policy was trained with VecNormalize, ``vecnormalize.pkl``;
            a ``NAME.zip`` with ``NAME_vecnormalize.pkl`` or ``vecnormalize.pkl`` beside it; the same two forms
            under ``s3://BUCKET/``. A relative path starts at ``$GATE5_HOME``, else at the current folder.
        client: a boto3 S3 client; ``None``: made from the environment.

    Raises:
        CheckpointError: nothing is there, or it is none of these forms.
        StoreError: S3 cannot be used.
    """
    text = os.fspath(source)
    if "://" not in text:
        return _from_disk(resolve_path(text), text)
    parts = urlsplit(text)
    if parts.scheme != "s3" or not parts.netloc:
        raise CheckpointError(f"The checkpoint {text!r} is an address that gate5 does not know; give {_FORMS}.")
    return _from_s3(client, parts.netloc, parts.path.lstrip("/"), text)


def _from_disk(path: Path, text: str) -> CheckpointFiles:
    if path.is_dir():
        policy = path / POLICY
        if not policy.is_file():
            zips = sorted(entry.name for entry in path.glob("*.zip"))
            hint = f"; name the file itself, such as {path / zips[0]}" if zips else f"; give {_FORMS}"
            raise CheckpointError(f"The checkpoint folder {text} has no {POLICY}{hint}.")
        beside = [path / VECNORMALIZE]
    elif path.is_file():
        policy = path
        beside = [path.with_name(f"{path.stem}_{VECNORMALIZE}"), path.with_name(VECNORMALIZE)]
    else:
        raise CheckpointError(f"The checkpoint {text} does not exist; give {_FORMS}.")
    statistics = next((candidate for candidate in beside if candidate.is_file()), None)
    try:
        return CheckpointFiles(policy.read_bytes(), statistics.read_bytes() if statistics else None, str(policy))
    except OSError as error:
        raise CheckpointError(f"The checkpoint {text} cannot be read ({error.strerror}).") from None


def _from_s3(client: Any, bucket: str, key: str, text: str) -> CheckpointFiles:
    client = client or _s3_client(text)
    if key.endswith(".zip"):
        folder, name = key.rpartition("/")[0], key.rpartition("/")[2][: -len(".zip")]
        start = f"{folder}/" if folder else ""
        policy_key, beside = key, [f"{start}{name}_{VECNORMALIZE}", f"{start}{VECNORMALIZE}"]
    else:
        start = f"{key.rstrip('/')}/" if key.strip("/") else ""
        policy_key, beside = f"{start}{POLICY}", [f"{start}{VECNORMALIZE}"]
    policy = _get(client, bucket, policy_key, text)
    if policy is None:
        raise CheckpointError(f"The checkpoint {text} does not exist (no object {policy_key}); give {_FORMS}.")
    statistics = None
    for candidate in beside:
        statistics = _get(client, bucket, candidate, text)
        if statistics is not None:
            break
    return CheckpointFiles(policy, statistics, f"s3://{bucket}/{policy_key}")


def _s3_client(text: str) -> Any:
    try:
        import boto3  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise CheckpointError(f"The checkpoint {text} is in S3, and boto3 is missing: pip install boto3.") from None
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped,unused-ignore]

    try:
        return boto3.client("s3")
    except (BotoCoreError, ValueError) as error:
        raise StoreError(f"S3 cannot be used for the checkpoint {text} ({error}); check AWS_*.") from error


def _get(client: Any, bucket: str, key: str, text: str) -> bytes | None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        if code in ("NoSuchKey", "404", "NotFound"):
            return None
        if code == "NoSuchBucket":
            raise CheckpointError(f"The checkpoint {text} does not exist: there is no bucket {bucket!r}.") from None
        raise StoreError(f"The checkpoint {text} cannot be read ({error}); check the credentials.") from error
    except BotoCoreError as error:
        raise StoreError(f"The checkpoint {text} cannot be read ({error}); check address and network.") from error
