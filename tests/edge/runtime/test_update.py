"""A new release takes over while the old one drives; one that disappoints is put back and held."""

from __future__ import annotations

import json
import subprocess
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import numpy_helper

from gate5 import engine, store
from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.config.run import PullConfig, RunConfig
from gate5.edge.golden import golden_provenance, pack_golden
from gate5.edge.pull import fall_back
from gate5.edge.runtime.decision import Decision, Reading
from gate5.edge.runtime.installed import Installed
from gate5.edge.runtime.orders import Order, send
from gate5.edge.runtime.session import RunResult, Session
from gate5.edge.runtime.trial import Shadow
from gate5.edge.runtime.update import pull_command
from gate5.errors import StoreInputError
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.plant.base import Float32
from gate5.store import evidence

Change = Callable[[onnx.ModelProto], None]


def publish(home: Path, installed: Installed, channel: str, name: str, change: Change | None = None) -> str:
    """A further release: the same policy, or one with other weights; its golden inputs are its own."""
    blob = (installed.folder / "files/engine/policy.engine").read_bytes()
    metadata = dict(canonical.loads((installed.folder / "files/engine/engine.json").read_bytes()))
    model = onnx.load_from_string(blob)
    model.doc_string = name
    if change is not None:
        change(model)
    blob = model.SerializeToString()
    metadata = {k: sha256(blob) if v == installed.files["engine/policy.engine"] else v for k, v in metadata.items()}
    with np.load(installed.folder / "files/golden.npz") as arrays:
        obs = arrays[next(name for name in arrays.files if arrays[name].shape[-1] == installed.obs_dim)]
    with engine.load(blob, metadata) as loaded:
        golden = pack_golden(obs, loaded.infer(obs))
    files = {
        "engine/policy.engine": blob, "engine/engine.json": canonical.dumps(metadata), "golden.npz": golden,
        "envelope.json": (installed.folder / "files/envelope.json").read_bytes(),
    }  # fmt: skip
    config = ReleaseConfig.load(home / "release.yaml")
    opened = store.open_store(config.store)
    provenance = {
        "plant": "sco2", "engine": metadata, "gate": {"verdict": "pass"}, "golden": golden_provenance(),
        "config": config.plain(), "name": name,
    }  # fmt: skip
    release = store.publish(opened, files, provenance)
    store.promote(opened, channel, release, approved_by="me")
    return str(getattr(release, "id", release))


def slightly_wrong(model: onnx.ModelProto) -> None:
    """The last bias is a little off: quick tests pass, the plant drifts."""
    biases = [t for t in model.graph.initializer if len(t.dims) == 1 and t.dims[0] == 4 and t.data_type == 1]
    changed = numpy_helper.to_array(biases[-1]) + np.array([0.0, 0.0, 0.25, -0.25], np.float32)
    biases[-1].CopyFrom(numpy_helper.from_array(changed.astype(np.float32), biases[-1].name))


def pull(home: Path, folder: str, channel: str) -> None:
    key = str(home / "var/keys/release.pub")
    assert main(["pull", folder, "--config", str(home / "release.yaml"), "--channel", channel, "--trust", key]) == 0


class Driven:
    """A session on the simulator; ``at`` is called after each period."""

    def __init__(
        self,
        home: Path,
        folder: Path,
        scenario: str,
        at: dict[int, Callable[[], object]],
        ended: frozenset[str] | set[str] = frozenset({"passed", "put_back", "refused"}),
        more: dict[str, Any] | None = None,
    ) -> None:
        self._ended = ended
        self.said: list[str] = []
        self.sources: list[tuple[str, str, str]] = []
        self.jump = 0.0
        self._before: Any = None
        self._at = at
        config = RunConfig.load(
            None,
            {
                "trust": [str(home / "var/keys/release.pub")], "hand_over.deadline_ms": 2000.0,
                "binding.options": {"scenarios": [scenario], "episodes": 10_000}, "flight.record": False,
                "update.shadow_periods": 20, "update.probation_periods": 60, "update.check_s": 0.01, **(more or {}),
            },
        )  # fmt: skip
        with Session(folder, config, self.said.append) as self.session:
            self.session.wait_for_engine()
            self.result: RunResult = self.session.run(
                speed=float("inf"), observers=(self._observe,), stop=lambda: self._done()
            )

    def _observe(self, reading: Reading, decision: Decision) -> None:
        self.sources.append((self.session.runtime.release.id, decision.source, decision.cause))
        if self._before is not None and not reading.starts:
            self.jump = max(self.jump, float(np.abs(decision.action - self._before).max()))
        self._before = decision.action
        action = self._at.pop(len(self.sources), None)
        if action is not None:
            action()

    def _done(self) -> bool:
        outcomes = [o["outcome"] for o in self.session.update.outcomes]
        return not self._at and bool(self._ended & set(outcomes)) and self.session.update.phase == "idle"


