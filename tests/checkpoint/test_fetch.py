"""Where a checkpoint's bytes come from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate5.checkpoint import fetch
from gate5.errors import CheckpointError, StoreError, StoreInputError
from gate5.io.s3 import make_client
from tests.support.s3_server import S3Server


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
    """A client of a server with the bucket ``models``; the environment leads there too."""
    with S3Server() as server:
        server.bucket("models")
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server.client()


def test_s3(bucket: Any) -> None:
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
    assert fetch("s3://models/a") == one, "without a client, the environment says where"
    with pytest.raises(StoreInputError, match="checkpoint s3://others/c cannot be used: the bucket does not exist"):
        fetch("s3://others/c", client=bucket)


@pytest.mark.parametrize(
    ("policy", "statistics"),
    [("r/Env-v3.zip", "r/Env-v3/vecnormalize.pkl"), ("r/rl_model_64_steps.zip", "r/rl_model_vecnormalize_64_steps.pkl"),
     ("r/m.zip", "r/vec_normalize.pkl"), ("m.zip", "vecnormalize.pkl"),
     ("r/best/best_model.zip", "r/vecnormalize.pkl")],
)  # fmt: skip
def test_s3_layouts(bucket: Any, policy: str, statistics: str) -> None:
    bucket.put_object(Bucket="models", Key=policy, Body=b"P")
    bucket.put_object(Bucket="models", Key=statistics, Body=b"V")
    files = fetch(f"s3://models/{policy}", client=bucket)
    assert (files.vecnormalize, files.statistics) == (b"V", f"s3://models/{statistics}")
    assert fetch(f"s3://models/{policy}", client=bucket, vecnormalize="none").vecnormalize is None
    named = fetch(f"s3://models/{policy}", client=bucket, vecnormalize=f"s3://models/{statistics}")
    assert named.vecnormalize == b"V"


def test_s3_that_does_not_list(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that may read and not list finds the usual names all the same."""
    from botocore.exceptions import ClientError

    def refuse(*_: Any, **__: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "ListObjectsV2")

    monkeypatch.setattr(bucket, "list_objects_v2", refuse)
    for key, body in (("a/rl_model_64_steps.zip", b"P"), ("a/rl_model_vecnormalize_64_steps.pkl", b"V")):
        bucket.put_object(Bucket="models", Key=key, Body=body)
    assert fetch("s3://models/a/rl_model_64_steps.zip", client=bucket).vecnormalize == b"V"


def test_s3_whose_listing_fails_for_a_while(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy server is asked again; where it stays busy nothing is read as if no statistics lay there."""
    from botocore.exceptions import ClientError

    monkeypatch.setattr("gate5.io.s3.time.sleep", lambda _: None)
    for key, body in (("b/model_5000.zip", b"P"), ("b/vec_normalize_5000.pkl", b"V")):
        bucket.put_object(Bucket="models", Key=key, Body=body)
    listed, busy = bucket.list_objects_v2, [3]

    def ask(**given: Any) -> Any:
        busy[0] -= 1
        if busy[0] >= 0:
            raise ClientError({"Error": {"Code": "SlowDown"}}, "ListObjectsV2")
        return listed(**given)

    monkeypatch.setattr(bucket, "list_objects_v2", ask)
    assert fetch("s3://models/b/model_5000.zip", client=bucket).vecnormalize == b"V"
    busy[0] = 1000
    with pytest.raises(StoreError, match=r"The checkpoint s3://models/b/model_5000\.zip failed with SlowDown"):
        fetch("s3://models/b/model_5000.zip", client=bucket)


def test_s3_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client("http://127.0.0.1:9", "us-east-1", access_key="x", secret_key="x")
    with pytest.raises(StoreError, match=r"s3://models/a cannot be reached at http://127\.0\.0\.1:9"):
        fetch("s3://models/a", client=client)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(StoreInputError, match="needs boto3"):
        fetch("s3://models/a")
