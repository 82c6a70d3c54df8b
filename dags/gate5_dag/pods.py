"""Where the tasks that need the accelerator run, if not on the default executor: in pods of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gate5.errors import ConfigError
from gate5.io.paths import resolve_path


def gpu_executor(key: str, executor: str | None, pod_key: str, pod: str | None) -> dict[str, Any]:
    """A GPU task's ``executor`` and ``executor_config``.

    The executor has to be one of ``[core] executor``. The pod is a YAML file; what it says goes over the
    scheduler's pod template (``pod_override``).

    Args:
        key, pod_key: what the two are called where they are set.

    Raises:
        ConfigError: a pod without an executor, a file that is no pod; Airflow shows it as the DAG's import error.
    """
    if not pod:
        return {"executor": executor} if executor else {}
    if not executor:
        raise ConfigError(f"{pod_key} is {pod!r}, and no executor would read it: set {key}, too.")
    return {"executor": executor, "executor_config": {"pod_override": read_pod(resolve_path(pod))}}


def read_pod(path: Path) -> Any:
    """A pod, as the Kubernetes client's ``V1Pod``, of which every word has been understood.

    Raises:
        ConfigError: it cannot be read, is no pod, or says something that a pod does not have.
    """
    import yaml
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    from kubernetes.client import ApiClient

    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"The pod {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(said, dict) or said.get("kind") != "Pod":
        raise ConfigError(f"{path} is no pod: it has to say `kind: Pod`.")
    try:
        pod = PodGenerator.deserialize_model_dict(said)
        understood = ApiClient().sanitize_for_serialization(pod)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no pod: {' '.join(str(error).split())}") from error
    lost = _lost(said, understood, "")
    if lost:
        names = ", ".join(f"`{name.rstrip('.')}`" for name in lost)
        raise ConfigError(f"{path}: {names} is nothing that a pod can have, or of the wrong kind.")
    return pod


def _lost(said: Any, understood: Any, where: str) -> list[str]:
    """What the client left out, for it knows no such field; or could not take, because it is of another kind."""
    if isinstance(said, dict):
        if not isinstance(understood, dict):
            return [where]
        return [
            name
            for key, value in said.items()
            for name in (
                [f"{where}{key}"] if key not in understood else _lost(value, understood[key], f"{where}{key}.")
            )
        ]
    if isinstance(said, list):
        if not isinstance(understood, list) or len(said) != len(understood):
            return [where]
        pairs = enumerate(zip(said, understood, strict=True))
        return [name for number, pair in pairs for name in _lost(*pair, f"{where}{number}.")]
    return [where] if isinstance(understood, dict | list) else []