@pytest.fixture
def folder(
    home: Path, installed: Installed, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    """A plant's folder of a channel of this test's own, with one release pulled."""
    channel = f"c{zlib.crc32(request.node.name.encode())}"
    publish(home, installed, channel, channel)
    place = tmp_path_factory.mktemp("p")
    pull(home, str(place / channel), channel)
    return place / channel


def test_a_good_release_takes_over_between_two_periods(home: Path, installed: Installed, folder: Path) -> None:
    channel = folder.name

    def next_one() -> None:
        publish(home, installed, channel, "second")
        pull(home, str(folder), channel)

    driven = Driven(home, folder, "steady_state", {30: next_one})
    outcomes = [(o["outcome"], o["release"]) for o in driven.result.updates]
    assert [name for name, _ in outcomes] == ["took_over", "passed"], driven.said
    first, second = driven.sources[0][0], outcomes[0][1]
    assert first != second
    at = next(i for i, row in enumerate(driven.sources) if row[0] == second)
    assert {row[1] for row in driven.sources} == {"policy"}, "nobody else drove, not for one period"
    assert at > 30 + 20
    assert driven.result.updates[0]["shadow"]["periods"] >= 20
    assert driven.result.updates[0]["shadow"]["largest"] == 0.0, "the same policy"
    assert (folder / "driving").resolve() == (folder / "current").resolve()
    assert driven.result.release == second


def test_the_run_pulls_by_itself(home: Path, installed: Installed, folder: Path) -> None:
    config = yaml.safe_load((home / "release.yaml").read_text())
    config["release"] = {"channel": folder.name}
    (folder.parent / "pull.yaml").write_text(yaml.safe_dump(config))
    more = {"update.pull": {"config": str(folder.parent / "pull.yaml"), "every_s": 1.0}}

    def next_one() -> None:
        publish(home, installed, folder.name, "second")

    driven = Driven(home, folder, "steady_state", {30: next_one}, more=more)
    assert [o["outcome"] for o in driven.result.updates] == ["took_over", "passed"], driven.said


def reports(home: Path) -> dict[str, Any]:
    """Overrides of a run that says to the store what became of releases."""
    told = {"config": str(home / "release.yaml"), "key": str(home / "var/keys/release.pem"), "plant": "unit-1"}
    return {"evidence": told}


def in_store(home: Path, channel: str, release: str, outcome: str) -> evidence.Record:
    """What plants have reported of a release, as soon as an outcome is in it."""
    opened = store.open_store(ReleaseConfig.load(home / "release.yaml").store)
    keys = store.load_public_keys([home / "var/keys/release.pub"])
    until = time.monotonic() + 120
    while True:
        found = evidence.record(opened, channel, release, keys)
        assert found.refused == ()
        if outcome in [update["outcome"] for each in found.found for update in each.updates]:
            return found
        assert time.monotonic() < until, found
        time.sleep(0.05)


def test_a_release_that_does_not_verify_is_refused_and_the_store_hears_of_it(
    home: Path, installed: Installed, folder: Path
) -> None:
    def next_one() -> None:
        publish(home, installed, folder.name, "changed")
        pull(home, str(folder), folder.name)
        with (folder / "current/files/envelope.json").open("ab") as file:
            file.write(b" ")

    driven = Driven(home, folder, "steady_state", {30: next_one}, more=reports(home))
    (outcome,) = driven.result.updates
    assert outcome["outcome"] == "refused"
    assert outcome["release"] == json.loads((folder / "current/entry.json").read_bytes())["release"]
    assert {row[1] for row in driven.sources} == {"policy"}
    found = in_store(home, folder.name, outcome["release"], "refused")
    ((_, plant, said, why),) = found.against()
    assert (plant, said) == ("unit-1", "refused")
    assert "was changed" in why
    assert "refused at unit-1" in found.line()


def test_a_release_that_is_bad_only_on_probation_is_put_back_and_held(
    home: Path, installed: Installed, folder: Path
) -> None:
    channel = folder.name
    first = json.loads((folder / "current/entry.json").read_bytes())["release"]

    def next_one() -> None:
        publish(home, installed, channel, "bad", slightly_wrong)
        pull(home, str(folder), channel)

    driven = Driven(home, folder, "steady_state", {30: next_one}, more=reports(home))
    outcomes = [(o["outcome"], o["release"]) for o in driven.result.updates]
    assert [name for name, _ in outcomes] == ["took_over", "put_back"], driven.said
    bad = outcomes[0][1]
    found = in_store(home, channel, bad, "put_back")
    assert found.against()[0][2] == "put_back"
    assert "took_over" in [update["outcome"] for each in found.found for update in each.updates]
    assert sum(each.alarms for each in found.found) >= 1, "it speaks against the release"
    assert bad == outcomes[1][1] != first
    assert driven.result.release == first
    assert sum(e["violations"] for e in driven.result.episodes) == 0
    assert any("held back" in text for text in driven.said), driven.said
    assert json.loads((folder / "current/entry.json").read_bytes())["release"] == first
    assert json.loads((folder / "state.json").read_bytes())["held"]["reason"].startswith("put back from probation")
    pull(home, str(folder), channel)  # the next pull leaves it
    assert json.loads((folder / "current/entry.json").read_bytes())["release"] == first


def test_a_killed_supervisor_goes_on_with_what_was_proved(home: Path, installed: Installed, folder: Path) -> None:
    """Between take-over and the end of the probation, the next start begins with the last release again."""
    channel = folder.name
    first = (folder / "current").resolve()
    publish(home, installed, channel, "second")
    (folder / "driving").symlink_to(first.relative_to(folder))
    pull(home, str(folder), channel)
    publish(home, installed, channel, "third")
    pull(home, str(folder), channel)
    assert first.is_dir(), "a pull keeps what drives"
    driven = Driven(home, folder, "steady_state", {1: lambda: None})
    assert driven.sources[0][0] == json.loads((first / "entry.json").read_bytes())["release"]
    assert [o["outcome"] for o in driven.result.updates] == ["took_over", "passed"]


def test_a_rollback_takes_over_at_once_and_what_it_replaces_is_not_put_back(
    home: Path, installed: Installed, folder: Path
) -> None:
    channel = folder.name
    first = json.loads((folder / "current/entry.json").read_bytes())["release"]
    publish(home, installed, channel, "second")
    pull(home, str(folder), channel)

    def back() -> None:
        config = ["--config", str(home / "release.yaml"), "--channel", channel]
        assert main(["rollback", *config, "--by", "me", "--reason", "a test"]) == 0
        pull(home, str(folder), channel)

    driven = Driven(home, folder, "steady_state", {30: back, 150: lambda: None}, ended={"took_over"})
    (outcome,) = driven.result.updates
    assert (outcome["outcome"], outcome["release"], outcome["reason"]) == ("took_over", first, "rollback")
    assert outcome["shadow"]["periods"] == 0
    assert {row[1] for row in driven.sources} == {"policy"}


def test_what_a_person_fell_back_from_does_not_drive_on(home: Path, installed: Installed, folder: Path) -> None:
    first = json.loads((folder / "current/entry.json").read_bytes())["release"]
    publish(home, installed, folder.name, "second")
    pull(home, str(folder), folder.name)
    driven = Driven(home, folder, "steady_state", {30: lambda: fall_back(folder, "it hunts")}, ended={"took_over"})
    (outcome,) = driven.result.updates
    assert (outcome["outcome"], outcome["release"]) == ("took_over", first)
    assert outcome["shadow"]["periods"] == 0, "it drove no period more in which it could have been replaced"
    assert driven.result.release == first
    assert (folder / "driving").resolve() == (folder / "current").resolve()


def test_what_a_person_fell_back_from_is_not_what_the_next_start_begins_with(
    home: Path, installed: Installed, folder: Path
) -> None:
    """It had passed its probation, so that `driving` names it; the person's word is the newer one."""
    first = json.loads((folder / "current/entry.json").read_bytes())["release"]
    publish(home, installed, folder.name, "second")
    pull(home, str(folder), folder.name)
    (folder / "driving").symlink_to((folder / "current").readlink())
    assert fall_back(folder, "it hunts") == first
    config = RunConfig.load(None, {"trust": [str(home / "var/keys/release.pub")], "flight.record": False})
    with Session(folder, config, print) as session:
        assert session.release.id == first


def test_a_release_that_a_person_keeps_out_has_proved_nothing(home: Path, installed: Installed, folder: Path) -> None:
    """All periods of its probation pass while the baseline drives: the last release is still there to go back to."""

    class Waits(Driven):
        since = 0

        def _done(self) -> bool:
            outcomes = [o["outcome"] for o in self.session.update.outcomes]
            self.since += "took_over" in outcomes
            if self.since == 200:
                assert outcomes == ["took_over"], "it has not driven a single period"
                assert self.session.update.phase == "probation"
                send(folder, Order("give_back", "done"))
            return super()._done()

    def next_one() -> None:
        send(folder, Order("hand_over", "maintenance at the cooler"))
        publish(home, installed, folder.name, "second")
        pull(home, str(folder), folder.name)

    driven = Waits(home, folder, "steady_state", {30: next_one})
    assert [o["outcome"] for o in driven.result.updates] == ["took_over", "passed"]
    second = driven.result.release
    assert sum(row == (second, "policy", "") for row in driven.sources) >= 60


def test_pulling_by_itself_takes_what_the_machine_takes(home: Path, installed: Installed, folder: Path) -> None:
    before = (folder / "current").resolve()
    publish(home, installed, folder.name, "second")
    config = yaml.safe_load((home / "release.yaml").read_text())
    config["release"] = {"channel": folder.name}
    (folder.parent / "pull.yaml").write_text(yaml.safe_dump(config))
    (folder.parent / "limits.yaml").write_text("plants: [another]\n")
    told = {"config": str(folder.parent / "pull.yaml"), "limits": str(folder.parent / "limits.yaml")}
    trust = [str(home / "var/keys/release.pub")]
    done = subprocess.run(pull_command(folder, trust, PullConfig(**told)), capture_output=True, text=True, cwd=home)
    assert done.returncode == 3
    assert "this machine takes another" in done.stderr
    assert (folder / "current").resolve() == before
    assert "--require-proof" in pull_command(folder, trust, PullConfig(**told, require_proof=True))
    told["limits"] = str(folder.parent / "nowhere.yaml")
    with pytest.raises(StoreInputError, match=r"nowhere\.yaml"):  # before anything drives
        Session(folder, RunConfig.load(None, {"trust": trust, "update.pull": told}), print)


class Line:
    """An engine process that answers what it is told to."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers = answers

    def ask(self, obs: Float32) -> None:
        return None

    def wait(self, until: float) -> Any:
        return self.answers.pop(0)

    def reset(self) -> None:
        """Nothing to forget."""


@pytest.mark.parametrize(
    ("answers", "wrong", "late"),
    [
        ([np.zeros(4, np.float32)] * 3, "", 0),
        ([np.zeros(4, np.float32), np.full(4, np.nan, np.float32), np.zeros(4, np.float32)], "nan", 0),
        ([np.full(4, 1.5, np.float32)] * 3, "out of the actuators' range", 0),
        ([("late", ""), ("engine_dead", ""), np.zeros(4, np.float32)], "", 2),
    ],
)
def test_what_a_shadow_is_judged_by(installed: Installed, answers: list[Any], wrong: str, late: int) -> None:
    shadow = Shadow(installed, Line(list(answers)))  # type: ignore[arg-type]
    applied = Decision(np.full(4, 0.25, np.float32), "policy")
    for _ in range(4):
        shadow.add(Reading(np.zeros(36, np.float32)), applied, 0.0)
    assert wrong in shadow.wrong
    assert (shadow.wrong == "") == (wrong == "")
    assert shadow.late == late
    assert shadow.periods == 3
    if not wrong:
        assert shadow.largest == shadow.mean == 0.25
