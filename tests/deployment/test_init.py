"""What the service `init` of docker-compose.yaml makes before all others: login, pools, buckets, signing key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.deployment.project import ROOT, script, text


def test_who_only_verifies_gets_public_keys_and_no_private_one(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "release.pem").write_text("private")
    (keys / "release.pub").write_text("public")
    (keys / "old.pub").write_text("retired")
    for _ in range(2):
        script("deploy/init.py").share_public_keys(keys, tmp_path / "trust")
    assert {path.name: path.read_text() for path in (tmp_path / "trust").iterdir()} == {
        "release.pub": "public", "old.pub": "retired",
    }  # fmt: skip


def test_the_pools_of_further_kinds_of_gpu_are_made_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Airflow's command would read is looked at; `python -m local_cluster --only kinds` calls the command."""
    (tmp_path / "site.yaml").write_text("other_gpus: {l4: {channel: l4, slots: 2}}\n")
    monkeypatch.setenv("GATE5_CONFIG", str(tmp_path / "site.yaml"))
    init, given = script("deploy/init.py"), []
    monkeypatch.setattr(init, "run", lambda *words: given.append((words[:3], json.loads(text(words[3])))))
    init.import_pools(ROOT / "config/pools.json")
    ((words, pools),) = given
    assert words == ("airflow", "pools", "import")
    assert {name: said["slots"] for name, said in pools.items()} == {"gpu": 4, "train": 1, "gpu_l4": 2}
    assert {tuple(said) for said in pools.values()} == {("slots", "description", "include_deferred")}


def test_the_login_can_be_read_by_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE5_ADMIN_PASSWORD", "correct horse")
    path = tmp_path / "login" / "passwords.json"
    script("deploy/init.py").write_login(path)
    assert json.loads(path.read_text()) == {"admin": "correct horse"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_buckets_are_made_once_and_stay_unversioned(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

    with S3Server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        make = script("deploy/init.py").make_bucket
        make("gate5-releases")
        make("gate5-releases")
        client = server.client()
        assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == ["gate5-releases"]
        assert "Status" not in client.get_bucket_versioning(Bucket="gate5-releases")


def test_credentials_that_may_not_make_a_bucket_are_enough_where_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    from tests.support.s3_server import S3Server

    with S3Server() as server:
        client = server.client()
        client.create_bucket(Bucket="there")
        denied = ClientError({"Error": {"Code": "AccessDenied"}}, "CreateBucket")
        monkeypatch.setattr(client, "create_bucket", lambda **_: (_ for _ in ()).throw(denied))
        monkeypatch.setattr("gate5.io.s3.make_client", lambda: client)
        make = script("deploy/init.py").make_bucket
        make("there")
        with pytest.raises(ClientError, match="AccessDenied"):
            make("elsewhere")


def test_a_start_that_was_killed_between_the_two_halves_of_the_key(tmp_path: Path) -> None:
    init = script("deploy/init.py")
    init.make_key(tmp_path / "keys/release.pem")
    private = (tmp_path / "keys/release.pem").read_bytes()
    (tmp_path / "keys/release.pub").unlink()
    init.make_key(tmp_path / "keys/release.pem")
    init.share_public_keys(tmp_path / "keys", tmp_path / "trust")
    assert (tmp_path / "keys/release.pem").read_bytes() == private
    assert (tmp_path / "trust/release.pub").read_bytes() == (tmp_path / "keys/release.pub").read_bytes()
