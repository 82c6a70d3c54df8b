"""A usual policy is exported within 3 s beyond importing torch, in a fresh process."""

from __future__ import annotations

from scripts.measure_export import once


def test_export_of_the_shipped_policy() -> None:
    """Processor time, which other processes on the machine change little."""
    found = once()
    assert not found["compiler"], "torch's compiler is imported to build the reference, which takes a second and more"
    assert found["reference"].startswith("stable_baselines3")
    assert found["error"] < 1e-4
    assert found["cpu_s"] < 3.0, found
