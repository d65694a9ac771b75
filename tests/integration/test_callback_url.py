"""`callback_url` from the submission to the receiver, through every program."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.receiving import SECRET, receiving
from tests.running import REPORT, Platform, Program, eventually

URL = "https://example.com/hook?token=token-of-the-receiver"


@pytest.fixture
def own(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Platform]:
    settings = {"WEBHOOK_SECRET": SECRET, "WEBHOOK_ALLOW_PRIVATE": "true", "LOG_LEVEL": "DEBUG"}
    with Platform(database_url, redis_url, tmp_path, **settings) as platform:
        environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **settings}
        program = Program("webhooks", ["webhooks"], environment, tmp_path)
        yield platform
        program.stop()
    printed = "".join(log.read_text() for log in tmp_path.glob("*.log"))
    assert SECRET.removeprefix("whsec_") not in printed
    assert "token-of-the-receiver" not in printed


def delivered(engine: Engine) -> int:
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM event_webhooks WHERE delivered_at IS NOT NULL")
        return int(connection.execute(query).scalar_one())


def test_the_receiver_of_a_submission_is_told_what_became_of_it(own: Platform) -> None:
    with receiving() as receiver:
        url = f"{receiver.url}?token=token-of-the-receiver"
        for path, body in [("/submit", [REPORT]), ("/models/report_scorer/submit", [REPORT]), ("/predict", REPORT)]:
            answer = own.client.post(path, params={"callback_url": url}, json=body)
            assert answer.status_code in (200, 202), answer.text
            event = eventually(lambda: receiver.received and receiver.received.pop()).verified()
            assert event["type"] == "task.succeeded"
            assert event["data"]["task_id"] == answer.json()["task_id"]
            assert own.finished(event["data"]["task_id"])["status"] == "SUCCESS"


def test_the_receiver_of_a_job_is_told_once_that_it_has_ended(own: Platform, engine: Engine) -> None:
    with receiving() as receiver:
        url = f"{receiver.url}?token=token-of-the-receiver"
        asked = {"model": "report_scorer", "callback_url": url}
        for headers in ({"Idempotency-Key": "one"}, {"Idempotency-Key": "one"}):
            made = own.client.post("/jobs", json=asked, headers=headers)
            assert made.status_code == 202, made.text
        other = own.client.post("/jobs", json=asked | {"callback_url": receiver.url}, headers=headers)
        assert (other.status_code, other.json()["type"]) == (422, "urn:millrace:problem:idempotency-key-reused")
        job = made.json()["job_id"]
        for part in (0, 1):
            answer = own.client.post(f"/jobs/{job}/parts/{part}", params={"first_row": part + 1}, json=[REPORT])
            assert answer.status_code == 202, answer.text
            own.finished(answer.json()["task_id"])
        assert not receiver.received, "it is open, and has not ended"
        own.client.post(f"/jobs/{job}/close", json={"parts": 2})
        event = eventually(lambda: receiver.received and receiver.received.pop()).verified()
        assert event["type"] == "job.done"
        assert event["data"] == {"job_id": job, "status": "DONE", "model": "report_scorer"}

        rows = b"abuse_type,report_text_len,profile_rating,popularity,lifetime_matches_created\nMSG,1,4,3,5\n"
        query = {"model": "report_scorer", "callback_url": url}
        sent = own.client.post("/jobs", params=query, content=rows, headers={"Content-Type": "text/csv"})
        assert sent.status_code == 202, sent.text
        event = eventually(lambda: receiver.received and receiver.received.pop()).verified()
        assert event["data"]["job_id"] == sent.json()["job_id"]
        eventually(lambda: delivered(engine) == 2)
        assert not receiver.received


def test_the_receiver_of_a_cancelled_job_is_told(own: Platform) -> None:
    with receiving() as receiver:
        made = own.client.post("/jobs", json={"model": "report_scorer", "callback_url": receiver.url})
        own.client.post(f"/jobs/{made.json()['job_id']}/cancel")
        event = eventually(lambda: receiver.received and receiver.received.pop()).verified()
        assert (event["type"], event["data"]["status"]) == ("job.cancelled", "CANCELLED")


def test_a_job_whose_callback_url_cannot_be_one_is_refused(own: Platform) -> None:
    answer = own.client.post("/jobs", json={"model": "report_scorer", "callback_url": "ftp://example.com/"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/callback_url")


def test_a_repeated_submission_is_told_once(own: Platform, engine: Engine) -> None:
    with receiving() as receiver:
        for _ in range(2):
            headers = {"Idempotency-Key": "one"}
            answer = own.client.post("/submit", params={"callback_url": receiver.url}, json=[REPORT], headers=headers)
            assert answer.status_code == 202
        eventually(lambda: receiver.received)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM webhooks")).scalar_one() == 1
        elsewhere = own.client.post("/submit", params={"callback_url": URL}, json=[REPORT], headers=headers)
        assert (elsewhere.status_code, elsewhere.json()["type"]) == (422, "urn:millrace:problem:idempotency-key-reused")


def test_without_a_secret_a_callback_url_is_refused_with_the_remedy(platform: Platform) -> None:
    answer = platform.client.post("/submit", params={"callback_url": URL}, json=[REPORT])
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:millrace:problem:webhooks-off")
    assert "WEBHOOK_SECRET" in answer.json()["detail"]


def test_a_host_outside_ascii_is_called_by_its_name_in_dns(own: Platform, engine: Engine) -> None:
    for given in ("https://bücher.example/ü?a=é", "https://b%C3%BCcher.example/%C3%BC?a=%C3%A9"):
        assert own.client.post("/submit", params={"callback_url": given}, json=[REPORT]).status_code == 202
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT DISTINCT url FROM webhooks")).scalars().all()
    assert stored == ["https://xn--bcher-kva.example/%C3%BC?a=%C3%A9"]


@pytest.mark.parametrize(
    "url",
    [
        *("", "hook", "ftp://example.com/", "https://user@example.com/", "https://bücher@example.com/"),
        *("https://a%2fb.example/", "https://b%40example.com/", "https://%ff.example/", "https://\u200b.example/"),
    ],
)
def test_a_callback_url_that_cannot_be_one_is_refused_and_nothing_stored(
    own: Platform, engine: Engine, url: str
) -> None:
    answer = own.client.post("/submit", params={"callback_url": url}, json=[REPORT])
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:millrace:problem:invalid-callback-url")
    assert answer.json()["errors"][0]["parameter"] == "callback_url"
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM tasks")).scalar_one() == 0
