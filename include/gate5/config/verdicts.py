"""What Gate 5 can say of a candidate, and which of it may be released."""

from __future__ import annotations

from typing import Final, Literal

Verdict = Literal["pass", "awaiting proof", "fail", "error"]

#: All that can be judged where the engine was built is good; what needs the device is not judged, and not claimed.
AWAITING: Final = "awaiting proof"
#: Verdicts with which a candidate may be released; with ``AWAITING`` it runs only where it was proved.
RELEASED: tuple[Verdict, ...] = ("pass", AWAITING)
