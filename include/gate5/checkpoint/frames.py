"""Along which axis ``VecFrameStack`` has put frames into one observation, which no archive says."""

from __future__ import annotations

from collections.abc import Mapping

from gate5.checkpoint.spaces import Space
from gate5.errors import CheckpointError

Shape = tuple[int, ...]
_CHANNELS = 4  # of an image, at most


def stack_axes(
    space: Space, frames: int, uri: str, *, order: str | None = None, normalised: Mapping[str, Shape] | None = None
) -> Shape:
    """The axis of each input; the spaces that could have been stacked are tried, and what is not clear is asked about.

    Stable-Baselines3 stacks the channels of an image of bytes, wherever they are, and the last axis of all else;
    ``VecTransposeImage`` may come before or after it, ``VecNormalize`` turns an image into floats, and
    ``VecFrameStack(channels_order=...)`` says otherwise.

    Args:
        space: the observations as the policy was trained with them.
        order: ``first`` or ``last``, as ``channels_order`` was given; ``None``: it was left out.
        normalised: the shape of VecNormalize's mean per input: of the stack, or of a single frame.

    Raises:
        CheckpointError: it cannot be a stack of so many, or more than one would fit.
    """
    found = []
    for key, part in space.leaves:
        fitting = [axis for axis in _axes(part, order) if _fits(part, axis, frames, (normalised or {}).get(key))]
        usual = [axis for axis in fitting if order or _is_usual(part, axis, frames)]
        if not fitting:
            raise CheckpointError(
                f"checkpoint.frame_stack is {frames}{f' and channels_order {order}' if order else ''}, but the policy "
                f"in {uri} takes {space.describe()}, which is not that many observations in one."
            )
        if len(fitting) > 1 and len(usual) != 1:
            shapes = " or ".join(str(frame(part.shape, axis, frames)) for axis in fitting)
            raise CheckpointError(
                f"The policy in {uri} takes {part.describe()}, in which {frames} observations of the shape {shapes} "
                "fit: set checkpoint.channels_order to first or to last, as VecFrameStack stacked them."
            )
        found.append((usual if len(fitting) > 1 else fitting)[0])
    return tuple(found)


def frame(shape: Shape, axis: int, frames: int) -> Shape:
    """The shape of one frame."""
    return (*shape[:axis], shape[axis] // frames, *shape[axis + 1 :])


def _axes(space: Space, order: str | None) -> list[int]:
    if space.kind != "Box":
        return []
    last = len(space.shape) - 1
    if order is not None:
        return [0 if order == "first" else last]
    return [0, last] if last == 2 else [last]  # an image, or what VecNormalize has made of one


def _fits(space: Space, axis: int, frames: int, mean: Shape | None) -> bool:
    if space.shape[axis] % frames:
        return False
    return mean is None or mean in (space.shape, frame(space.shape, axis, frames))


def _is_usual(space: Space, axis: int, frames: int) -> bool:
    """Whether an image of bytes would have been stacked along this axis, and left so."""
    if not space.is_image:
        return False
    single = frame(space.shape, axis, frames)
    smallest = single.index(min(single))
    if axis == 0:  # channels first, or turned so after they were stacked
        return smallest == 0
    return smallest == 2 and single[2] <= _CHANNELS and space.shape.index(min(space.shape)) == 0  # nor turned
