"""One file for one plan or two, and that a damaged one is told."""

from __future__ import annotations

import hashlib
import io
import subprocess
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.engine.tensorrt import isolated
from gate5.engine.tensorrt.before_10.plans import pack, unpack
from gate5.errors import EngineError

PLANS = st.binary(min_size=1, max_size=300).filter(lambda plan: not plan.startswith(b"PK"))


@given(single=PLANS, wide=st.none() | PLANS)
def test_what_went_in_comes_out(single: bytes, wide: bytes | None) -> None:
    blob = pack(single, wide)
    assert unpack(blob) == (single, wide)


def test_it_is_an_ordinary_archive() -> None:
    """NVIDIA's tools read plans, not our file: unzip has to give them."""
    with zipfile.ZipFile(io.BytesIO(pack(b"one", b"many"))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "batch_1.plan": b"one",
            "batches.plan": b"many",
        }


def test_the_same_plans_are_the_same_file_on_every_day() -> None:
    """Its hash is in the manifest."""
    digest = hashlib.sha256(pack(b"one", b"many")).hexdigest()
    assert digest == "5d1402bfc35c44d4febff6538e7f80f772a110d70df44b52e4062bbe654af704"


def compressed() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("batch_1.plan", "batches.plan"):
            archive.writestr(name, bytes(10**7))
    return file.getvalue()


BLOB = pack(b"one" * 50, b"many" * 50)


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(BLOB[: len(BLOB) // 2], id="cut"),
        pytest.param(BLOB[:60] + b"x" + BLOB[61:], id="a byte of a plan"),
        pytest.param(BLOB[:-300], id="no directory"),
        pytest.param(BLOB.replace(b"batches.plan", b"blotches.pla"), id="a plan is missing"),
        pytest.param(compressed(), id="compressed, which may be as large as anything"),
    ],
)
def test_a_damaged_file_is_told_without_a_child(damaged: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def child(*_: Any, **__: Any) -> None:
        raise AssertionError("no child has to try what is known to be damaged")

    monkeypatch.setattr(subprocess, "run", child)
    with pytest.raises(EngineError, match="damaged archive of TensorRT plans"):
        isolated.deserialise(damaged, "2" * 64)


@given(position=st.integers(0, len(BLOB) - 1), value=st.integers(0, 255))
def test_any_changed_byte_is_told_or_changes_nothing(position: int, value: int) -> None:
    """Or the file is no archive any more, which TensorRT then refuses."""
    blob = bytearray(BLOB)
    blob[position] = value
    try:
        found = unpack(bytes(blob))
    except EngineError:
        return
    assert found in (unpack(BLOB), (bytes(blob), None))
