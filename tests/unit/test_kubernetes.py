"""What the Kubernetes manifests name exists: settings, probed paths, commands, ports."""

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from handler.routes.health import router
from tests.running import ROOT
from tests.unit.test_env_example import EXAMPLE

FOLDER = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
MANIFESTS: list[dict[str, Any]] = [
    manifest
    for file in KUSTOMIZATION["resources"]
    for manifest in yaml.safe_load_all((FOLDER / file).read_text(encoding="utf-8"))
]
PODS = {m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in MANIFESTS if "template" in m.get("spec", {})}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def containers() -> Iterator[dict[str, Any]]:
    for pod in PODS.values():
        yield from pod["containers"]


def test_every_manifest_is_applied_and_every_image_is_built() -> None:
    files = {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files
    targets = {
        f"millrace-{line.split()[-1]}" for line in (ROOT / "Dockerfile").read_text().splitlines() if " AS " in line
    }
    assert {container["image"] for container in containers()} <= targets
    assert {image["name"] for image in KUSTOMIZATION["images"]} == {container["image"] for container in containers()}


def test_every_setting_is_one_that_the_programs_know() -> None:
    given = {entry["name"] for container in containers() for entry in container.get("env", [])}
    given |= {name for manifest in MANIFESTS if manifest["kind"] == "ConfigMap" for name in manifest["data"]}
    assert given <= EXAMPLE.keys()


def test_every_probe_asks_for_a_path_or_a_program_that_exists() -> None:
    paths = {route.path for route in router.routes}  # type: ignore[attr-defined]
    for container in containers():
        for probe in (container[name] for name in PROBES if name in container):
            if "httpGet" in probe:
                assert probe["httpGet"]["path"] in paths
            else:
                python, option, module, *_ = probe["exec"]["command"]
                assert (python, option) == ("python", "-m")
                assert importlib.util.find_spec(module)


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_restricted_and_bounded(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_the_service_has_the_port_of_the_translation_contract() -> None:
    (service,) = (manifest for manifest in MANIFESTS if manifest["kind"] == "Service")
    assert {port["port"] for port in service["spec"]["ports"]} == {8081, 9527}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == {"http"}
