"""A release that is on one channel goes to another as it is, if its evidence is what the other one demands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5 import store
from gate5.cli.main import main
from gate5.config.channel import ChannelConfig
from gate5.config.models import ReleaseConfig
from gate5.edge.release_files import in_store
from gate5.errors import RefusedError, StoreInputError
from gate5.io import canonical
from gate5.pipeline import promote
from gate5.pipeline.admitted import admitted
from gate5.pipeline.between_channels import promote_between
from gate5.pipeline.shadowed import check_shadow
from gate5.store import evidence, keygen, load_signer, open_store, publish
from gate5.store.candidate import candidates_of
from gate5.workspace import origin
from gate5.workspace.artifacts import open_workspace
from tests.pipeline.test_to_the_plant import CONFIG

GOOD = Path(__file__).parents[2] / "examples/checkpoints/good"
LATENCY = {"name": "latency", "metric": "latency.p99_upper_ms", "op": "<", "threshold": "sla_p99_ms"}
DRIVEN = {"name": "more", "metric": "evaluation.*.rl.engine_episodes", "op": ">=", "threshold": 2}
PEOPLE = {"approvers": ["ada", "bob"], "two_person": True}
DEMANDS: dict[str, Any] = {
    "production": {},
    "slow": {"sla_p99_ms": 900, "rules": [LATENCY]},
    "fast": {"sla_p99_ms": 1e-6, "rules": [LATENCY]},
    "driven": {"rules": [DRIVEN]},
    "many": {"episodes": 2},
    "wide": {"scenarios": ["steady_state"]},
    "sure": {"confidence": 0.99},
    "moved": {"plant": {"id": "sco2", "options": {"turbine_efficiency": 0.91}}},
    "alone": {"baseline": {"kind": "none"}},
    "alike": {"confidence": 0.95, "plant": {"id": "sco2"}, "baseline": {"kind": "pid"}},
    "people": PEOPLE,
    "gpu": {"require_backend": "tensorrt"},
    "frozen": {"freeze": {"reason": "outage of unit 2", "until": "2999-01-01T00:00:00+00:00"}},
    "shadowed": {"shadow_hours": 2.0},
    "thawed": {"freeze": {"reason": "outage of unit 1", "until": "2020-01-01T00:00:00+00:00"}},
}

Move = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One real release on the channel ``staging``; each test has a target channel of its own."""
    home = tmp_path_factory.mktemp("home")
    config = CONFIG | {"release": {"channel": "staging"}, "channels": DEMANDS}
    (home / "release.yaml").write_text(yaml.safe_dump(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATE5_HOME", str(home))
        assert main(["keygen"]) == 0
        arguments = ["--config", str(home / "release.yaml"), "--workspace", str(home / "w")]
        assert main(["release", str(GOOD), *arguments]) == 0
    return home


@pytest.fixture
def move(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Move:
    monkeypatch.setenv("GATE5_HOME", str(home))

    def run(target: str, *arguments: str, source: str = "staging", command: str = "promote") -> tuple[int, str]:
        where = ["--from", source, "--to", target] if command == "promote" else ["--channel", target]
        code = main([command, *where, "--config", str(home / "release.yaml"), *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def released(home: Path) -> str:
    return str(json.loads((home / "w/release.json").read_text())["release_id"])


def test_the_same_signed_release(home: Path, move: Move) -> None:
    code, said = move("production", released(home), "--comment", "after a week on staging")
    assert (code, f"{released(home)} is now in production" in said) == (0, True)
    assert move("production")[0] == 0, "again: it is there already"
    entries = json.loads(move("production", "--json", command="history")[1])["entries"]
    assert len(entries) == 1
    assert entries[0]["details"]["from"] == {"channel": "staging", "sequence": 1}
    staging = json.loads(move("staging", "--json", command="history")[1])["entries"][0]
    assert entries[0]["manifest_sha256"] == staging["manifest_sha256"]
    assert entries[0]["made"] == staging["made"] is not None


def test_what_was_judged_as_demanded_comes(move: Move) -> None:
    assert move("alike")[0] == 0


@pytest.mark.parametrize(
    ("target", "match"),
    [
        ("fast", "does not pass what the channel fast demands: latency: latency.p99_upper_ms is"),
        ("driven", "more: evaluation.emergency_trip.rl.engine_episodes is 1"),
        ("many", "judged by 1 episodes of each scenario, and the channel many demands 2"),
        ("wide", "was not judged in steady_state"),
        ("sure", "judged at 0.95 confidence (evaluation.confidence), and the channel sure demands 0.99"),
        ("moved", "judged on another plant than the channel moved demands"),
        ("alone", "judged against another baseline than the channel alone demands"),
        ("frozen", "frozen (outage of unit 2, until 2999-01-01T00:00:00+00:00)"),
    ],
)
def test_what_the_target_demands_is_asked_of_the_evidence(move: Move, target: str, match: str) -> None:
    code, said = move(target)
    assert code == 1
    assert match in said
    assert "Nothing was ever promoted" in move(target, command="history")[1]


def test_hours_in_shadow_at_a_plant(home: Path, move: Any) -> None:
    """Signed reports of plants of the channel that it comes from; a stranger's, a simulator's and old ones do not."""
    opened = open_store(ReleaseConfig.load(home / "release.yaml").store)
    signer, stranger = opened.signer, load_signer(keygen(home / "stranger.pem").private)

    def report(minute: int, hours: float, by: Any = signer, **changes: Any) -> None:
        at = f"2026-01-01T00:{minute:02d}:00+00:00"
        said: dict[str, Any] = {
            "plant": "unit-1", "channel": "staging", "release": released(home), "mode": "shadow", "binding": "opcua",
            "began": at, "ended": at, "period_s": 3600.0 * hours, "periods": {"baseline": 1}, "hand_overs": {},
            "causes": {}, "missed": 0, "lost": 0, "margins": {}, "shadow": {}, "drift": {},
        }  # fmt: skip
        evidence.keep(opened, evidence.Evidence(**{**said, **changes}).sign(by))

    assert "has driven 0 h in shadow without an alarm, and the channel shadowed demands 2" in move("shadowed")[1]
    report(1, 5.0, by=stranger)
    report(2, 5.0, binding="simulator")
    report(3, 5.0, mode="control")
    report(4, 5.0)
    report(5, 1.5, causes={"answer_too_fast": 1}, plant="unit-2")
    report(6, 1.5)
    code, said = move("shadowed")
    assert code == 1
    assert "has driven 1.5 h in shadow without an alarm (1 reports do not count" in said
    report(7, 0.5, plant="unit-2")
    assert move("shadowed")[0] == 0
    shown = move("staging", released(home), command="show")[1]
    assert "5 h in control (0 h by the policy; no hand-over) and 8.5 h in shadow, the last 2 h without alarm" in shown


def test_a_run_does_not_get_round_the_hours_in_shadow(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that is made on the channel itself has driven nowhere yet."""
    monkeypatch.setenv("GATE5_HOME", str(home))
    config = ReleaseConfig.load(home / "release.yaml", {"release.channel": "unseen"})
    asked = {"channels": {**config.plain()["channels"], "unseen": {"shadow_hours": 1.0}}}
    config = ReleaseConfig.parse({**config.plain(), **asked})
    with pytest.raises(RefusedError, match="the channel unseen demands 1: let plants of another channel"):
        check_shadow(open_store(config.store), config, released(home), "unseen")


@pytest.mark.parametrize("target", ["slow", "thawed"])
def test_evidence_that_is_enough(move: Move, target: str) -> None:
    assert move(target)[0] == 0


def test_people(move: Move) -> None:
    for arguments, match in (
        ([], "asks for an approval by ada or bob"),
        (["--approved-by", "eve"], "'eve' is none of them"),
        (["--approved-by", "ada", "--started-by", "Ada"], "'ada' started the run and cannot approve it"),
    ):
        code, said = move("people", *arguments)
        assert (code, match in said) == (2, True), said
    assert move("people", "--approved-by", "bob", "--started-by", "ada", "--comment", "seen on staging")[0] == 0
    (entry,) = json.loads(move("people", "--json", command="history")[1])["entries"]
    approval = entry["details"]["approval"]
    assert (entry["by"], approval["started_by"], approval["comment"]) == ("bob", "ada", "seen on staging")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--from", "staging", "--to", "gpu"], "takes tensorrt only"),
        (["--from", "staging", "--to", "x", "sco2-000000000000"], "was never on the channel staging"),
        (["--from", "staging", "--to", "x", "../../etc"], "was never on the channel staging"),
        (["--from", "nowhere", "--to", "x"], "Nothing was ever promoted on the channel nowhere"),
        (["--from", "staging", "--to", "staging"], "to itself"),
        (["--from", "staging"], "needs --from CHANNEL and --to CHANNEL"),
        (["--from", "staging", "--to", "x", "--workspace", "w"], "no --workspace"),
        ([], "Nothing was named to promote"),
    ],
)
def test_bad_input(
    home: Path,
    arguments: list[str],
    match: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GATE5_HOME", str(home))
    assert main(["promote", *arguments, "--config", str(home / "release.yaml")]) == 2
    assert match in capsys.readouterr().err


def test_what_a_file_says_of_its_own_channel_is_demanded_there(home: Path, move: Move) -> None:
    """Without a section in `channels`: what it says of approval and backend for its own runs."""

    def config(name: str, release: dict[str, Any], gate: dict[str, Any]) -> list[str]:
        path = home / f"{name}.yaml"
        path.write_text(yaml.safe_dump(CONFIG | {"release": {"channel": name, **release}, "gate": gate}))
        return ["--config", str(path)]

    code, said = move("own", *config("own", {"require_backend": "tensorrt"}, {}))
    assert (code, "takes tensorrt only" in said) == (2, True), said
    strict = config("own", {"approval": "required"}, {"sla_p99_ms": 900})
    code, said = move("own", *strict)
    assert (code, "asks for an approval by a person" in said) == (2, True), said
    assert "Nothing was ever promoted" in move("own", command="history")[1]
    assert move("own", *strict, "--approved-by", "bob")[0] == 0


@pytest.mark.parametrize("written", [{}, {"uri": "./var/store/", "region": "eu-central-1"}])
def test_a_channel_that_was_frozen_after_the_run_began(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], written: dict[str, str]
) -> None:
    """The run's own configuration is older than the freeze, and may write the same store in another way."""
    monkeypatch.setenv("GATE5_HOME", str(home))
    default = home / "config/release.yaml"
    default.parent.mkdir()
    try:
        for until, code in (("2999-01-01T00:00:00+05:30", 1), ("2020-01-01T00:00:00-08:00", 0)):
            freeze = {"staging": {"freeze": {"reason": "outage of unit 3", "until": until}}}
            default.write_text(yaml.safe_dump({"store": written, "channels": freeze}))
            assert main(["promote", "--workspace", str(home / "w")]) == code
            said = capsys.readouterr()
            assert ("frozen (outage of unit 3" in said.out + said.err) == bool(code)
    finally:
        default.unlink()
        default.parent.rmdir()


def test_what_is_held_on_its_own_channel_goes_nowhere(home: Path, move: Move) -> None:
    """The policy of ``thawed``'s log, held on a channel that it came through."""
    assert move("through")[0] == 0
    identity = json.loads(move("through", "--json", command="history")[1])["entries"][0]["details"]["identities"][0]
    said = ["--by", "ada", "--reason", "no"]
    assert move("through", identity, *said, command="hold")[0] == 2, "the current release is not held, but rolled back"
    assert move("held-there", identity, *said, command="hold")[0] == 0
    code, text = move("held-there")
    assert (code, "held on the channel held-there" in text) == (1, True)
    assert move("held-there", identity[:12], *said, command="release-hold")[0] == 0
    assert move("held-there")[0] == 0


@pytest.mark.parametrize(
    ("source", "target", "release", "error"),
    [
        ("staging", "staging", None, StoreInputError),
        ("nowhere", "production", None, StoreInputError),
        ("staging", "production", "sco2-000000000000", StoreInputError),
        ("staging", "gpu", None, StoreInputError),
        ("staging", "frozen", None, RefusedError),
        ("staging", "fast", None, RefusedError),
        ("staging", "shadowed-more", None, RefusedError),
        ("staging", "not-there", None, RefusedError),
        ("held-at-its-source", "production", None, RefusedError),
    ],
)
def test_nobody_is_asked_for_what_would_be_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str, release: str | None, error: type[Exception]
) -> None:
    """The form says no with the sentence that the promotion would have said after a person's yes."""
    monkeypatch.setenv("GATE5_HOME", str(home))
    config = ReleaseConfig.load(home / "release.yaml")
    config = config.demanding(ChannelConfig(shadow_hours=1e6), "shadowed-more")
    opened = open_store(config.store)
    policy = candidates_of(in_store(opened, released(home), [opened.signer.public_key]).release)[0]
    if source == "held-at-its-source" and store.current(opened, source) is None:
        store.promote(opened, source, released(home), approved_by="gate5")
        said = {"plant": "x", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
        other = publish(opened, {"policy.onnx": b"another"}, said)
        store.promote(opened, source, other, approved_by="gate5")
        store.hold(opened, source, policy, by="ada", reason="no")
        release = released(home)
    if target == "not-there":
        store.hold(opened, target, policy, by="ada", reason="no")
    with pytest.raises(error) as asked:
        admitted(config, source, target, release)
    with pytest.raises(error) as done:
        promote_between(config, source, target, release, approved_by="bob")
    assert str(asked.value) == str(done.value)


def test_a_try_whose_end_nobody_heard_has_promoted(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the channel says by now; a try of another run, or one that promoted nothing, is no such try."""
    shutil.copytree(home, tmp_path / "home")
    monkeypatch.setenv("GATE5_HOME", str(tmp_path / "home"))
    workspace = open_workspace(str(tmp_path / "home/w"))
    config = ReleaseConfig.parse(workspace.read_json("config.json"))
    origin.write(workspace, origin.Origin("policy_release", "nightly"))
    assert promote.promoted_before(workspace, config) is None, "the channel has the release, and not by this run"
    for name in ("channels", "claims"):
        shutil.rmtree(tmp_path / "home" / config.store.uri / name)
    assert promote.promoted_before(workspace, config) is None
    first = promote.promote(workspace, config)
    (tmp_path / "home/w/release.json").unlink()
    assert promote.promoted_before(workspace, config) == first
    assert workspace.read_json("release.json") == first.to_dict()
    assert promote.promote(workspace, config).outcome == "already_current"
    origin.write(workspace, origin.Origin("policy_release", "nightly 2"))
    assert promote.promoted_before(workspace, config) is None

    run, to = {"dag_id": "policy_promote", "run_id": "onwards"}, ("staging", "onwards", first.release_id)
    assert promote_between(config, *to, run=run, again=True).outcome == "promoted", "the first try came to nothing"
    assert promote_between(config, *to, run=run).outcome == "already_current"
    frozen = config.demanding(ChannelConfig.model_validate(DEMANDS["frozen"]), "onwards")
    assert promote_between(frozen, *to, run=run, again=True).outcome == "promoted"
    with pytest.raises(RefusedError, match="frozen"):
        promote_between(frozen, *to, run=run | {"run_id": "another"}, again=True)


def test_whether_a_person_is_asked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE5_HOME", str(home))
    config = ReleaseConfig.load(home / "release.yaml")
    assert admitted(config, "staging", "people", None) == (released(home), True)
    assert admitted(config, "staging", "unheard-of", None) == (released(home), False)


def test_a_channels_approvers_alone_lift_a_hold(home: Path, move: Move) -> None:
    said = ["--reason", "as I say"]
    identity = "ab" * 32
    assert move("people", identity, *said, "--by", "eve", command="hold")[0] == 0, "anybody may say no"
    for who in ("eve", "gate5", "ADA"):
        code, text = move("people", identity[:12], *said, "--by", who, command="release-hold")
        assert (code, f"lifted by ada or bob, and '{who}' is none of them" in text) == (2, True), text
    assert move("people", identity[:12], *said, "--by", "bob", command="release-hold")[0] == 0
    (lift, held) = json.loads(move("people", "--json", command="history")[1])["entries"][:2]
    assert [(lift["kind"], lift["by"]), (held["kind"], held["by"])] == [("lift", "bob"), ("hold", "eve")]


def test_show_says_what_it_is_and_where_it_stands(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATE5_HOME", str(home))
    config = ["--config", str(home / "release.yaml")]
    assert main(["show", released(home), "--json", *config]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["release"], about["verdict"], about["backend"]) == (released(home), "pass", "onnxruntime")
    checkpoint = json.loads((home / "w/checkpoint.json").read_text())
    assert about["function"] == checkpoint["function_sha256"]
    staging = next(each for each in about["channels"] if each["channel"] == "staging")
    assert staging["current"]
    assert f"channel staging: current since {staging['entry']['at']}" in about["text"]
    assert main(["show", *config]) == 0
    assert released(home) in capsys.readouterr().out
    assert main(["show", "sco2-000000000000", *config]) == 2


def test_diff_of_two_releases(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The other one is the same evidence, signed with another setting and a slower engine."""
    monkeypatch.setenv("GATE5_HOME", str(home))
    opened = open_store(ReleaseConfig.load(home / "release.yaml").store)
    first = in_store(opened, released(home), [opened.signer.public_key])
    files = {name: first.read(name) for name in first.release.files}
    said = json.loads(files["config.json"])
    said["gate"]["sla_p99_ms"] = 999.0
    said["gate"]["rules"][0]["veto"] = False
    rows = json.loads(files["comparison.json"])
    rows["scenarios"][0]["rl"]["return_mean"] = 1.25
    gate = json.loads(files["gate.json"])
    gate["rules"][1]["measured"] = 5e-5
    for name, value in (("config.json", said), ("comparison.json", rows), ("gate.json", gate)):
        files[name] = canonical.dumps(value)
    provenance = {
        **first.release.provenance,
        "candidate": {**first.release.provenance["candidate"], "precision": "fp16"},
    }
    other = publish(opened, files, provenance, identity=first.release.identity)
    config = ["--config", str(home / "release.yaml")]
    assert main(["diff", released(home), other.id, "--json", *config]) == 0
    found = json.loads(capsys.readouterr().out)
    names = {section: [row["name"] for row in rows] for section, rows in found["differences"].items()}
    assert names == {
        "policy": ["identity", "precision"],
        "config": ["gate.sla_p99_ms"],
        "rules": ["driven"],
        "numbers": ["parity.engine.max_abs_error"],
        "scenarios": ["emergency_trip.rl.return_mean"],
    }
    assert "gate.sla_p99_ms: 1000 -> 999" in found["text"]
    assert main(["diff", released(home), released(home), *config]) == 0
    assert capsys.readouterr().out.count("the same") == 5
    for pair in ((released(home), "sco2-000000000000"), ("../x", released(home))):
        assert main(["diff", *pair, *config]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
