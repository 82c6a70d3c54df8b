"""At the plant: ``pull`` fetches and proves releases; ``PolicyRuntime`` supervises the one that drives."""

from __future__ import annotations

from typing import Any

__all__ = ["PolicyRuntime"]


def __getattr__(name: str) -> Any:
    """``PolicyRuntime`` when it is asked for: a release is pulled and packed without it."""
    if name == "PolicyRuntime":
        from gate5.edge.runtime.supervisor import PolicyRuntime

        return PolicyRuntime
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
