"""A network that breaks one request of five: every promotion ends right, and what cannot be done is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate5.config.channel import StoreConfig
from gate5.errors import StoreError
from gate5.io import s3
from gate5.io.s3 import make_client
from gate5.store import history, open_store
from gate5.workspace.artifacts import open_workspace
from scripts import faulty_proxy
from scripts.faulty_proxy import FaultyProxy
from scripts.promote_through_faults import promote_all
from tests.support.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server


@pytest.mark.slow
def test_twenty_promotions_through_twenty_per_cent_of_faults(
    s3_server: S3Server, signing_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python -m scripts.promote_through_faults`` makes a hundred."""
    monkeypatch.setattr(faulty_proxy, "DELAY_S", 0.02)
    # botocore's own pause before its second attempt is up to a second, and there are some 140 of them.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    uri = f"s3://{s3_server.bucket('faulty')}/twenty"
    wrong, figures = promote_all(s3_server, uri, signing_key, 20, 0.2, seed=1)
    assert wrong == []
    assert figures["promoted"] == 20
    assert all(figures[kind] > 5 for kind in faulty_proxy.KINDS), figures


@pytest.mark.parametrize("kind", ["reset", "lost answer", "503", "cut body"])
def test_a_network_that_breaks_every_request_is_one_sentence(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Also where it is the text of an error that breaks off, of which botocore makes no error of its own."""
    # A call looks these up when it is made; the pauses stay as they are.
    monkeypatch.setattr(s3.Patience.__init__, "__defaults__", (2, 5.0))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    bucket = s3_server.bucket(f"broken-{kind.replace(' ', '-')}")
    with FaultyProxy(s3_server.url, 1.0, kinds=(kind,)) as proxy:
        client = make_client(proxy.url, REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
        store = open_store(StoreConfig(uri=f"s3://{bucket}/x"), client=client)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        workspace = open_workspace(f"s3://{bucket}/run")
        for ask in (
            lambda: history(store, "production"),
            lambda: store.backend.read("releases/tank-0123456789ab/manifest.json"),
            lambda: workspace.read("policy.onnx"),
        ):
            with pytest.raises(StoreError) as told:
                ask()
            assert "\n" not in str(told.value)


def test_a_run_goes_on_through_a_network_that_breaks_one_request_of_three(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its artifacts, as the store's objects, are asked for again; a stage would else begin anew for each."""
    monkeypatch.setattr(faulty_proxy, "DELAY_S", 0.0)
    monkeypatch.setattr("gate5.io.s3.time.sleep", lambda _: None)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    bucket, body = s3_server.bucket("run"), bytes(range(256)) * 2000
    with FaultyProxy(s3_server.url, 0.33, seed=3) as proxy:
        client = make_client(proxy.url, REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
        workspace = open_workspace(f"s3://{bucket}/run", client)
        for number in range(40):
            workspace.write(f"{number:02}", body)
            assert workspace.read(f"{number:02}") == body
            assert workspace.find("none") is None
            assert len(workspace.list()) == number + 1
    assert proxy.seen["cut body"] > 5


@pytest.mark.parametrize("kind", ["lists_nothing_for_ever", "keeps_a_part_to_itself"])
def test_a_server_whose_answers_lead_nowhere_is_not_asked_for_ever(
    signing_key: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A pull that never ends is a plant that gets nothing new, and nobody is told."""
    monkeypatch.setattr("gate5.io.s3.time.sleep", lambda _: None)
    with S3Server(middleware=f"bad_servers:{kind}", path=str(Path(__file__).parent)) as server:
        config = StoreConfig(uri=f"s3://{server.bucket('bucket')}/x", signing_key=str(signing_key))
        store = open_store(config, client=server.client())
        ask = (lambda: store.backend.list("channels/")) if "lists" in kind else (lambda: store.backend.read("a"))
        with pytest.raises(StoreError) as told:
            ask()
        assert "\n" not in str(told.value)


def test_a_server_without_ranges_is_read_through_a_network_that_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins an object anew where its rest was asked for; what is read twice is not kept twice."""
    monkeypatch.setattr("gate5.io.s3.time.sleep", lambda _: None)
    body = bytes(range(256)) * 9000
    with S3Server(middleware="bad_servers:has_no_ranges", path=str(Path(__file__).parent)) as server:
        server.client().put_object(Bucket=server.bucket("whole"), Key="x/a", Body=body)
        with FaultyProxy(server.url, 0.5, seed=2, kinds=("cut body",)) as proxy:
            client = make_client(proxy.url, REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
            store = open_store(StoreConfig(uri="s3://whole/x"), client=client)
            assert [store.backend.read("a") for _ in range(6)] == [body] * 6
        assert proxy.seen["cut body"] > 2


def test_the_proxy_hands_on_what_it_does_not_break(s3_server: S3Server) -> None:
    bucket, body = s3_server.bucket("whole"), bytes(range(256)) * 5000
    with FaultyProxy(s3_server.url, 0.0) as proxy:
        client = make_client(proxy.url, REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
        client.put_object(Bucket=bucket, Key="a", Body=body, IfNoneMatch="*")
        assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == body
        with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
            client.put_object(Bucket=bucket, Key="a", Body=b"", IfNoneMatch="*")
        assert client.head_object(Bucket=bucket, Key="a")["ContentLength"] == len(body)
        assert proxy.seen == {"requests": 4}


def test_which_requests_break_follows_from_the_seed() -> None:
    fates = []
    for seed in (1, 1, 2):
        with FaultyProxy("http://127.0.0.1:9", 0.2, seed) as proxy:
            fates.append([proxy.fate() for _ in range(200)])
    assert fates[0] == fates[1] != fates[2]
    assert 20 < sum(bool(fate) for fate in fates[0]) < 60
