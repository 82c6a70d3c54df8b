"""What a binding is: the way to one plant."""

from __future__ import annotations

from typing import Protocol

from gate5.edge.runtime.decision import Reading
from gate5.plant.base import Float32


class Binding(Protocol):
    """Reads observations of a plant and writes actions to it; neither ever waits longer than a period allows.

    ``read`` and ``write`` do not raise: what went wrong is in the reading, and a failed write shows in ``troubles``.
    """

    @property
    def address(self) -> str:
        """Which plant it is: two runtimes of one address are refused."""
        ...

    @property
    def troubles(self) -> int:
        """Reads and writes that failed so far."""
        ...

    def open(self) -> None:
        """Connect for the first time.

        Raises:
            InputError: there is no such plant, or it lacks a node.
        """
        ...

    def read(self) -> Reading:
        """The newest observation."""
        ...

    def write(self, action: Float32) -> None:
        """Apply an action, float32 ``[act_dim]``, in the units of the plant's action space."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...
