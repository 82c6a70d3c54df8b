"""Each algorithm on each kind of space: the graph gives what ``model.predict`` of the trained model gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.policy_kinds import Case, cases, measure


@pytest.mark.parametrize("case", cases(), ids=str)
@pytest.mark.filterwarnings("ignore")
def test_graph_is_predict(tmp_path: Path, case: Case) -> None:
    """Trained by SB3 or sb3-contrib, saved by it, read, exported, run by ONNX Runtime; states and frames included."""
    row = measure(case, tmp_path)
    assert row.compared == 200
    assert row.nonconstant, "a policy that always does the same proves nothing"
    assert row.error < 1e-4
    assert row.ties <= 2
