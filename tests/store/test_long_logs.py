"""A log that is long, old, or has strays beside it: read and promoted on as a short one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate5.config.channel import StoreConfig
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.store import ArtifactStore, current, history, open_store, promote, publish, rollback
from gate5.store.channel import strays
from gate5.store.directory import DirectoryBackend
from gate5.store.entry import PAYLOAD_TYPE, entry_name
from gate5.store.signing import sign
from tests.support.s3_server import S3Server

Files = Callable[[object], dict[str, bytes]]
Provenance = Callable[..., dict[str, Any]]


def count(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the store is asked from here on."""
    asked: Counter[str] = Counter()
    for verb in ("read", "stream", "list", "create"):
        real = getattr(store.backend, verb)

        def ask(*arguments: Any, real: Any = real, verb: str = verb, **named: Any) -> Any:
            asked[verb] += 1
            return real(*arguments, **named)

        monkeypatch.setattr(store.backend, verb, ask)
    return asked


def test_a_promotion_asks_the_same_of_a_long_log(
    store: ArtifactStore, files: Files, provenance: Provenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    for mark in range(40):
        release = publish(store, files(mark), provenance())
        with monkeypatch.context() as patch:
            counted = count(store, patch)
            promote(store, "production", release, approved_by="me")
            asked.append(sum(counted.values()))
    assert asked[1] == asked[-1], "as many requests for the 40th promotion as for the 2nd"


def old_entry(store: ArtifactStore, sequence: int, kind: str, release: Any, before: bytes | None) -> bytes:
    """An entry as it was written before format 2."""
    payload = {
        "channel": "production",
        "sequence": sequence,
        "release": release.id,
        "manifest_sha256": release.manifest_sha256,
        "kind": kind,
        "previous": None if before is None else sha256(before),
        "by": "me",
        "at": "2026-11-01T00:00:00+00:00",
        "reason": None,
        "request": f"r{sequence}",
    }
    data = sign(canonical.dumps(payload), PAYLOAD_TYPE, store.signer)
    assert store.backend.create(entry_name("production", sequence), data)
    return data


def test_a_log_of_format_1_goes_on(store: ArtifactStore, files: Files, provenance: Provenance) -> None:
    a, b, c, d = (publish(store, files(mark), provenance()) for mark in "abcd")
    data = None
    for sequence, (kind, release) in enumerate([("promote", a), ("promote", b), ("promote", c), ("rollback", b)], 1):
        data = old_entry(store, sequence, kind, release, data)
    keys = store.trusted_keys
    assert [entry.format for entry in history(store, "production", keys)] == [1, 1, 1, 1]
    newest = current(store, "production", keys)
    assert newest
    assert newest.release == b.id
    assert promote(store, "production", c, approved_by="me").outcome == "superseded", "the old log is not forgotten"
    assert promote(store, "production", d, approved_by="me").outcome == "promoted"
    assert promote(store, "production", a, approved_by="me").outcome == "superseded"
    assert rollback(store, "production", by="me", reason="r").release == b.id
    assert rollback(store, "production", by="me", reason="r").release == a.id
    assert [entry.format for entry in history(store, "production", keys)] == [2, 2, 2, 1, 1, 1, 1]


@pytest.mark.parametrize("name", [".DS_Store", "0.txt", "999999999998.json~", "00-a/0.json", "000.json", "a.json"])
def test_strays_are_nothing(store: ArtifactStore, files: Files, provenance: Provenance, name: str) -> None:
    release = publish(store, files("a"), provenance())
    promote(store, "production", release, approved_by="me")
    assert isinstance(store.backend, DirectoryBackend)
    path = store.backend.path / "channels" / "production" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("stray")
    newest = current(store, "production", store.trusted_keys)
    assert newest
    assert newest.release == release.id
    assert promote(store, "production", publish(store, files("b"), provenance()), approved_by="me").sequence == 2
    assert len(history(store, "production", store.trusted_keys)) == 2
    assert strays(store, "production") == ([] if name.startswith(".") else [f"channels/production/{name}"])


@pytest.mark.parametrize(
    "names", [[""], ["!", "  ", "#a", "%2e", "+0.json"], ["0.txt", "999999999998.json~", "9999999999999.json", "zz/"]]
)
def test_strays_in_a_bucket_are_nothing(
    s3_server: S3Server, signing_key: Path, files: Files, provenance: Provenance, names: list[str]
) -> None:
    """A folder's marker, and names that no directory has; more of them than a reader asks for at once."""
    prefix = f"strays{len(names)}"
    config = StoreConfig(uri=f"s3://{s3_server.bucket(prefix)}/{prefix}", signing_key=str(signing_key))
    client = s3_server.client()
    store = open_store(config, client=client)
    client.put_object(Bucket=prefix, Key=f"{prefix}/probe/{store.backend.identity}.json", Body=b"{}")
    promote(store, "production", publish(store, files("a"), provenance()), approved_by="me")
    for name in names:
        client.put_object(Bucket=prefix, Key=f"{prefix}/channels/production/{name}", Body=b"stray")
    assert promote(store, "production", publish(store, files("b"), provenance()), approved_by="me").sequence == 2
    assert len(history(store, "production", store.trusted_keys)) == 2
    assert sorted(strays(store, "production")) == sorted(f"channels/production/{name}" for name in names)


def test_of_two_runs_the_older_does_not_replace_the_newer(
    store: ArtifactStore, files: Files, provenance: Provenance
) -> None:
    older, newer = (publish(store, files(mark), provenance()) for mark in "ab")
    promote(store, "production", newer, approved_by="me", made="2026-11-02T00:00:00+00:00")
    done = promote(store, "production", older, approved_by="me", made="2026-11-01T00:00:00+00:00")
    assert (done.outcome, done.replaced) == ("superseded", newer.id)
    assert len(history(store, "production")) == 1


def test_a_run_by_a_clock_that_was_years_ahead_stops_no_later_one(
    store: ArtifactStore, files: Files, provenance: Provenance
) -> None:
    """A worker that started without its clock's battery; else every candidate until then would be the older one."""
    ahead, right = (publish(store, files(mark), provenance()) for mark in "ab")
    promote(store, "production", ahead, approved_by="me", made="2999-01-01T00:00:00+00:00")
    done = promote(store, "production", right, approved_by="me", made="2026-11-01T00:00:00+00:00")
    assert (done.outcome, done.replaced) == ("promoted", ahead.id)
