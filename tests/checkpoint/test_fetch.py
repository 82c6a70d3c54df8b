"""Where a checkpoint's bytes come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate5.checkpoint import fetch
from gate5.errors import CheckpointError, StoreError


def test_directory(tmp_path: Path) -> None:
    (tmp_path / "policy.zip").write_bytes(b"P")
    assert fetch(tmp_path).vecnormalize is None
    (tmp_path / "vecnormalize.pkl").write_bytes(b"V")
    files = fetch(tmp_path)
    assert (files.policy, files.vecnormalize) == (b"P", b"V")


def test_zip_prefers_its_own_statistics(tmp_path: Path) -> None:
    """Two models in a folder: ``best_vecnormalize.pkl`` belongs to ``best.zip``, not the general one."""
    (tmp_path / "best.zip").write_bytes(b"B")
    (tmp_path / "last.zip").write_bytes(b"L")
    (tmp_path / "best_vecnormalize.pkl").write_bytes(b"VB")
    (tmp_path / "vecnormalize.pkl").write_bytes(b"V")
    assert fetch(tmp_path / "best.zip").vecnormalize == b"VB"
    assert fetch(tmp_path / "last.zip").vecnormalize == b"V"


def test_relative_path_starts_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "policy.zip").write_bytes(b"P")
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    assert fetch("c").policy == b"P"


@pytest.mark.parametrize("source", ["nowhere", "ftp://x/y", "s3:///key"])
def test_not_there(source: str) -> None:
    with pytest.raises(CheckpointError, match=source):
        fetch(source)


def test_folder_without_policy_names_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "final.zip").write_bytes(b"F")
    with pytest.raises(CheckpointError, match=r"final\.zip"):
        fetch(tmp_path)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="models")
        yield client


def test_s3(bucket: Any) -> None:
    """S3 by moto, an imitation in memory; the integration tests of the store use a real server."""
    for key, body in (
        ("a/policy.zip", b"P"),
        ("a/vecnormalize.pkl", b"V"),
        ("b/x.zip", b"X"),
        ("b/x_vecnormalize.pkl", b"W"),
    ):
        bucket.put_object(Bucket="models", Key=key, Body=body)
    one = fetch("s3://models/a/", client=bucket)
    assert (one.policy, one.vecnormalize, one.uri) == (b"P", b"V", "s3://models/a/policy.zip")
    assert fetch("s3://models/a", client=bucket) == one
    two = fetch("s3://models/b/x.zip", client=bucket)
    assert (two.policy, two.vecnormalize) == (b"X", b"W")
    with pytest.raises(CheckpointError, match=r"s3://models/c"):
        fetch("s3://models/c", client=bucket)
    with pytest.raises(CheckpointError, match="no bucket 'others'"):
        fetch("s3://others/c", client=bucket)


def test_s3_unreachable() -> None:
    import boto3
    from botocore.config import Config

    quick = Config(connect_timeout=1, retries={"max_attempts": 0})
    client = boto3.client("s3", endpoint_url="http://127.0.0.1:9", region_name="us-east-1", config=quick,
                          aws_access_key_id="x", aws_secret_access_key="x")  # fmt: skip
    with pytest.raises(StoreError, match="cannot be read"):
        fetch("s3://models/a", client=client)
