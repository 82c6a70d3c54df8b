"""The example for KubernetesExecutor: the pod that Airflow makes of both files, and what a wrong file is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "deploy" / "kubernetes"

pytestmark = pytest.mark.airflow

Change = Callable[[dict[str, Any]], object]
#: What is changed in deploy/kubernetes/gpu.yaml, and what is said about it.
CHANGES: dict[str, tuple[Change, str]] = {
    "none": (lambda pod: None, "taken"),
    "field": (lambda pod: pod["spec"]["containers"][0].update(resource={}), "`spec.containers.0.resource` is nothing"),
    "text": (
        lambda pod: pod["spec"]["containers"][0].update(resources="x"),
        "`spec.containers.0.resources` is nothing",
    ),
    "deep": (lambda pod: pod["spec"]["tolerations"][0].update(efect="x"), "`spec.tolerations.0.efect` is nothing"),
    "list": (lambda pod: pod["spec"].update(tolerations="abc"), "`spec.tolerations` is nothing"),
    "empty": (lambda pod: pod["spec"].update(containers={}), "`spec.containers` is nothing"),
    "bare": (lambda pod: pod["spec"].pop("containers"), "Invalid value for `containers`"),
    "nameless": (lambda pod: pod["spec"]["containers"][0].pop("name"), "Invalid value for `name`"),
    "dict": (lambda pod: pod["spec"].update(nodeSelector=["a"]), "is no pod"),
    "number": (lambda pod: pod["spec"].update(terminationGracePeriodSeconds="soon"), "invalid literal for int"),
    "kind": (lambda pod: pod.update(kind="Job"), "it has to say `kind: Pod`"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "GATE5"))}
    environment = {
        **kept,
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor,KubernetesExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "GATE5_HOME": str(ROOT),
        "GATE5_GPU_EXECUTOR": "KubernetesExecutor",
        "GATE5_GPU_POD": "deploy/kubernetes/gpu.yaml",
        "TEMPLATE": str(FILES / "pod.yaml"),
    }
    folder = tmp_path_factory.mktemp("pods")
    kinds = {
        "l4": {"channel": "l4"},
        "a10": {"channel": "a10", "executor": "KubernetesExecutor", "pod": "deploy/kubernetes/gpu.yaml"},
    }
    site = tmp_path_factory.mktemp("site") / "release.yaml"
    site.write_text(yaml.safe_dump({"other_gpus": kinds}))
    environment["GATE5_CONFIG"] = str(site)
    for name, (change, _) in CHANGES.items():
        document = yaml.safe_load((FILES / "gpu.yaml").read_text())
        change(document)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(document))
    tool = [sys.executable, str(ROOT / "tests/deployment/kubernetes_pod.py"), str(folder)]
    done = subprocess.run(tool, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    assert "errors" not in found, found
    return found


def test_the_tasks_of_the_queue_gpu_run_in_pods_and_no_other(made: dict[str, Any]) -> None:
    """A further kind of GPU has the executor and the pod that it names, and not the first kind's."""
    in_pods = {queue for _, queue, executor, pod in made["where"] if executor == "KubernetesExecutor" and pod}
    elsewhere = {queue for _, queue, executor, pod in made["where"] if executor is None and not pod}
    assert (in_pods, elsewhere) == ({"gpu", "gpu_a10"}, {"default", "gpu_l4"})
    assert {"build", "benchmark", "evaluate", "prove"} <= {task for task, queue, *_ in made["where"] if queue == "gpu"}


def test_the_pod_has_one_gpu_the_sites_settings_and_no_signing_key(made: dict[str, Any]) -> None:
    spec = made["pod"]["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": "1"}
    assert container["image"] == "gate5-gpu"
    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H200"}
    assert spec["restartPolicy"] == "Never"
    assert container["envFrom"] == [{"secretRef": {"name": "gate5-environment"}}]
    assert {"name": "GATE5_CONFIG", "value": "config/cluster.yaml"} in container["env"]
    (mount,) = (one for one in container["volumeMounts"] if one["mountPath"].startswith("/srv/gate5"))
    assert mount == {"name": "trust", "mountPath": "/srv/gate5/var/keys", "readOnly": True}
    assert {"name": "trust", "configMap": {"name": "gate5-trust"}} in spec["volumes"]
    assert "secret" not in str(spec["volumes"])


def test_what_it_starts_is_airflows_task_whatever_the_images_entry_point(made: dict[str, Any]) -> None:
    (container,) = made["pod"]["spec"]["containers"]
    words = [*container["command"], *container["args"]]
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(words, env={"PATH": path, "HOME": "/nowhere"}, capture_output=True, text=True, check=False)
    assert (done.returncode, "--json-string" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("name", CHANGES)
def test_a_pod_with_a_word_that_none_has_is_refused(made: dict[str, Any], name: str) -> None:
    assert CHANGES[name][1] in made["said"][name]


def test_a_pod_that_no_executor_would_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "dags"))
    from gate5_dag.pods import gpu_executor

    where = ("GATE5_GPU_EXECUTOR", None, "GATE5_GPU_POD")
    assert gpu_executor(*where, None) == {}
    assert gpu_executor(where[0], "EdgeExecutor", where[2], None) == {"executor": "EdgeExecutor"}
    with pytest.raises(
        ConfigError, match=r"^GATE5_GPU_POD is 'deploy/kubernetes/gpu.yaml', .* set GATE5_GPU_EXECUTOR, too"
    ):
        gpu_executor(*where, "deploy/kubernetes/gpu.yaml")
