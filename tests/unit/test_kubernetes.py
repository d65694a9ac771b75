"""The Kubernetes manifests render, fit the API's schemas, and name only what exists."""

import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from flower.urls import handlers as flowers

from cli.passwords import provide
from handler import VERSION
from handler.routes.health import OPERATIONS
from serving.catalogue import specs
from serving.provide import WeightsSettings
from tests import manifests
from tests.manifests import FOLDER, KEDA, Manifest, containers, of_kind, pods, selected
from tests.running import ROOT
from tests.unit.test_env_example import SETTINGS
from worker.settings import WorkerSettings

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PAGES = "".join(
    (ROOT / "docs" / "how-to" / f"{page}.md").read_text("utf-8")
    for page in ("kubernetes", "export", "retention", "models")
)
RUNTIMES = ("xgboost", "onnx", "ctranslate2", "ctranslate2-gpu", "lightgbm", "catboost")
BUCKET = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
OTHERS = {
    "flower": {"CELERY_BROKER_URL", "FLOWER_BASIC_AUTH"},
    "export": BUCKET,
    "migrate": BUCKET,
    **{f"worker-{runtime}": BUCKET for runtime in RUNTIMES},
}
"""Settings of other people's libraries, by the image that has them."""
EXTRAS = ["hpa", "requests", "weights", "gpu", "export", "retention", "drift", "artifacts"]


@pytest.fixture(scope="module", params=["local", "production", "+".join(EXTRAS)])
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    if request.param in ("local", "production"):
        copy = tmp_path_factory.mktemp("manifests") / "kubernetes"
        shutil.copytree(FOLDER, copy)
        provide(copy / "overlays" / "local" / "passwords", {})
        return manifests.render(copy / "overlays" / request.param)
    return manifests.render_with(tmp_path_factory.mktemp("overlay"), request.param.split("+"))


