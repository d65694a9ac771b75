"""The Kubernetes manifests as `kubectl kustomize` renders them."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.running import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
Manifest = dict[str, Any]

MAKE_PODS = {"Deployment", "StatefulSet", "Job", "CronJob"}

KEDA: dict[str, Any] = {
    "TriggerAuthentication": {
        "secretTargetRef": [{"parameter": str, "name": str, "key": str}],
    },
    "ScaledObject": {
        "scaleTargetRef": {"name": str},
        "pollingInterval": int,
        "cooldownPeriod": int,
        "minReplicaCount": int,
        "maxReplicaCount": int,
        "fallback": {"failureThreshold": int, "replicas": int},
        "triggers": [
            {
                "type": str,
                "authenticationRef": {"name": str},
                "metadata": {"query": str, "targetQueryValue": str},
            }
        ],
    },
}
"""What we use of keda.sh/v1alpha1, as its CRDs (config/crd/bases of kedacore/keda) have it: metadata is text only."""


def render(folder: Path) -> list[Manifest]:
    """Render a kustomization; skip the test where no tool for it is installed."""
    if shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    elif shutil.which("kustomize"):
        command = ["kustomize", "build"]
    else:
        pytest.skip("neither kubectl nor kustomize is installed")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def render_with(folder: Path, components: Sequence[str]) -> list[Manifest]:
    """Render the base with these components, by a kustomization that is made in the folder."""
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "millrace",
        "resources": [os.path.relpath(FOLDER / "base", folder.resolve())],
        "components": [os.path.relpath(FOLDER / "components" / name, folder.resolve()) for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    return render(folder)


def pods(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """Return the pod templates by the name of what makes them."""
    specs = [(m["metadata"]["name"], m.get("spec", {})) for m in manifests]
    made = [(name, spec.get("jobTemplate", {}).get("spec", spec)) for name, spec in specs]
    return {name: spec["template"] for name, spec in made if "template" in spec}


def containers(pod: Manifest) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def selected(selector: dict[str, Any], pod: Manifest) -> bool:
    """Say whether a label selector selects a pod."""
    labels = pod["metadata"]["labels"]
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", ()))


def misfits(value: Any, shape: Any, at: str) -> Iterator[str]:
    """Yield where a value is not of the shape: a type, a list of one shape, or a dict of which no key is unknown."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{at}: no mapping"
            return
        for name, inner in value.items():
            yield from misfits(inner, shape[name], f"{at}.{name}") if name in shape else [f"{at}.{name}: unknown"]
    elif isinstance(shape, list):
        for number, inner in enumerate(value):
            yield from misfits(inner, shape[0], f"{at}[{number}]")
    elif type(value) is not shape:
        yield f"{at}: no {shape.__name__}"
