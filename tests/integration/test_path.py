"""The path of a task, end to end: real HTTP, PostgreSQL, Redis, Celery worker and model."""

from tests.running import REPORT, Platform


def test_a_batch_is_scored_in_the_order_of_its_inputs(platform: Platform) -> None:
    reports = [REPORT | {"popularity": n % 6, "report_id": f"r-{n}"} for n in range(50)]
    together = platform.finished(platform.submit(*reports))
    assert together["status"] == "SUCCESS"
    assert together["report_id"] == [f"r-{n}" for n in range(50)]
    alone = [platform.finished(platform.submit(report))["score"] for report in reports[:6]]
    assert [[score] for score in together["score"][:6]] == alone
