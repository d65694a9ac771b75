"""A real Prometheus reads the running platform: every panel of the dashboards shows something, every rule evaluates."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

from tests.running import REPORT, ROOT, Platform, eventually, free_port

DEPLOY = ROOT / "deploy"
PROMETHEUS = os.environ.get("PROMETHEUS") or shutil.which("prometheus")
PANELS = [
    (f"{file.stem}: {panel['title']} {target['refId']}", target["expr"], target["legendFormat"])
    for file in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
    for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]
    for target in panel["targets"]
]
NOT_HERE = re.compile(r"\b(?:node|celery|flower)_|millrace_drift_ratio")
"""Programs that are not ours do not run here, and nobody computes drift, which rescue would tell a minute later."""

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed (or set PROMETHEUS)")


@pytest.fixture(scope="module")
def prometheus(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A Prometheus with our rules and our jobs, whose targets are the programs of the platform."""
    assert PROMETHEUS is not None
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / "alerts.yml")]
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    assert platform.metrics.keys() <= jobs
    config["scrape_configs"] = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{place}"]}]}
        for job, place in platform.metrics.items()
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    webhooks = platform.start_webhooks()
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (
        (folder / "log").open("w") as log,
        httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=20) as asked,
    ):
        program = subprocess.Popen(
            [PROMETHEUS, *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
        try:
            eventually(lambda: everything_is_up(asked, len(platform.metrics)))
            yield asked
        finally:
            program.kill()
            program.wait()
            webhooks.stop()


def everything_is_up(prometheus: httpx.Client, targets: int) -> bool:
    try:
        return len(query(prometheus, "up == 1")) == targets
    except httpx.TransportError:
        return False


def query(prometheus: httpx.Client, expression: str) -> list[dict[str, Any]]:
    answer = prometheus.get("/query", params={"query": expression})
    assert answer.status_code in (200, 503), answer.text  # 503: it is starting
    return answer.json()["data"]["result"] if answer.status_code == 200 else []


@pytest.mark.parametrize(("expression", "legend"), [panel[1:] for panel in PANELS], ids=[panel[0] for panel in PANELS])
def test_every_panel_shows_lines_that_have_a_name(
    prometheus: httpx.Client, platform: Platform, expression: str, legend: str
) -> None:
    plain = expression.replace("$__rate_interval", "1m").replace("$model", ".*")
    platform.submit(REPORT)
    lines = query(prometheus, plain) if NOT_HERE.search(plain) else eventually(lambda: query(prometheus, plain))
    for line in lines:
        assert set(re.findall(r"{{(\w+)}}", legend)) <= line["metric"].keys()


def test_every_rule_evaluates(prometheus: httpx.Client) -> None:
    def rules() -> list[dict[str, Any]]:
        groups = prometheus.get("/rules").json()["data"]["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    found = eventually(rules)
    assert {rule["name"]: rule.get("lastError") for rule in found if rule["health"] != "ok"} == {}
    assert len(found) > 10
