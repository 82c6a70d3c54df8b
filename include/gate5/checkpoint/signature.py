"""What goes into a policy's graph and what comes out, and how both lie in one flat row of numbers.

A plain policy takes ``obs`` and gives ``action``. Others have more: an input per key of a ``Dict``, a mask of allowed
choices, a state that comes back as an output (LSTM, stacked frames), the scores of the choices. An engine takes and
gives one row of float32 per observation: the inputs one after the other, then the outputs one after the other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gate5.io.plain import from_plain, to_plain

Float32 = NDArray[np.float32]
Role = Literal["observation", "mask", "state", "action", "scores"]
METADATA = "gate5.signature"


@dataclass(frozen=True)
class Port:
    """One input or output: its name in the graph, its shape without the batch, what it is, whether it is whole."""

    name: str
    shape: tuple[int, ...]
    role: Role
    whole: bool = False

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Signature:
    """All of them, in the order in which they lie in a row.

    Attributes:
        inputs: observations, mask, states.
        outputs: action, scores, states; states in the order of the inputs'.
        choices: sizes of the groups of the scores, one per component of the action; empty: continuous actions.
        bits: the scores are of bits, each set where it is above zero.
        scale: half the width of the action space per component, by which errors are divided; 1 where it has none.
        frames: how many observations ``VecFrameStack`` puts into one.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    choices: tuple[int, ...] = ()
    bits: bool = False
    scale: tuple[float, ...] = ()
    frames: int = 1

    @property
    def plain(self) -> bool:
        """One flat input and one flat output: rows are what the graph takes."""
        return len(self.inputs) == len(self.outputs) == 1 and len(self.inputs[0].shape) == 1

    @property
    def observed(self) -> int:
        """Numbers that the plant gives: observations and mask."""
        return sum(port.size for port in self.inputs if port.role != "state")

    @property
    def state(self) -> int:
        """Numbers that come back as an input with the next observation; zeros at the start of an episode."""
        return sum(port.size for port in self.inputs if port.role == "state")

    @property
    def acted(self) -> int:
        """Numbers that go to the plant."""
        return sum(port.size for port in self.outputs if port.role == "action")

    @property
    def given(self) -> int:
        """Numbers in a row of outputs."""
        return sum(port.size for port in self.outputs)

    def whole_columns(self) -> NDArray[np.bool_]:
        """Which numbers of an input row can only be whole, ``[observed + state]``."""
        return np.concatenate([np.full(port.size, port.whole) for port in self.inputs])

    def to_dict(self) -> dict[str, Any]:
        return dict(to_plain(self))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Signature:
        return from_plain(cls, data)

    @classmethod
    def from_metadata(cls, text: str) -> Signature:
        """Of the entry ``gate5.signature`` in a graph's metadata.

        Raises:
            ValueError: it is not one.
        """
        try:
            return cls.from_dict(json.loads(text))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the metadata {METADATA} is not a signature ({str(error)[:120]})") from None


class StatefulRows:
    """Makes input rows of observations and actions of output rows, and keeps the state between them.

    One per controller; its episodes run together, one per row, and start together.

    Attributes:
        given: the input rows of the last call of ``inputs``.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.given: Float32 = np.zeros((0, 0), np.float32)
        self._state: Float32 | None = None

    def reset(self) -> None:
        """Episodes start: the state is zero again."""
        self._state = None

    def inputs(self, obs: Float32) -> Float32:
        """Input rows for observations ``[B, observed]``.

        Raises:
            ValueError: another number of episodes than before, without a reset.
        """
        width = self.signature.state
        if width and (self._state is None or len(self._state) == 0):
            self._state = np.zeros((len(obs), width), np.float32)
        if self._state is None:
            self.given = obs
            return obs
        if len(self._state) != len(obs):
            raise ValueError(f"{len(obs)} observations where {len(self._state)} episodes run: reset first")
        self.given = np.concatenate([obs, self._state], axis=1)
        return self.given

    def actions(self, out: Float32) -> Float32:
        """Actions ``[B, acted]`` of output rows; their states are kept for the next inputs."""
        if self._state is not None:
            self._state = np.ascontiguousarray(out[:, out.shape[1] - self.signature.state :])
        return np.ascontiguousarray(out[:, : self.signature.acted])
