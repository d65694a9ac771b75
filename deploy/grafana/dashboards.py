"""Writes the dashboards: `python deploy/grafana/dashboards.py`. A test compares what it writes with what is there."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT = 24, 8

Query = tuple[str, str]
"""An expression, and how its lines are called."""


def panel(title: str, *queries: Query, unit: str = "short", kind: str = "timeseries", **more: Any) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
        for place, (expression, legend) in enumerate(queries)
    ]
    defaults: dict[str, Any] = {"unit": unit, "min": 0}
    if kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 10, "showPoints": "never", **more.pop("custom", {})}
    if kind == "heatmap":
        for target in targets:
            target["format"] = "heatmap"
    defaults |= more.pop("defaults", {})
    fields = {"defaults": defaults, "overrides": []}
    return {"title": title, "type": kind, "datasource": SOURCE, "targets": targets, "fieldConfig": fields, **more}


def figure(title: str, expression: str, *, unit: str = "short", red_from: float | None = None) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if red_from is not None:
        steps.append({"color": "red", "value": red_from})
    return panel(
        title,
        (expression, ""),
        unit=unit,
        kind="stat",
        defaults={"thresholds": {"mode": "absolute", "steps": steps}},
        options={"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"},
    )


def quantiles(title: str, metric: str, by: str, selector: str = "") -> dict[str, Any]:
    def at(quantile: float) -> Query:
        grouped = f"le, {by}" if by else "le"
        rate = f"sum by ({grouped}) (rate({metric}_bucket{selector}[$__rate_interval]))"
        return f"histogram_quantile({quantile}, {rate})", f"p{quantile * 100:g}" + (f" {{{{{by}}}}}" if by else "")

    return panel(title, at(0.5), at(0.99), unit="s")


def rate(metric: str, by: str, selector: str = "") -> Query:
    return f"sum by ({by}) (rate({metric}{selector}[$__rate_interval]))", " ".join(
        f"{{{{{label.strip()}}}}}" for label in by.split(",")
    )


def laid_out(rows: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Give each row's panels an equal share of the width; rows of figures are lower."""
    placed, y = [], 0
    for row in rows:
        height = HEIGHT // 2 if all(one["type"] == "stat" for one in row) else HEIGHT
        width = WIDTH // len(row)
        for place, one in enumerate(row):
            placed.append(
                {"id": len(placed) + 1, "gridPos": {"h": height, "w": width, "x": place * width, "y": y}, **one}
            )
        y += height
    return placed


def dashboard(uid: str, title: str, rows: Sequence[Sequence[dict[str, Any]]], *, by_model: bool) -> dict[str, Any]:
    model = {
        "name": "model",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(millrace_model_processes, model)",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "uid": uid,
        "title": title,
        "tags": ["millrace"],
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "15s",
        "templating": {"list": [model] if by_model else []},
        "links": [{"type": "dashboards", "tags": ["millrace"], "title": "Millrace", "asDropdown": False}],
        "panels": laid_out(rows),
    }


BACKLOG = "max by (model, priority) (millrace_backlog_tasks)"
OLDEST = "max by (model, priority) (millrace_backlog_oldest_seconds)"

