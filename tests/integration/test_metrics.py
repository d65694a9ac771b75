"""What Prometheus reads of the running platform."""

import os
import signal
from pathlib import Path

import pytest

from handler.http.unroutable import NOT_FOUND
from tests.conftest import Servers, empty_redis, new_database
from tests.running import REPORT, Platform, eventually
from tests.scraping import sample, samples, settle

UNKNOWN = NOT_FOUND.path


def test_requests_are_counted_by_template_and_status_whichever_way_they_are_answered(platform: Platform) -> None:
    def requests(**labels: str) -> float:
        return sample(platform, "handler", "millrace_http_requests_total", **labels)

    asked = [
        (
            {"method": "POST", "route": "/predict", "status": "200"},
            lambda: platform.client.post("/predict", json=REPORT),
        ),
        ({"route": "/submit", "status": "422"}, lambda: platform.client.post("/submit", json=[])),
        (
            {"route": "/task/{task_id}", "status": "404"},
            lambda: platform.client.get("/task/01a1fbff-6bc2-77a0-9580-9b6d17fbabd4"),
        ),
        ({"route": "/task/{task_id}", "status": "422"}, lambda: platform.client.get("/task/no-id")),
        ({"route": "/models/{model}", "status": "200"}, lambda: platform.client.get("/models/report_scorer")),
        (
            {"route": "/v2/models/{model}/ready", "status": "200"},
            lambda: platform.client.get("/v2/models/translator/ready"),
        ),
        ({"method": "GET", "route": UNKNOWN, "status": "404"}, lambda: platform.client.get("/wp-login.php")),
        ({"method": "other", "route": UNKNOWN}, lambda: platform.client.request("PROPFIND", "/dav")),
    ]
    settle(platform)
    before = [requests(**labels) for labels, _ in asked]
    for _, ask in asked:
        ask()
    settle(platform)
    assert [requests(**labels) for labels, _ in asked] == [count + 1 for count in before]


def test_latencies_lie_in_buckets_that_add_up(platform: Platform) -> None:
    platform.client.get("/heartbeat")
    settle(platform)
    route = {"route": "/heartbeat", "status": "200"}
    name = "millrace_http_request_duration_seconds"
    count = sample(platform, "handler", f"{name}_count", **route)
    assert count == sample(platform, "handler", f"{name}_bucket", le="+Inf", **route) >= 1
    assert 0 < sample(platform, "handler", f"{name}_sum", **route) < count
    assert sample(platform, "handler", "millrace_http_requests_in_flight", route="/heartbeat") == 0


def test_no_path_that_a_client_thinks_of_becomes_a_label(platform: Platform) -> None:
    for number in range(5):
        platform.client.get(f"/invented/{number}")
        platform.client.get(f"/models/invented_{number}")
    settle(platform)
    assert not [labels for _, labels, _ in samples(platform, "handler") if "invented" in "".join(labels.values())]


def test_what_is_taken_in_refused_and_scored_is_counted_once(platform: Platform) -> None:
    model = {"model": "report_scorer"}
    looked_at = [
        ("handler", "millrace_submissions_total", model | {"priority": "high"}, 1),
        ("handler", "millrace_inputs_total", model | {"priority": "high"}, 3),
        ("handler", "millrace_requests_refused_total", {"cause": "wrong-content-type"}, 1),
        ("worker", "millrace_predictions_total", model | {"version": "1.0.0"}, 3),
        ("worker", "millrace_tasks_ended_total", model | {"status": "SUCCESS"}, 1),
        ("worker", "millrace_queue_wait_seconds_count", model, 1),
        ("worker", "millrace_claim_to_finish_seconds_count", model, 1),
        ("worker", "millrace_scores_count", model, 3),
    ]
    settle(platform)
    before = [sample(platform, program, name, **labels) for program, name, labels, _ in looked_at]
    accepted = platform.client.post("/submit?priority=high", json=[REPORT] * 3)
    score = platform.finished(accepted.json()["task_id"])["score"]
    platform.client.post("/submit", content="[]", headers={"Content-Type": "text/plain"})
    settle(platform)
    scores = sample(platform, "worker", "millrace_scores_sum", **model)
    after = [sample(platform, program, name, **labels) for program, name, labels, _ in looked_at]
    assert [now - then for now, then in zip(after, before, strict=True)] == [more for *_, more in looked_at]
    assert isinstance(score, list)
    assert scores >= sum(score) - 1e-9


def test_the_cache_s_hits_are_counted(platform: Platform) -> None:
    def hits() -> float:
        return sample(platform, "worker", "millrace_cache_hits_total", model="text_classifier")

    settle(platform)
    before = hits()
    for _ in range(2):
        platform.client.post("/prediction", json={"text": "Asked twice, for the sake of the metrics."})
    settle(platform)
    assert hits() == before + 1


def test_the_state_of_the_platform_is_shown(platform: Platform) -> None:
    def ready() -> float:
        return sample(platform, "handler", "millrace_model_processes", model="report_scorer", state="ready")

    assert eventually(ready) >= 1
    assert sample(platform, "worker", "millrace_worker_processes", state="ready") == 1
    assert sample(platform, "worker", "millrace_model_load_seconds", model="report_scorer") > 0
    assert eventually(lambda: sample(platform, "worker", "millrace_worker_cpu_seconds_total")) > 0
    assert sample(platform, "worker", "millrace_worker_resident_bytes") > 2**20
    for program in ("handler", "worker", "rescue"):
        assert sample(platform, program, "process_cpu_seconds_total") > 0
        assert sample(platform, program, "process_resident_memory_bytes") > 2**20
    assert sample(platform, "rescue", "millrace_database_bytes") > 2**20
    backlog = [labels for name, labels, _ in samples(platform, "handler") if name == "millrace_backlog_oldest_seconds"]
    assert {labels["priority"] for labels in backlog} == {"high", "normal", "low"}


def test_the_public_port_has_no_metrics(platform: Platform) -> None:
    assert platform.client.get("/metrics").status_code == 404


def test_a_killed_process_leaves_its_counts_and_nothing_else(servers: Servers, template: str, tmp_path: Path) -> None:
    with Platform(new_database(servers, template), empty_redis(servers, 14), tmp_path) as platform:
        platform.finished(platform.submit(REPORT, REPORT))
        settle(platform)  # or it is killed before it has counted
        pid = next(worker["pid"] for worker in platform.client.get("/workers").json())
        os.kill(pid, signal.SIGKILL)
        platform.finished(platform.submit(REPORT))
        settle(platform)
        assert sample(platform, "worker", "millrace_predictions_total", model="report_scorer") == 3
        assert sample(platform, "worker", "millrace_worker_processes", state="ready") == 1
        platform.worker.stop(signal.SIGKILL)
        platform.submit(REPORT, REPORT)
        eventually(lambda: sample(platform, "handler", "millrace_backlog_inputs", model="report_scorer") == 2)
        assert sample(platform, "handler", "millrace_backlog_tasks", model="report_scorer") == 1
        assert sample(platform, "handler", "millrace_backlog_oldest_seconds", priority="normal") > 0


@pytest.mark.parametrize("path", ["/task/1/cancel/more", "/taskx", "//submit", "/models/a/b/c"])
def test_a_path_that_no_route_takes_is_unknown(platform: Platform, path: str) -> None:
    def unknown() -> float:
        return sample(platform, "handler", "millrace_http_requests_total", method="GET", route=UNKNOWN, status="404")

    settle(platform)
    before = unknown()
    assert platform.client.get(f"{platform.url}{path}").status_code == 404
    settle(platform)
    assert unknown() == before + 1
