"""Alerts and dashboards speak of what the running platform exports, and say what they are meant to."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

from tests.running import ROOT, Platform, Program, eventually, free_port
from tests.scraping import answers

DEPLOY = ROOT / "deploy"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
DASHBOARDS = [
    json.loads(file.read_text(encoding="utf-8")) for file in (DEPLOY / "grafana" / "dashboards").glob("*.json")
]
PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")

NAME = re.compile(r"\b(?:millrace|process|node|celery|flower)_[a-z0-9_]+\b")
FOREIGN = ("node_", "celery_", "flower_")
"""Exported by programs that are not ours."""


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    for dashboard in DASHBOARDS:
        yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
        yield from (variable["query"] for variable in dashboard["templating"]["list"])


def exported(port: int) -> Iterator[str]:
    """Yield the names of a program's series."""
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", httpx.get(f"http://127.0.0.1:{port}/metrics").text, re.M):
        yield from (f"{name}_{part}" for part in ("bucket", "sum", "count")) if kind == "histogram" else [name]


@pytest.fixture(scope="module")
def names(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    port, folder = free_port(), tmp_path_factory.mktemp("exported")
    told = {"DATABASE_URL": platform.database_url, "EXPORT_URL": folder.as_uri(), "METRICS": f"127.0.0.1:{port}"}
    webhooks, export = platform.start_webhooks(), Program("export", ["export"], told, platform.logs)
    try:
        eventually(lambda: answers(platform, "webhooks"))
        eventually(lambda: "metrics_served" in export.log.read_text())
        yield {name for port in (*platform.metrics.values(), port) for name in exported(port)}
    finally:
        webhooks.stop()
        export.stop()


def test_every_name_in_alerts_and_dashboards_is_exported(names: set[str]) -> None:
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(asked) > 25
    assert {name for name in asked if not name.startswith(FOREIGN)} - names == set()


def test_every_metric_of_ours_is_drawn_or_described(names: set[str]) -> None:
    described = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    ours = {re.sub("_(bucket|sum|count)$", "", name) for name in names if name.startswith("millrace_")}
    created = {name for name in ours if name.endswith("_created")}
    assert {name for name in ours - created if f"`{name}" not in described} == set()


def test_what_an_alert_counts_is_told_before_the_first_of_it(platform: Platform) -> None:
    causes = re.search(r'cause=~"([^"]+)"', ALERTS["SubmissionsRefused"]["expr"])
    assert causes
    told = httpx.get(f"http://127.0.0.1:{platform.metrics['handler']}/metrics").text
    for cause in causes[1].split("|"):
        assert f'millrace_requests_refused_total{{cause="{cause}"}} ' in told


def test_names_follow_prometheus_conventions(names: set[str]) -> None:
    """Lower case, base units, and a unit or `total` at the end: https://prometheus.io/docs/practices/naming/"""
    for name in names:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert not re.search(r"milliseconds|minutes|kilobytes|megabytes|percent", name)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_its_section_in_the_runbook(alert: str) -> None:
    page, _, anchor = ALERTS[alert]["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.M)
    assert anchor == alert.lower()
    assert alert in headings


def test_every_alert_is_tested() -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == ALERTS.keys()


@pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (it is in Debian's prometheus; or set PROMTOOL)"
)
@pytest.mark.parametrize(
    "check", [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]], ids=" ".join
)
def test_promtool_agrees(check: list[str]) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *check], cwd=DEPLOY / "prometheus", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_the_dashboards_ask_in_promql(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    asked = [target["expr"] for dashboard in DASHBOARDS for panel in dashboard["panels"] for target in panel["targets"]]
    plain = [expression.replace("$__rate_interval", "1m").replace("$model", ".*") for expression in asked]
    rules = [{"record": f"asked:number_{place}", "expr": expression} for place, expression in enumerate(plain)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run([PROMTOOL, "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboards_are_what_their_code_writes() -> None:
    program = "import dashboards, json; print(json.dumps(list(dashboards.DASHBOARDS.values())))"
    written = subprocess.check_output([sys.executable, "-c", program], cwd=DEPLOY / "grafana")
    by_uid = {dashboard["uid"]: dashboard for dashboard in DASHBOARDS}
    assert {dashboard["uid"]: dashboard for dashboard in json.loads(written)} == by_uid
    for dashboard in DASHBOARDS:
        places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
        assert len(set(places)) == len(places) > 5


@pytest.mark.parametrize(
    ("file", "theirs"),
    [
        ("docker-compose.yml", {"prometheus", "grafana", "celery-exporter", "node-exporter"}),
        ("docker-compose.pool.yml", {"prometheus", "grafana", "node-exporter"}),
    ],
)
def test_what_is_for_operators_is_on_loopback_only(file: str, theirs: set[str]) -> None:
    of_both = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    services = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["services"]
    for name, service in services.items():
        if extended := service.get("extends"):
            assert extended == {"file": "docker-compose.yml", "service": name}
            services[name] = of_both[name]
    monitoring = {name for name, service in services.items() if service.get("profiles") == ["monitoring"]}
    assert monitoring == theirs
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert not [port for port in published if ":96" in port]
