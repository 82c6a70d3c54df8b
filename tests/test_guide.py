"""docs/architecture.md to the letter: its example of a new stage, put into a copy of the library, is carried out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: A workspace in which resolve and build are done, by hand: what the example reads is what it gets.
USE = """
import sys
from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.pipeline import line
from gate5.workspace import contents
from gate5.workspace.artifacts import open_workspace
from gate5.workspace.records import run_stage, read_record
from gate5.pipeline.results import StageResult

config = ReleaseConfig()
workspace = open_workspace(sys.argv[1])

def resolved(tracker):
    tracker.write_json("config.json", config.plain())
    return StageResult(workspace.uri)

def built(tracker):
    tracker.write("engine/policy.engine", b"x" * 1234)
    return StageResult(workspace.uri)

run_stage(workspace, config, "resolve", StageResult, resolved, {})
run_stage(workspace, config, "build", StageResult, built, {})
names = [stage.name for stage in contents.STAGES]
assert names[names.index("build") + 1] == "size"
(result,) = line.run(contents.stage("size"), workspace, config)
assert result.line() == "1,234 bytes"
assert line.result_type(contents.stage("size")) is type(result)
assert read_record(workspace, "size")["result"]["size"] == 1234
assert "size.json" in [file.name for file in contents.files() if file.released]
sys.exit(main(["size", "--workspace", sys.argv[1]]))
"""


def test_the_example_of_a_stage_works_as_it_stands(tmp_path: Path) -> None:
    """An entry and a new file; the third, the DAG's task, is held to the line by tests/test_architecture.py."""
    entry, module = re.findall(r"```python\n(.*?)```", (ROOT / "docs/architecture.md").read_text(), re.DOTALL)
    shutil.copytree(ROOT / "include" / "gate5", tmp_path / "gate5", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "gate5/pipeline/size.py").write_text(module)
    contents = tmp_path / "gate5/workspace/contents.py"
    before = contents.read_text()
    place = '    Stage(\n        "verify",'
    assert before.count(place) == 1
    contents.write_text(before.replace(place, f"{entry},\n{place}"))
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "GATE5_HOME": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1,234 bytes" in done.stdout, "the command `gate5 size` is there too"
