"""For all tests: no test fails because the machine is slow, so hypothesis has no deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("gate5", deadline=None)
settings.load_profile("gate5")