SERVICE = dashboard(
    "millrace-service",
    "Millrace: service",
    [
        [
            figure("Submissions a second", "sum(rate(millrace_submissions_total[$__rate_interval]))", unit="reqps"),
            figure("Inputs scored a second", "sum(rate(millrace_predictions_total[$__rate_interval]))"),
            figure("Tasks waiting", f"sum({BACKLOG})"),
            figure("Oldest", f"max({OLDEST})", unit="s", red_from=300),
            figure("Busy processes", 'sum(millrace_worker_processes{state="busy"})'),
            figure("Alerts", 'count(ALERTS{alertstate="firing"}) or vector(0)', red_from=1),
        ],
        [
            panel("Requests", rate("millrace_http_requests_total", "route, status"), unit="reqps"),
            quantiles("Answers to submissions", "millrace_http_request_duration_seconds", "route", '{status="202"}'),
            panel("Requests under way", ("sum by (route) (millrace_http_requests_in_flight)", "{{route}}")),
        ],
        [
            panel("Refused, by cause", rate("millrace_requests_refused_total", "cause"), unit="reqps"),
            panel("Inputs accepted", rate("millrace_inputs_total", "model, priority")),
            quantiles("Commit of a group", "millrace_commit_duration_seconds", ""),
        ],
        [
            panel("Waiting tasks", (BACKLOG, "{{model}} {{priority}}")),
            panel("Age of the oldest", (OLDEST, "{{model}} {{priority}}"), unit="s"),
            panel(
                "Worker processes",
                ('sum(millrace_worker_processes{state="ready"})', "ready"),
                ('sum(millrace_worker_processes{state="busy"})', "busy"),
                ("sum(flower_worker_online)", "workers that Flower hears"),
            ),
        ],
        [
            panel("Rescues", rate("millrace_rescues_total", "kind")),
            panel("Groups not published", rate("millrace_publish_failures_total", "job")),
            panel(
                "Callbacks",
                rate("millrace_webhook_attempts_total", "outcome"),
                ("sum(millrace_webhooks_in_flight)", "under way"),
            ),
        ],
        [
            panel(
                "CPU, cores",
                rate("process_cpu_seconds_total", "job"),
                ("sum(rate(millrace_worker_cpu_seconds_total[$__rate_interval]))", "worker processes"),
            ),
            panel(
                "Memory",
                ("sum by (job) (process_resident_memory_bytes)", "{{job}}"),
                ("sum(millrace_worker_resident_bytes)", "worker processes"),
                unit="bytes",
            ),
            panel(
                "Disk",
                ("max(millrace_database_bytes)", "database"),
                ('node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs"}', "free on {{mountpoint}}"),
                unit="bytes",
            ),
        ],
    ],
    by_model=False,
)

CHOSEN = '{model=~"$model"}'
MODELS = dashboard(
    "millrace-models",
    "Millrace: models",
    [
        [
            panel("Predictions a second", rate("millrace_predictions_total", "model, version", CHOSEN)),
            quantiles("From submission to claim", "millrace_queue_wait_seconds", "model", CHOSEN),
            quantiles("From claim to finish", "millrace_claim_to_finish_seconds", "model", CHOSEN),
        ],
        [
            panel("Tasks by how they ended", rate("millrace_tasks_ended_total", "model, status", CHOSEN)),
            panel("Failures by cause", rate("millrace_task_failures_total", "model, cause", CHOSEN)),
            panel(
                "Retries and discarded",
                (f"sum by (model) (rate(millrace_task_retries_total{CHOSEN}[$__rate_interval]))", "{{model}} retries"),
                (
                    f"sum by (model) (rate(millrace_tasks_discarded_total{CHOSEN}[$__rate_interval]))",
                    "{{model}} discarded",
                ),
            ),
        ],
        [
            panel(
                "Scores",
                (f"sum by (le) (increase(millrace_scores_bucket{CHOSEN}[$__rate_interval]))", "{{le}}"),
                kind="heatmap",
                options={"calculate": False, "yAxis": {"axisPlacement": "left"}},
            ),
            panel(
                "Mean score",
                (
                    f"sum by (model) (rate(millrace_scores_sum{CHOSEN}[$__rate_interval])) "
                    f"/ sum by (model) (rate(millrace_scores_count{CHOSEN}[$__rate_interval]))",
                    "{{model}}",
                ),
            ),
            panel(
                "Drift of the columns (above 1: found)",
                (
                    f"max by (model, version, column, against) (millrace_drift_ratio{CHOSEN})",
                    "{{model}} {{version}} {{column}}, {{against}}",
                ),
            ),
        ],
        [
            panel(
                "Tasks in a chunk",
                (
                    f"sum by (model) (rate(millrace_chunk_tasks_sum{CHOSEN}[$__rate_interval])) "
                    f"/ sum by (model) (rate(millrace_chunk_tasks_count{CHOSEN}[$__rate_interval]))",
                    "{{model}}",
                ),
            ),
            panel("Outputs from the cache", rate("millrace_cache_hits_total", "model", CHOSEN)),
            panel(
                "Loading the model",
                (f"max by (model, version) (millrace_model_load_seconds{CHOSEN})", "{{model}} {{version}}"),
                unit="s",
            ),
        ],
    ],
    by_model=True,
)

DASHBOARDS = {"service.json": SERVICE, "models.json": MODELS}


def main() -> None:
    for name, content in DASHBOARDS.items():
        (FOLDER / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
