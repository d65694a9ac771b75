"""Nothing but the handler is open to others, in compose, in Kubernetes, or through the proxy: no Flower, no metrics."""

import re
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.running import ROOT

WORKERS = ("worker", "worker-lightgbm", "worker-catboost")
COMPOSES = sorted(ROOT.glob("docker-compose*.yml"))
KUBERNETES = ROOT / "deploy" / "kubernetes"


def manifests() -> list[dict[str, Any]]:
    """Read every manifest, whichever folder it is in; a patch or a kustomization is no manifest of its own."""
    read = [one for file in sorted(KUBERNETES.rglob("*.yaml")) for one in yaml.safe_load_all(file.read_text("utf-8"))]
    return [one for one in read if isinstance(one, dict) and "kind" in one]


def test_compose_publishes_on_loopback_only() -> None:
    assert COMPOSES
    for file in COMPOSES:
        for name, service in yaml.safe_load(file.read_text(encoding="utf-8"))["services"].items():
            assert service.get("network_mode") != "host", name
            for port in service.get("ports", []):
                assert str(port).startswith("127.0.0.1:"), f"{file.name}: {name} is open to others by {port}"


def test_compose_publishes_neither_the_servers_nor_what_works_behind_them() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    for name in ("postgres", "redis", "migrate", "worker", "rescue", "webhooks"):
        assert "ports" not in services[name], name


def test_flower_asks_for_a_password_wherever_it_runs() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    assert services["flower"]["volumes"] == ["flower-secret:/run/secrets/flower:ro"]  # which has FLOWER_BASIC_AUTH
    assert services["flower"]["depends_on"]["redis"]["condition"] == "service_healthy"  # and redis waits for passwords
    assert "FLOWER_UNAUTHENTICATED_API" not in (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for manifest in manifests():
        for container in manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
            if "flower" in container.get("image", ""):
                assert "FLOWER_BASIC_AUTH" in str(container.get("env", "")), manifest["metadata"]["name"]


def test_in_kubernetes_only_the_handler_can_be_reached_from_outside() -> None:
    assert manifests()
    for manifest in manifests():
        name, kind = manifest.get("metadata", {}).get("name"), manifest["kind"]
        if kind == "Service":
            assert manifest["spec"].get("type", "ClusterIP") == "ClusterIP", name
        if kind in ("Ingress", "HTTPRoute", "Gateway"):
            for backend in re.findall(r"name: (\S+)", yaml.safe_dump(manifest.get("spec", {}))):
                assert "flower" not in backend, name
                assert "metrics" not in backend, name
        pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
        assert not pod.get("hostNetwork"), name
        for container in pod.get("containers", []):
            assert not any("hostPort" in port for port in container.get("ports", [])), name


def test_the_proxy_keeps_the_metrics_inside() -> None:
    conf = (ROOT / "deploy" / "proxy" / "nginx.conf").read_text(encoding="utf-8")
    assert re.search(r"location = /metrics \{ return 404; \}", conf)
    assert "flower" not in conf.lower()
    assert "5566" not in conf


def test_each_container_mounts_the_passwords_that_it_needs_and_is_told_none() -> None:
    for file in COMPOSES:
        services = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
        may = {
            "postgres": "owner",
            "migrate": "owner app",
            "cli": "owner app redis export",
            "retain": "owner app export",
            "redis": "redis",
            "flower": "flower",
            "grafana": "grafana",
            "export": "app export",
        }
        may |= {"celery-exporter": "redis", **dict.fromkeys((*WORKERS, "rescue", "webhooks"), "app redis")}
        may |= dict.fromkeys(WORKERS, "app redis artifacts")
        may["handler"] = "app redis" if file.name == "docker-compose.yml" else "app artifacts"
        for name, service in services.items():
            if name == "passwords" or "extends" in service:
                continue
            mounted = {str(volume).split(":")[0] for volume in service.get("volumes", [])}
            secrets = {volume.removesuffix("-secret") for volume in mounted if volume.endswith("-secret")}
            assert secrets == set(may.get(name, "").split()), (file.name, name)
            # These hold no password of a server; MODEL_WEBHOOK_URL is what its owner sets, as WEBHOOK_SECRET is.
            open_ones = {"AUTH", "EXPORT_URL", "ARTIFACTS_URL", "AWS_ENDPOINT_URL", "MODEL_WEBHOOK_URL"}
            told = set(service.get("environment") or {}) - open_ones
            assert not [key for key in told if re.search("PASSWORD$|AUTH$|_URL$|KEY", key)], name
