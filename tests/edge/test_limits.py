"""A plant's own limits hold whatever is signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gate5.edge.limits import Limits
from gate5.errors import EngineError, IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.store import manifest, promote, releases

Factory = Any
"""The class of the fixture ``factory``, which a test module cannot import."""


def never(blob: bytes, metadata: dict[str, Any]) -> Any:
    raise AssertionError("an engine was deserialised that this machine does not take")


@pytest.mark.parametrize("verdict", ["fail", "error", "", None])
def test_a_signed_release_without_a_passed_verdict(
    factory: Factory, monkeypatch: pytest.MonkeyPatch, verdict: str | None
) -> None:
    """Signed by a program that does not look at the verdict."""
    monkeypatch.setattr(releases, "_check_provenance", lambda provenance: None)
    factory.release(1, gate={"verdict": verdict})
    with pytest.raises(IntegrityError, match="Gate 5's verdict on it is"):
        factory.pull(load_engine=never)
    assert factory.running() is None


@pytest.mark.parametrize(
    ("change", "limits", "kind", "sentence"),
    [
        ({"golden": {"tolerance": 1e9}}, Limits(), IntegrityError, "within 1e\\+09, and this machine asks"),
        ({"golden": {"tolerance": 0.051}}, Limits(), IntegrityError, "proves too little"),
        ({}, Limits(max_tolerance=0.0), IntegrityError, "proves too little"),
        ({}, Limits(min_golden=17), IntegrityError, "16 golden inputs"),
        ({}, Limits(backends=("tensorrt",)), EngineError, "this machine takes tensorrt"),
        ({}, Limits(plants=("sco2",)), EngineError, "drives the plant test, and this machine takes sco2"),
        ({}, Limits(max_bytes=100), IntegrityError, "more than this machine takes"),
    ],
)
def test_what_a_machine_does_not_take(
    factory: Factory, change: dict[str, Any], limits: Limits, kind: type[Exception], sentence: str
) -> None:
    factory.release(1, **change)
    with pytest.raises(kind, match=sentence):
        factory.pull(limits=limits, load_engine=never)
    assert factory.running() is None
    assert not list((factory.dest / "releases").glob("*"))


def test_limits_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pull.yaml"
    path.write_text("max_tolerance: 0.01\nbackends: [tensorrt]\n")
    assert Limits.load(path) == Limits(max_tolerance=0.01, backends=("tensorrt",))
    path.write_text("")
    assert Limits.load(path) == Limits()


@pytest.mark.parametrize(
    "text", ["max_tolerence: 1", "max_tolerance: .inf", "backends: tensorrt", "min_golden: 0", "[1]", "a: b: c"]
)
def test_limits_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pull.yaml"
    path.write_text(text)
    with pytest.raises(StoreInputError, match=r"The limits .*pull\.yaml"):
        Limits.load(path)
    with pytest.raises(StoreInputError, match="cannot be read"):
        Limits.load(tmp_path / "nowhere.yaml")


def test_the_reader_of_manifests_itself_does_not_judge(factory: Factory) -> None:
    """The verdict is the plant's to look at, so that history and rollback can still read what was signed."""
    release = factory.release(1)
    data = factory.store.backend.read(manifest.manifest_name(release.id))
    assert manifest.read_manifest(data, release.id, factory.keys).verdict == "pass"
    assert canonical.loads(data)["payloadType"] == manifest.PAYLOAD_TYPE
    assert promote(factory.store, "other", release, approved_by="me").outcome == "promoted"
