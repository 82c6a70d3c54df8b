"""What was judged: the checkpoint, the exported graph and the built engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gate5.report.artifacts import Artifacts
from gate5.report.html import Markup, code, facts, figure, fold, tag
from gate5.report.sections.plain import flat_facts


def candidate(artifacts: Artifacts) -> Markup:
    """Checkpoint: source, algorithm, sizes, hashes, normaliser."""
    about = artifacts.checkpoint
    if about is None:
        body: object = tag("p", "Missing: the stage resolve has not run yet.", class_="soft")
    else:
        normaliser = about.get("normaliser")
        body = [
            tag(
                "p",
                f"{about.get('algorithm')} from ",
                code(about.get("source") or about.get("uri")),
                f", {about.get('obs_dim')} observations to {about.get('act_dim')} actions, policy ",
                code(str(about.get("policy_sha256"))[:12]),
                ".",
            ),
            fold(
                "Layers, normaliser, versions and hashes",
                facts(
                    [
                        ("source", code(about.get("source") or about.get("uri"))),
                        ("algorithm", about.get("algorithm")),
                        ("Stable-Baselines3", about.get("sb3_version")),
                        ("observation → action", f"{about.get('obs_dim')} → {about.get('act_dim')}"),
                        ("layers", _layers(about)),
                        ("parameters", _count(about.get("parameters"))),
                        ("end of the policy", about.get("action_end")),
                        ("VecNormalize", _normaliser(normaliser)),
                        ("policy, SHA-256", code(about.get("policy_sha256"))),
                        ("VecNormalize, SHA-256", code(about.get("vecnormalize_sha256"))),
                    ]
                ),
            ),
            [tag("p", note, class_="note") for note in about.get("notes") or ()],
        ]
    return tag("section", tag("h2", "Candidate"), body, id="candidate")


def engine(artifacts: Artifacts) -> Markup:
    """Engine: backend (and who chose it), precision, device, versions, hash and size."""
    about = artifacts.engine
    if about is None:
        body: object = tag("p", "Missing: the stage build has not run yet.", class_="soft")
    else:
        wanted = artifacts.config.engine.backend if artifacts.config else None
        backend = about.get("backend")
        chosen = f"{backend}, chosen by auto" if wanted == "auto" else f"{backend}, as configured"
        blob = artifacts.hash_and_size("engine/policy.engine")
        precision = about.get("precision")
        asked = artifacts.config.engine.precision if artifacts.config else None
        note = None
        if asked and precision != asked:
            note = f"The configuration asks for {asked}, which holds for TensorRT; {backend} runs {precision}."
        body = [
            tag("p", f"{chosen}; {precision}, for {about.get('device')}."),
            tag("p", note, class_="soft") if note else None,
            fold(
                "Versions, hardware and hashes",
                facts(
                    [
                        ("backend", chosen),
                        ("precision, as built", precision),
                        ("device", about.get("device")),
                        ("largest batch", about.get("batch_max")),
                        ("engine", f"{blob[1] / 1024:,.1f} KiB" if blob else None),
                        ("engine, SHA-256", code(blob[0]) if blob else None),
                        ("versions", _pairs(about.get("versions"))),
                        ("tied to", _pairs(about.get("hardware")) or "no particular hardware"),
                    ]
                ),
                tag("h3", "Everything recorded with the engine"),
                flat_facts(about),
            ),
        ]
    return tag("section", tag("h2", "Engine"), body, id="engine")


def _layers(about: Mapping[str, Any]) -> str | None:
    layers = about.get("layers")
    if not layers:
        return None
    sizes = [layers[0][0], *(layer[1] for layer in layers)]
    return f"{' – '.join(str(size) for size in sizes)}, {about.get('activation') or 'linear'}"


def _normaliser(about: Any) -> str:
    if not isinstance(about, Mapping):
        return "none: observations go in as they are"
    return f"statistics of {figure(about.get('count'), 6)} observations, clipped at ±{figure(about.get('clip'), 4)}"


def _count(value: Any) -> str | None:
    return f"{value:,}" if isinstance(value, int) else None


def _pairs(value: Any) -> str:
    return ", ".join(f"{name} {text}" for name, text in value.items()) if isinstance(value, Mapping) else ""
