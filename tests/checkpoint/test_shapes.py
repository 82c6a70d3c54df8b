"""Every tensor of a policy in another shape: the policy reads and runs, or there is one sentence."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from gate5.checkpoint import CheckpointFiles, fetch, read
from gate5.checkpoint.module_parts import FlatRows
from gate5.errors import CheckpointError
from scripts.policy_kinds import Case, train

CASES = [Case("DQN", "image", "Discrete"), Case("RecurrentPPO", "Box", "Box"), Case("CrossQ", "Box", "Box")]
_NEEDLESS = ("critic", "value_net", "q_net_target", "lstm_critic", "mlp_extractor.value_net")


def _others(tensor: torch.Tensor) -> Iterator[torch.Tensor | None]:
    yield None
    yield tensor.reshape(-1)
    yield tensor[None]
    yield tensor.reshape(-1)[0]
    if tensor.is_floating_point():
        yield torch.full_like(tensor, 3e38)
    if tensor.ndim:
        yield from (tensor[1:], tensor[..., 1:], tensor[..., :0], torch.cat([tensor, tensor]))
        yield from (torch.cat([tensor, tensor], -1), tensor.movedim(0, -1))


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_any_tensor_of_another_shape(tmp_path: Path, case: Case) -> None:
    """A CNN whose convolutions did not fit ended in a traceback when it first ran."""
    train(case, tmp_path)
    files = fetch(tmp_path, vecnormalize=None if (tmp_path / "vecnormalize.pkl").exists() else "none")
    with zipfile.ZipFile(io.BytesIO(files.policy)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    tensors = dict(torch.load(io.BytesIO(parts["policy.pth"]), weights_only=True))
    refused = 0
    for name in [name for name in tensors if not name.startswith(_NEEDLESS)]:
        for other in _others(tensors[name]):
            changed = {key: value for key, value in (tensors | {name: other}).items() if value is not None}
            try:
                checkpoint = read(CheckpointFiles(_archive(parts, changed), files.vecnormalize, "x"))
            except CheckpointError as error:
                assert len(str(error)) < 1000  # noqa: PT017
                refused += 1
                continue
            rows = np.zeros((1, sum(port.size for port in checkpoint.signature.inputs)), np.float32)
            with torch.no_grad(), np.errstate(all="ignore"):
                checkpoint.reference_numpy(rows)
                FlatRows(checkpoint.module, checkpoint.signature)(torch.from_numpy(rows))
    assert refused > 20


def _archive(parts: dict[str, bytes], tensors: dict[str, torch.Tensor]) -> bytes:
    out, inner = io.BytesIO(), io.BytesIO()
    torch.save({key: value.clone() for key, value in tensors.items()}, inner)
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, inner.getvalue() if name == "policy.pth" else content)
    return out.getvalue()
