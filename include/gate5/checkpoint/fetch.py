"""Where a checkpoint's bytes come from: a directory, a .zip or S3. Nothing is interpreted here."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gate5.checkpoint.archive import LIMIT_FILE
from gate5.checkpoint.program import kind_of
from gate5.checkpoint.statistics import find, usual
from gate5.errors import CheckpointError
from gate5.io.paths import resolve_path
from gate5.io.s3 import error_code, list_objects, make_client, passing, persistently, s3_errors, s3_failures

POLICY = "policy.zip"
_FORMS = "a directory with policy.zip (and vecnormalize.pkl), a .zip, or s3://BUCKET/KEY"
_ENDINGS = (".zip", ".pt", ".pt2", ".pth")  # of a file; any other key of S3 is a folder
_MOST_FILES = 2000


@dataclass(frozen=True)
class CheckpointFiles:
    """A checkpoint's bytes as they were found.

    Attributes:
        policy: the Stable-Baselines3 archive.
        vecnormalize: the pickle that ``VecNormalize.save`` wrote; ``None`` where there is none.
        uri: where they came from.
        statistics: where ``vecnormalize`` was found, or what says that there is none.
        missing: the sentence for a policy that could have been trained with VecNormalize, where nothing was found and
            nothing says that there is none.
    """

    policy: bytes
    vecnormalize: bytes | None
    uri: str
    statistics: str = ""
    missing: str | None = None


@dataclass(frozen=True)
class _Place:
    """The files around a policy: their names and how to read them."""

    folder: str
    files: list[str]
    read: Callable[[str], bytes]
    head: Callable[[str], bytes]


def fetch(source: str | os.PathLike[str], *, client: Any = None, vecnormalize: str | None = None) -> CheckpointFiles:
    """Read a checkpoint's files.

    Args:
        source: a directory with ``policy.zip`` and, if the policy was trained with VecNormalize, ``vecnormalize.pkl``;
            a ``NAME.zip`` with its statistics in one of the places of ``gate5.checkpoint.statistics``; a TorchScript
            or torch.export file (``gate5.checkpoint.program``); the same forms under ``s3://BUCKET/``. A relative path
            starts at ``$GATE5_HOME``, else at the current folder.
        client: a boto3 S3 client; ``None``: made from the environment.
        vecnormalize: the path or s3:// URI of the statistics, ``none`` where the policy was trained without;
            ``None``: look for them.

    Raises:
        CheckpointError: nothing is there, it is none of these forms, or several files could be the statistics.
        StoreInputError: the bucket, the address or the credentials of S3 are wrong.
        StoreError: S3 cannot be reached or failed.
    """
    text = os.fspath(source)
    if "://" not in text:
        policy, uri, place = _from_disk(resolve_path(text), text)
    else:
        parts = urlsplit(text)
        if parts.scheme != "s3" or not parts.netloc:
            raise CheckpointError(f"The checkpoint {text!r} is an address that gate5 does not know; give {_FORMS}.")
        client = client or make_client()
        policy, uri, place = _from_s3(client, parts.netloc, parts.path.lstrip("/"), text)
    if vecnormalize is not None and vecnormalize.lower() == "none":
        return CheckpointFiles(policy, None, uri, "none, says checkpoint.vecnormalize")
    if vecnormalize is not None:
        return CheckpointFiles(policy, _named(vecnormalize, client), uri, vecnormalize)
    if kind_of(policy) is not None:
        return CheckpointFiles(policy, None, uri, "inside the file, if it has one")
    return _with_statistics(policy, uri, place)


def _with_statistics(policy: bytes, uri: str, place: _Place) -> CheckpointFiles:
    name = uri.rpartition("/")[2].removesuffix(".zip")
    found = find(name, place.files, place.read, place.head)
    if found.path is not None:
        return CheckpointFiles(policy, place.read(found.path), uri, _join(place.folder, found.path))
    if found.several:
        raise CheckpointError(
            f"Several files could be the normaliser of {uri}: {', '.join(found.several[:6])}; say which, "
            f"checkpoint.vecnormalize: {_join(place.folder, found.several[0])}, or none."
        )
    said = _zoo_says(name, place)
    if said is not None:
        return CheckpointFiles(policy, None, uri, said)
    near = (
        f" ({found.beside[0]} lies there, but its name does not say that it belongs to this policy)"
        if found.beside
        else ""
    )
    return CheckpointFiles(policy, None, uri, "none found", (
        f"No statistics of VecNormalize were found for {uri}{near}, and the archive does not say whether it was "
        "trained with them; without them a policy that was reads raw numbers and does something else: set "
        "checkpoint.vecnormalize to their PATH, or to none if it was trained without."
    ))  # fmt: skip


def _zoo_says(name: str, place: _Place) -> str | None:
    """RL Zoo keeps its settings beside a policy: ``normalize`` is among them where the policy has a normaliser."""
    for path in place.files:
        folder, _, file = path.rpartition("/")
        if file == "config.yml" and folder in (name, ""):
            text = place.read(path)[:100_000].decode("utf-8", "replace")
            if (
                "policy" in text
                and "n_timesteps" in text
                and "normalize" not in text.replace("normalize_advantage", "")
            ):
                return f"none, says {_join(place.folder, path)}"
    return None


def _join(folder: str, path: str) -> str:
    if path.startswith("../"):
        return f"{folder.rpartition('/')[0]}/{path[3:]}"
    return f"{folder}/{path}" if folder else path


def _named(text: str, client: Any) -> bytes:
    """The statistics that the configuration names."""
    if "://" in text:
        parts = urlsplit(text)
        if parts.scheme != "s3" or not parts.netloc:
            raise CheckpointError(f"checkpoint.vecnormalize is {text!r}, an address that gate5 does not know.")
        found = _get(client or make_client(), parts.netloc, parts.path.lstrip("/"), text)
        if found is None:
            raise CheckpointError(f"checkpoint.vecnormalize is {text!r}, and there is no such object.")
        return found
    path = resolve_path(text)
    if not path.is_file():
        raise CheckpointError(
            f"checkpoint.vecnormalize is {text!r}, and there is no such file; give its path, or none."
        )
    return _read_file(path, text)


def _from_disk(path: Path, text: str) -> tuple[bytes, str, _Place]:
    if path.is_dir():
        policy = path / POLICY
        if not policy.is_file():
            zips = sorted(entry.name for entry in path.glob("*.zip"))
            hint = f"; name the file itself, such as {path / zips[0]}" if zips else f"; give {_FORMS}"
            raise CheckpointError(f"The checkpoint folder {text} has no {POLICY}{hint}.")
    elif path.is_file():
        policy = path
    else:
        raise CheckpointError(f"The checkpoint {text} does not exist; give {_FORMS}.")
    folder = policy.parent

    def read(name: str) -> bytes:
        return _read_file(folder / name, name)

    def head(name: str) -> bytes:
        try:
            with open(folder / name, "rb") as file:
                return file.read(4096)
        except OSError:
            return b""

    return _read_file(policy, text), str(policy), _Place(str(folder), _around(folder), read, head)


def _around(folder: Path) -> list[str]:
    """Files in a folder, in the folders in it, and beside it."""
    found: list[str] = []
    with contextlib.suppress(OSError):
        for entry in sorted(folder.iterdir())[:_MOST_FILES]:
            if entry.is_file():
                found.append(entry.name)
            elif entry.is_dir():
                inside = itertools.islice(entry.iterdir(), _MOST_FILES)
                found += sorted(f"{entry.name}/{inner.name}" for inner in inside if inner.is_file())
    with contextlib.suppress(OSError):
        above = itertools.islice(folder.resolve().parent.iterdir(), _MOST_FILES)
        found += sorted(f"../{entry.name}" for entry in above if entry.is_file())
    return found


def _read_file(path: Path, text: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > LIMIT_FILE:
            raise CheckpointError(
                f"The file {text} has {size} bytes, more than the {LIMIT_FILE} that gate5 reads; "
                "a policy for a plant is far smaller."
            )
        with path.open("rb") as file:
            content = file.read(LIMIT_FILE + 1)  # it may have grown
        if len(content) > LIMIT_FILE:
            raise CheckpointError(f"The file {text} has more than the {LIMIT_FILE} bytes that gate5 reads.")
        return content
    except OSError as error:
        raise CheckpointError(f"The checkpoint {text} cannot be read ({error.strerror}).") from None


def _from_s3(client: Any, bucket: str, key: str, text: str) -> tuple[bytes, str, _Place]:
    if key.endswith(_ENDINGS):
        folder, policy_key = key.rpartition("/")[0], key
    else:
        folder = key.rstrip("/")
        policy_key = f"{folder}/{POLICY}" if folder else POLICY
    policy = _get(client, bucket, policy_key, text)
    if policy is None:
        raise CheckpointError(f"The checkpoint {text} does not exist (no object {policy_key}); give {_FORMS}.")
    kept: dict[str, bytes | None] = {}

    def get(name: str) -> bytes | None:
        if name not in kept:
            kept[name] = _get(client, bucket, _join(folder, name).lstrip("/"), text)
        return kept[name]

    with s3_errors(f"The checkpoint {text}", client):
        files = _listing(client, bucket, folder)
    if files is None:  # a key that may get objects and not list them
        stem = policy_key.rpartition("/")[2].removesuffix(".zip")
        files = [name for name in usual(stem) if get(name) is not None]
    place = _Place(
        f"s3://{bucket}/{folder}".rstrip("/"),
        files,
        lambda name: get(name) or b"",
        lambda name: (get(name) or b"")[:4096],
    )
    return policy, f"s3://{bucket}/{policy_key}", place


def _listing(client: Any, bucket: str, folder: str) -> list[str] | None:
    """As ``_around``; ``None`` where the store does not list.

    Raises:
        ``s3_failures()``: it failed and might list later: statistics that are not seen are not looked for elsewhere.
    """
    start = f"{folder}/" if folder else ""
    try:
        keys = [item["Key"][len(start) :] for item in list_objects(client, bucket, start, _MOST_FILES)]
        found = sorted(name for name in keys if name and name.count("/") < 2)
        if folder:
            above = f"{folder.rpartition('/')[0]}/" if "/" in folder else ""
            page = persistently(lambda: client.list_objects_v2(Bucket=bucket, Prefix=above, Delimiter="/"))
            found += sorted(f"../{item['Key'][len(above) :]}" for item in page.get("Contents", ()))
    except s3_failures() as error:
        if passing(error):
            raise
        return None
    return found


def _get(client: Any, bucket: str, key: str, text: str) -> bytes | None:
    """An object's bytes, ``None`` where there is none."""
    from botocore.exceptions import ClientError  # type: ignore[import-untyped,unused-ignore]

    def whole() -> bytes:
        found = client.get_object(Bucket=bucket, Key=key)
        if found["ContentLength"] > LIMIT_FILE:
            raise CheckpointError(
                f"The object {key} of {text} has {found['ContentLength']} bytes, more than the {LIMIT_FILE} that gate5 "
                "reads; a policy for a plant is far smaller."
            )
        return bytes(found["Body"].read())

    with s3_errors(f"The checkpoint {text}", client):
        try:
            return persistently(whole)
        except ClientError as error:
            if error_code(error)[0] in ("NoSuchKey", "404", "NotFound"):
                return None
            raise
