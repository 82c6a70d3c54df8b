"""The shipped plant's seven scenarios, in the order of the specification's phases 0 to 6."""

from __future__ import annotations

SCENARIOS = (
    "steady_state",
    "load_following",
    "ambient_disturbance",
    "eaf_transients",
    "load_rejection",
    "cold_startup",
    "emergency_trip",
)
