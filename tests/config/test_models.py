"""The configuration: what a person gets wrong is named with its key, its value and the way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from gate5.config.models import ReleaseConfig
from gate5.config.text import model_in
from gate5.errors import ConfigError
from gate5.io.paths import resolve_path
from tests.support.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
RULE = {"name": "r", "metric": "m", "op": "<", "threshold": 1.0}


def written(path: Path, text: str) -> Path:
    file = path / "release.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(data: Any) -> str:
    """The text of the error that ``data`` gives."""
    with pytest.raises(ConfigError) as caught:
        ReleaseConfig.parse(data)
    return str(caught.value)


def keys(model: type[BaseModel], start: str = "") -> Iterator[tuple[str, str | None]]:
    """Every key with its description."""
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        if inner is not None:
            yield from keys(inner, f"{start}{name}.")
        else:
            yield f"{start}{name}", field.description


class TestDefaults:
    def test_the_shipped_file_is_the_default(self) -> None:
        assert ReleaseConfig.load(ROOT / "config/release.yaml") == ReleaseConfig()

    def test_an_empty_file_is_the_default(self, tmp_path: Path) -> None:
        assert ReleaseConfig.load(written(tmp_path, "# nothing\n")) == ReleaseConfig()

    def test_the_plain_form_gives_the_same_configuration_and_hash(self) -> None:
        config = ReleaseConfig.parse({"gate": {"sla_p99_ms": 0.5}, "plant": {"options": {"a": [1, None]}}})
        again = ReleaseConfig.parse(json.loads(json.dumps(config.plain())))
        assert again == config
        assert again.sha256 == config.sha256 != ReleaseConfig().sha256

    def test_every_key_has_a_description(self) -> None:
        found = dict(keys(ReleaseConfig))
        assert len(found) > 40
        assert [key for key, text in found.items() if not text] == []

    def test_the_documents_made_from_the_models_are_up_to_date(self) -> None:
        script = [sys.executable, str(ROOT / "scripts/make_config_docs.py"), "--check"]
        outcome = subprocess.run(script, capture_output=True, text=True, check=False)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr

    def test_the_default_vetoes_cover_what_a_release_promises(self) -> None:
        vetoes = {rule.metric: (rule.op, rule.threshold) for rule in ReleaseConfig().gate.rules if rule.veto is True}
        assert vetoes == {
            "parity.onnx.max_abs_error": ("<", 1e-4),
            "parity.engine.max_abs_error": ("<", 1e-2),
            "latency.p99_upper_ms": ("<", "sla_p99_ms"),
            "evaluation.*.rl.violations": ("==", 0.0),
            "parity.engine.repeat_mismatches": ("==", 0.0),
            "evaluation.*.baseline.episodes": (">=", 1.0),
            "evaluation.emergency_trip.rl.engine_episodes": (">=", 1.0),
            "evidence.declared": ("==", 1.0),
            "evaluation.*.rl.violation_probability_upper": ("<", 0.001),
            "worst_case.*.margin": (">", 0.0),
            "stress.*.expected.violating_episodes": ("==", 0.0),
            "evaluation.*.term.essential_inferior": ("==", 0.0),
        }
        assert ReleaseConfig().gate.sla_p99_ms == 1.0
        assert len(SCENARIOS) == 7

    def test_a_loaded_configuration_cannot_be_changed(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            ReleaseConfig().gate.sla_p99_ms = 5.0  # type: ignore[misc]


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("data", "wrong", "right"),
        [
            ({"gat": {}}, "'gat'", "did you mean 'gate'?"),
            ({"gate": {"sla_p99": 1}}, "'gate.sla_p99'", "did you mean 'sla_p99_ms'?"),
            ({"engine": {"profile": {"maxbatch": 1}}}, "'engine.profile.maxbatch'", "did you mean 'max_batch'?"),
            ({"gate": {"rules": [RULE | {"vetto": True}]}}, "'gate.rules.0.vetto'", "did you mean 'veto'?"),
            ({"schedule": {"zzz": 1}}, "'schedule.zzz'", "the keys here are cron"),
        ],
    )
    def test_the_close_one_is_named(self, data: Any, wrong: str, right: str) -> None:
        text = refusal(data)
        assert f"unknown key {wrong}" in text
        assert right in text

    def test_several_mistakes_are_told_at_once(self) -> None:
        text = refusal({"gat": 1, "export": {"opset": 3}})
        assert "'gat'" in text
        assert "export.opset" in text


class TestValues:
    @pytest.mark.parametrize(
        ("data", "parts"),
        [
            ({"export": {"samples": 10}}, ("export.samples", "1000", "10")),
            ({"release": {"channel": "Prod Line"}}, ("release.channel", "'Prod Line'")),
            ({"engine": {"backend": "openvino"}}, ("engine.backend", "'tensorrt'", "'openvino'")),
            ({"engine": {"profile": {"opt_batch": 8, "max_batch": 4}}}, ("engine.profile", "1, 8, 4")),
            ({"engine": {"profile": {"min_batch": 2, "opt_batch": 2}}}, ("set it to 1",)),
            ({"evaluation": {"scenarios": ["a", "b", "a"]}}, ("evaluation.scenarios", "'a'", "twice")),
            ({"evaluation": {"scenarios": []}}, ("evaluation.scenarios", "at least 1")),
            ({"plant": {"options": {"x": float("nan")}}}, ("plant.options", "JSON")),
            ({"evaluation": {"scenarios": "hold"}}, ("evaluation.scenarios", "a list", "'hold'")),
            ({"gate": None}, ("gate is empty", "remove the line")),
            ({"gate": 3}, ("gate is 3", "section")),
            ([], ("mapping of sections", "list")),
        ],
    )
    def test_key_value_and_way_out_are_named(self, data: Any, parts: tuple[str, ...]) -> None:
        text = refusal(data)
        assert all(part in text for part in parts), text

    def test_a_wrong_rule_is_told_once_without_the_machinerys_noise(self) -> None:
        text = refusal({"gate": {"rules": [RULE | {"threshold": "fast"}]}})
        assert text == (
            "In the configuration: gate.rules.0.threshold: it must be a finite number or 'sla_p99_ms' (got 'fast')."
        )


class TestGateCannotBeSwitchedOff:
    """A gate with no rule, no limit or no veto passes everything; none of that can be configured."""

    @pytest.mark.parametrize("limit", [float("inf"), float("nan"), float("-inf")])
    def test_a_threshold_must_be_finite(self, limit: float) -> None:
        assert "gate.rules.0.threshold" in refusal({"gate": {"rules": [RULE | {"threshold": limit}]}})
        assert "gate.sla_p99_ms" in refusal({"gate": {"sla_p99_ms": limit}})

    @pytest.mark.parametrize("limit", [0, -1.0])
    def test_an_sla_must_be_positive(self, limit: float) -> None:
        assert "gate.sla_p99_ms" in refusal({"gate": {"sla_p99_ms": limit}})

    def test_no_rules(self) -> None:
        assert "gate.rules" in refusal({"gate": {"rules": []}})

    def test_no_threshold(self) -> None:
        rule = {key: value for key, value in RULE.items() if key != "threshold"}
        assert "gate.rules.0.threshold: Field required" in refusal({"gate": {"rules": [rule]}})

    def test_no_veto(self) -> None:
        assert "veto: true" in refusal({"gate": {"rules": [RULE | {"veto": False}]}})

    def test_two_rules_of_one_name(self) -> None:
        assert "'r'" in refusal({"gate": {"rules": [RULE, RULE]}})


class TestFiles:
    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"no\.yaml cannot be read .*--config"):
            ReleaseConfig.load(tmp_path / "no.yaml")

    def test_yaml_errors_name_line_and_column(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"not valid YAML at line 3, column \d+"):
            ReleaseConfig.load(written(tmp_path, "gate:\n  sla_p99_ms: 1\n  rules: [}\n"))

    def test_a_section_given_twice_does_not_silently_win(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"line 3.*'gate' is there twice"):
            ReleaseConfig.load(written(tmp_path, "gate:\n  sla_p99_ms: 0.5\ngate:\n  sla_p99_ms: 9\n"))

    def test_a_list_or_a_word_is_not_the_default_configuration(self, tmp_path: Path) -> None:
        for text in ("[]\n", "false\n", "0\n", "''\n", "hello\n"):
            with pytest.raises(ConfigError, match="must be a mapping"):
                ReleaseConfig.load(written(tmp_path, text))

    def test_bytes_that_are_not_text(self, tmp_path: Path) -> None:
        (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ConfigError, match="not UTF-8"):
            ReleaseConfig.load(tmp_path / "b.yaml")

    def test_yaml_cannot_make_objects(self, tmp_path: Path) -> None:
        canary = tmp_path / "canary"
        with pytest.raises(ConfigError, match="not valid YAML"):
            ReleaseConfig.load(written(tmp_path, f"plant: !!python/object/apply:os.mkdir ['{canary}']\n"))
        assert not canary.exists()

    def test_thresholds_as_yaml_writes_them(self, tmp_path: Path) -> None:
        # YAML 1.1 reads 1e-4 as text; it must still be the number.
        rules = "gate:\n  rules:\n    - {name: a, metric: m, op: '<', threshold: 1e-4}\n"
        assert ReleaseConfig.load(written(tmp_path, rules)).gate.rules[0].threshold == 1e-4


class TestOverrides:
    def test_they_win_over_the_file(self, tmp_path: Path) -> None:
        file = written(tmp_path, "release: {channel: a}\ngate: {sla_p99_ms: 2}\n")
        config = ReleaseConfig.load(file, {"release.channel": "b", "latency.cpu": 1})
        assert (config.release.channel, config.gate.sla_p99_ms, config.latency.cpu) == ("b", 2.0, 1)

    @pytest.mark.parametrize(
        ("key", "part"), [("release.chanel", "did you mean 'channel'?"), ("release.channel.x", "'release.channel.x'")]
    )
    def test_a_wrong_one_is_named(self, tmp_path: Path, key: str, part: str) -> None:
        with pytest.raises(ConfigError) as caught:
            ReleaseConfig.load(written(tmp_path, "release: {channel: a}\n"), {key: "b"})
        assert part in str(caught.value)


class TestPaths:
    def test_relative_ones_start_at_gate5_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GATE5_HOME", str(tmp_path))
        assert resolve_path("var/store") == tmp_path / "var/store"
        assert resolve_path("/abs") == Path("/abs")

    def test_without_it_at_the_current_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("GATE5_HOME", raising=False)
        monkeypatch.chdir(tmp_path)
        assert resolve_path("x") == tmp_path / "x"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([key for key, _ in keys(ReleaseConfig)]), ANYTHING, max_size=3))
def test_any_values_give_a_configuration_that_can_be_hashed_or_one_sentence(values: dict[str, Any]) -> None:
    text = None
    try:
        config = ReleaseConfig.load(overrides=values)
    except ConfigError as error:
        text = str(error)
    if text is None:
        assert len(config.sha256) == 64
    else:
        # what does not hold between two values is told of their section
        named = {name for key in values for name in (key.removeprefix("gate.rules."), key.rpartition(".")[0])}
        assert any(name in text for name in named if name) or "gate.rules" in text, text
        assert text.endswith(".")


def test_the_module_needs_no_more_than_pydantic_and_yaml() -> None:
    code = (
        "import sys, gate5.config.models, gate5.gate.judge; "
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'airflow', 'boto3', 'plotly', 'gymnasium'} & set(sys.modules)))"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert outcome.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        ("sco2", "sco2"),
        ("gymnasium:Pendulum-v1", "Pendulum-v1"),
        ("fmu:models/boiler.fmu", "boiler.fmu"),
        ("fmu:/srv/models/boiler.fmu", "boiler.fmu"),
        ("plants.boiler:Boiler", "Boiler"),
    ],
)
def test_a_plant_has_one_name_wherever_its_file_lies(plant: str, name: str) -> None:
    """Holds go by it: another path to the same FMU must not let a held policy in."""
    assert ReleaseConfig.parse({"plant": {"id": plant}}).plant.name == name