def ours(rendered: list[Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the containers of our own images with the name of the image."""
    for pod in pods(rendered).values():
        for container in containers(pod):
            if found := re.search(r"(?:^|/)millrace-([a-z0-9-]+)", container["image"]):
                yield found[1], container


@pytest.mark.parametrize("version", ["1.31", "latest"])
def test_every_object_fits_the_schema(rendered: list[Manifest], version: str) -> None:
    release = kubernetes_validate.latest_version() if version == "latest" else version
    for manifest in rendered:
        if manifest["apiVersion"].startswith("keda.sh/"):
            assert list(manifests.misfits(manifest["spec"], KEDA[manifest["kind"]], manifest["kind"])) == []
        else:
            kubernetes_validate.validate(manifest, release, strict=True)
        assert manifest["kind"] == "Namespace" or manifest["metadata"]["namespace"] == "millrace"


def test_every_image_is_built(rendered: list[Manifest]) -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.M))
    assert {image for image, _ in ours(rendered)} <= targets


def test_the_images_of_production_are_those_of_this_version() -> None:
    overlay = yaml.safe_load((FOLDER / "overlays" / "production" / "kustomization.yaml").read_text(encoding="utf-8"))
    assert {image["newTag"] for image in overlay["images"]} == {VERSION}


def test_every_setting_is_one_that_its_program_knows(rendered: list[Manifest]) -> None:
    maps = {m["metadata"]["name"]: m["data"] for m in of_kind(rendered, "ConfigMap")}
    for image, container in ours(rendered):
        given = {entry["name"] for entry in container.get("env", ())}
        for source in (entry["configMapRef"] for entry in container.get("envFrom", ())):
            given |= set(maps.get(source["name"], {}) if source.get("optional") else maps[source["name"]])
        known = OTHERS.get(image, set()) | (SETTINGS if image != "flower" else set())
        assert given <= known, container["name"]


def test_every_probe_asks_for_a_path_or_a_program_that_exists(rendered: list[Manifest]) -> None:
    paths = {operation.path for operation in OPERATIONS}
    of_flower = {at[0] if isinstance(at, tuple) else at.regex.pattern.rstrip("$") for at in flowers}
    for image, container in ours(rendered):
        for probe in (container[name] for name in PROBES if name in container):
            if "httpGet" in probe:
                assert probe["httpGet"]["path"] in (of_flower if image == "flower" else paths)
                assert probe["httpGet"]["port"] in {port["name"] for port in container.get("ports", ())}
            else:
                python, option, module, *_ = probe["exec"]["command"]
                assert (python, option) == ("python", "-m")
                assert importlib.util.find_spec(module)


def test_every_pod_is_restricted_and_bounded(rendered: list[Manifest]) -> None:
    """As the Pod Security Standard `restricted` wants it, and more: nothing can be written to but volumes."""
    for name, pod in pods(rendered).items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["serviceAccountName"] == "millrace"
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        for volume in spec["volumes"]:
            assert volume.keys() - {"name"} <= {"emptyDir", "persistentVolumeClaim"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert container["resources"]["limits"]["memory"]


def test_what_is_referred_to_is_there(rendered: list[Manifest]) -> None:
    in_cluster = {m["metadata"]["name"] for m in of_kind(rendered, "Secret")}
    by_hand = set(re.findall(r"kubectl -n millrace create secret generic (\S+)", PAGES))
    templates = pods(rendered)
    for pod in templates.values():
        for container in containers(pod):
            for entry in container.get("env", ()):
                if reference := entry.get("valueFrom", {}).get("secretKeyRef"):
                    known = in_cluster | by_hand if reference.get("optional") else in_cluster or by_hand
                    assert reference["name"] in known
    for scaler in of_kind(rendered, "TriggerAuthentication"):
        assert {target["name"] for target in scaler["spec"]["secretTargetRef"]} <= by_hand
    for scaled in of_kind(rendered, "HorizontalPodAutoscaler", "ScaledObject"):
        assert scaled["spec"]["scaleTargetRef"]["name"] in templates
    for budget in of_kind(rendered, "PodDisruptionBudget", "NetworkPolicy"):
        selector = budget["spec"].get("selector") or budget["spec"]["podSelector"]
        assert any(selected(selector, pod) for pod in templates.values()), budget["metadata"]["name"]
    for service in of_kind(rendered, "Service"):
        (pod,) = (pod for pod in templates.values() if selected({"matchLabels": service["spec"]["selector"]}, pod))
        named = {port["name"] for container in containers(pod) for port in container.get("ports", ())}
        assert {port.get("targetPort", port["name"]) for port in service["spec"]["ports"]} <= named


def test_only_the_owners_commands_know_the_owner_of_the_database(rendered: list[Manifest]) -> None:
    for name, pod in pods(rendered).items():
        entries = [entry for container in containers(pod) for entry in container.get("env", ())]
        secrets = [entry["valueFrom"]["secretKeyRef"]["name"] for entry in entries if "valueFrom" in entry]
        assert any(secret.startswith("millrace-owner") for secret in secrets) == (
            name in ("migrate", "admin", "retain", "drift")
        )


def test_nobody_is_reached_or_reaches_out_but_who_must(rendered: list[Manifest]) -> None:
    policies = of_kind(rendered, "NetworkPolicy")
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert any(policy["spec"] == deny for policy in policies)
    ports: dict[str, set[Any]] = {}
    for name, pod in pods(rendered).items():
        mine = [m["spec"] for m in policies if selected(m["spec"]["podSelector"], pod)]
        ports[name] = {port["port"] for spec in mine for rule in spec.get("egress", ()) for port in rule["ports"]} - {
            53
        }
        asked = {entry["name"] for container in containers(pod) for entry in container.get("env", ())}
        assert (5432 in ports[name]) == ("DATABASE_URL" in asked), name
        assert (6379 in ports[name]) == bool(asked & {"REDIS_URL", "CELERY_BROKER_URL"}), name
    assert ports["webhooks"] - {5432, 6379}
    assert ports["flower"] == {6379}


def test_a_pod_has_the_time_that_its_drain_takes(rendered: list[Manifest]) -> None:
    templates = pods(rendered)
    requests = re.search(r"--timeout-graceful-shutdown=(\d+)", DOCKERFILE)
    assert requests
    (handler,) = templates["handler"]["spec"]["containers"]
    command, seconds = handler["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    publishing = 5  # DRAIN in handler/submit/group_commit.py
    assert templates["handler"]["spec"]["terminationGracePeriodSeconds"] > int(seconds) + int(requests[1]) + publishing
    for name, pod in templates.items():
        if name.startswith("worker-"):
            assert pod["spec"]["terminationGracePeriodSeconds"] > WorkerSettings().worker_grace_seconds + 10


def test_each_worker_deployment_serves_a_model_that_exists(rendered: list[Manifest]) -> None:
    served = [
        entry["value"]
        for _, container in ours(rendered)
        for entry in container.get("env", ())
        if entry["name"] == "WORKER_MODELS"
    ]
    assert len(served) == len(set(served)) >= 4
    assert set(served) <= specs().keys()


def test_the_handler_has_the_port_of_the_translation_contract(rendered: list[Manifest]) -> None:
    (service,) = (m for m in of_kind(rendered, "Service") if m["metadata"]["name"] == "handler")
    assert {port["port"] for port in service["spec"]["ports"]} == {8081, 9527}


def test_production_holds_no_secret() -> None:
    production = manifests.render(FOLDER / "overlays" / "production")
    assert of_kind(production, "Secret") == []
    assert {m["metadata"]["name"] for m in of_kind(production, "StatefulSet")} == set()


def test_the_weights_are_named_as_their_reader_wants_them(tmp_path: Path) -> None:
    (weights,) = (
        m["data"] for m in manifests.render_with(tmp_path, ["weights"]) if m["metadata"]["name"].startswith("weights-")
    )
    assert WeightsSettings.model_validate({name.lower(): value for name, value in weights.items()}).save_weights
