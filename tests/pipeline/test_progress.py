"""A long stage says in its log how far it is."""

from __future__ import annotations

import logging

import pytest

from gate5.pipeline.robustness import told


def test_progress_is_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    said = told("evaluate emergency_trip", every_s=0.0)
    said(25, 100)
    assert "evaluate emergency_trip: 25 %" in caplog.text
    caplog.clear()
    told("evaluate emergency_trip", every_s=3600.0)(50, 100)
    assert caplog.text == ""
