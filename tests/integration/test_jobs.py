"""A job is many tasks under one id: its parts are stored once, scored in order, and its bad rows named."""

import csv
import gzip
import io
import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pyarrow as pa
import pytest
from sqlalchemy import Engine, text

from store import erasing, old_jobs
from store.engine import connect
from store.erasing import KeyColumn
from store.keys import Role
from tests.conftest import NewClient
from tests.images import eight, saved
from tests.integration.test_row_formats import ARROW, CSV, NDJSON, REPORTS, as_arrow, as_csv, lines, parsed
from tests.running import Platform, eventually


def report(number: int, **changes: Any) -> dict[str, Any]:
    return {**REPORTS[number % 12], "report_id": f"row-{number}", **changes}


@pytest.fixture(scope="module")
def engine(platform: Platform) -> Iterator[Engine]:
    engine = connect(platform.database_url)
    yield engine
    engine.dispose()


def made(client: httpx.Client, **asked: Any) -> str:
    answer = client.post("/jobs", json={"model": "report_scorer", **asked})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/jobs/{answer.json()['job_id']}"
    job_id: str = answer.json()["job_id"]
    return job_id


def send(client: httpx.Client, job: str, part: int, rows: Any, first_row: int, kind: str = NDJSON) -> httpx.Response:
    content = rows if isinstance(rows, bytes) else lines(rows)
    params = {"first_row": first_row}
    return client.post(f"/jobs/{job}/parts/{part}", content=content, headers={"Content-Type": kind}, params=params)


def done(client: httpx.Client, job: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/jobs/{job}").json()
        return found if found["status"] in ("DONE", "CANCELLED") else None

    found = eventually(look)
    assert found is not None
    return found


def results(client: httpx.Client, job: str, **params: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/jobs/{job}/results", params=params)
    assert answer.status_code == 200, answer.text
    return parsed(answer)


def counts(job: dict[str, Any]) -> dict[str, int]:
    return {name: number for name, number in job["rows"].items() if number}


def test_the_parts_of_a_job_come_back_in_the_order_of_the_file(platform: Platform) -> None:
    rows = [report(number) for number in range(25)]
    job = made(platform.client)
    for part in (2, 0, 1):  # in any order, and in any format
        cut = rows[part * 10 : part * 10 + 10]
        kind, body = [(NDJSON, lines(cut)), (CSV, as_csv(cut).encode()), (ARROW, as_arrow(pa.Table.from_pylist(cut)))][
            part
        ]
        answer = send(platform.client, job, part, body, part * 10 + 1, kind)
        assert (answer.status_code, answer.json()["rejected"]) == (202, 0), answer.text
    early = platform.client.get(f"/jobs/{job}/results")
    assert (early.status_code, early.json()["type"]) == (409, "urn:millrace:problem:job-not-finished")
    closed = platform.client.post(f"/jobs/{job}/close", json={"parts": 3})
    assert closed.json()["status"] in ("RUNNING", "DONE")
    found = done(platform.client, job)
    assert (found["parts"], counts(found)) == (3, {"received": 25, "scored": 25})
    back = results(platform.client, job)
    assert [row.pop("row") for row in back] == list(range(1, 26))
    assert {row.pop("model_version") for row in back} == {"1.0.0"}
    scores = [row.pop("score") for row in back]
    assert back == rows
    assert scores == platform.finished(platform.submit(*rows))["score"]
    detailed = results(platform.client, job, details="true")
    assert set(detailed[0]) - set(back[0]) == {"row", "score", "model_version", "scored_at", "task_id", "position"}


def test_a_repeated_part_changes_nothing_and_another_one_is_refused(platform: Platform, engine: Engine) -> None:
    job = made(platform.client)
    first = send(platform.client, job, 0, REPORTS, 1).json()
    assert send(platform.client, job, 0, REPORTS, 1).json() == first
    as_table = send(platform.client, job, 0, as_csv(REPORTS).encode(), 1, CSV)
    assert as_table.json() == first  # the same rows, written in another way
    for rows, first_row in ((REPORTS[1:], 1), (REPORTS, 2)):
        other = send(platform.client, job, 0, rows, first_row)
        assert (other.status_code, other.json()["type"]) == (422, "urn:millrace:problem:part-reused")
    missing = platform.client.post(f"/jobs/{job}/close", json={"parts": 3})
    assert (missing.status_code, missing.json()["detail"]) == (409, "Missing parts: 1, 2.")
    assert platform.client.post(f"/jobs/{job}/close").status_code == 200
    assert send(platform.client, job, 0, REPORTS, 1).json() == first
    late = send(platform.client, job, 1, REPORTS, 13)
    assert (late.status_code, late.json()["type"]) == (409, "urn:millrace:problem:job-closed")
    assert counts(done(platform.client, job)) == {"received": 12, "scored": 12}
    with engine.connect() as connection:
        count = "SELECT count(*) FROM report_scores JOIN job_parts USING (task_id) WHERE job_id = :job"
        assert connection.scalar(text(count), {"job": job}) == 12


def test_a_job_made_again_with_its_key_is_the_same_job(platform: Platform) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first, again = (platform.client.post("/jobs", json={"model": "report_scorer"}, headers=key) for _ in range(2))
    assert again.json()["job_id"] == first.json()["job_id"]
    assert again.headers["idempotency-replayed"] == "true"
    other = platform.client.post("/jobs", json={"model": "text_classifier"}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "urn:millrace:problem:idempotency-key-reused")


BAD = {3: {"popularity": 9}, 11: {"abuse_type": "XXX"}, 12: {"report_text_len": None}, 19: {"popularity": -1}}


@pytest.mark.parametrize("kind", [NDJSON, CSV])
def test_bad_rows_are_collected_and_the_others_scored(platform: Platform, kind: str) -> None:
    rows = [report(number, **BAD.get(number, {})) for number in range(20)]
    job = made(platform.client, on_invalid="collect")
    for part in (0, 1):
        cut = rows[part * 10 : part * 10 + 10]
        body = lines(cut) if kind == NDJSON else as_csv(cut).encode()
        answer = send(platform.client, job, part, body, part * 10 + 1, kind)
        assert (answer.status_code, answer.json()["rejected"]) == (202, 1 + 2 * part), answer.text
        assert send(platform.client, job, part, body, part * 10 + 1, kind).json() == answer.json()
    platform.client.post(f"/jobs/{job}/close")
    assert counts(done(platform.client, job)) == {"received": 20, "scored": 16, "rejected": 4}
    kept = [number for number in range(20) if number not in BAD]
    back = results(platform.client, job)
    assert [(row["row"], row["report_id"]) for row in back] == [(number + 1, f"row-{number}") for number in kept]
    rejected = parsed(platform.client.get(f"/jobs/{job}/rejects"))
    assert [(row["row"], row["errors"][0]["pointer"]) for row in rejected] == [
        *((4, "#/popularity"), (12, "#/abuse_type")),
        *((13, "#/report_text_len"), (20, "#/popularity")),
    ]
    assert "'MSG' or 'PRF'" in rejected[1]["errors"][0]["detail"]


def test_a_part_of_which_every_row_is_bad_has_no_task(platform: Platform) -> None:
    job = made(platform.client, on_invalid="collect")
    answer = send(platform.client, job, 0, [report(0, popularity=9)], 1)
    assert (answer.json()["task_id"], answer.json()["rejected"]) == (None, 1)
    platform.client.post(f"/jobs/{job}/close")
    assert counts(done(platform.client, job)) == {"received": 1, "rejected": 1}
    assert results(platform.client, job) == []


def test_without_collecting_a_bad_row_stops_its_part(platform: Platform) -> None:
    job = made(platform.client)
    answer = send(platform.client, job, 0, [report(0), report(1, popularity=9)], 1)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/1/popularity")
    assert counts(platform.client.get(f"/jobs/{job}").json()) == {}
    assert send(platform.client, job, 0, [report(0), report(1)], 1).status_code == 202


def test_rows_that_only_the_model_refuses_are_collected_too(platform: Platform) -> None:
    """An image with a valid head and pixels that cannot be decoded fails its task, which goes again without it."""
    good = saved(eight(16))
    cut = good[: len(good) // 2]
    images = [{"image": b64encode(cut if number in (1, 4) else good).decode()} for number in range(6)]
    job = made(platform.client, model="image_classifier", on_invalid="collect")
    answer = send(platform.client, job, 0, images, 1)
    assert answer.status_code == 202, answer.text
    platform.client.post(f"/jobs/{job}/close")
    found = done(platform.client, job)
    assert counts(found) == {"received": 6, "scored": 4, "rejected": 2}
    assert [row["row"] for row in results(platform.client, job)] == [1, 3, 4, 6]
    rejected = parsed(platform.client.get(f"/jobs/{job}/rejects"))
    assert [(row["row"], row["errors"][0]["pointer"]) for row in rejected] == [(2, "#/image"), (5, "#/image")]


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("kind", [CSV, NDJSON])
def test_curl_uploads_a_whole_file(platform: Platform, kind: str, coding: str) -> None:
    rows = [report(number, **({"report_id": 'a "quoted"\nkey'} if number == 7 else {})) for number in range(25_003)]
    rows[10_001]["popularity"] = 77
    content = as_csv(rows).encode() if kind == CSV else lines(rows)
    content = gzip.compress(content, 1) if coding == "gzip" else content
    params = {"model": "report_scorer", "on_invalid": "collect"}
    headers = {"Content-Type": kind, "Content-Encoding": coding, "Idempotency-Key": str(uuid4())}

    def blocks() -> Iterator[bytes]:
        for start in range(0, len(content), 100_001):
            yield content[start : start + 100_001]

    first = platform.client.post("/jobs", params=params, content=blocks(), headers=headers)
    assert first.status_code == 202, first.text
    job = first.json()["job_id"]
    again = platform.client.post("/jobs", params=params, content=content, headers=headers)
    assert (again.json()["job_id"], again.json()["parts"]) == (job, 3)
    assert counts(done(platform.client, job)) == {"received": 25_003, "scored": 25_002, "rejected": 1}
    answer = platform.client.get(f"/jobs/{job}/results", headers={"Accept": CSV})
    back = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["report_id"] for row in back] == [row["report_id"] for row in rows if row["popularity"] != 77]
    assert [int(row["row"]) for row in back] == [number for number in range(1, 25_004) if number != 10_002]


def test_each_part_of_an_uploaded_file_has_the_delimiter_that_the_file_states(platform: Platform) -> None:
    rows = [report(number) for number in range(10_003)]
    rows[10_000]["report_id"] = "=1+1;@x"
    content = f"sep=;\r\n{as_csv(rows, ';')}\r\n".encode()
    headers = {"Content-Type": CSV}
    made = platform.client.post("/jobs", params={"model": "report_scorer"}, content=content, headers=headers).json()
    assert (made["parts"], counts(done(platform.client, made["job_id"]))["scored"]) == (2, 10_003)
    answer = platform.client.get(f"/jobs/{made['job_id']}/results", headers={"Accept": CSV})
    back = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["report_id"] for row in back] == [row["report_id"] for row in rows]  # exact, formula or not


def test_an_upload_that_was_cut_off_goes_on(platform: Platform) -> None:
    rows = [report(number) for number in range(21_000)]
    content, params = lines(rows), {"model": "report_scorer"}
    headers = {"Content-Type": NDJSON, "Idempotency-Key": str(uuid4())}

    class Broken(Exception): ...

    def cut() -> Iterator[bytes]:
        yield content[: len(content) // 2 + 77]
        raise Broken

    with pytest.raises(Broken):
        platform.client.post("/jobs", params=params, content=cut(), headers=headers)
    whole = platform.client.post("/jobs", params=params, content=content, headers=headers)
    assert (whole.status_code, whole.json()["parts"]) == (202, 3)
    job = whole.json()["job_id"]
    assert counts(done(platform.client, job)) == {"received": 21_000, "scored": 21_000}
    assert [row["report_id"] for row in results(platform.client, job)] == [row["report_id"] for row in rows]


def test_a_cancelled_job_keeps_what_is_scored(platform: Platform) -> None:
    job = made(platform.client)
    send(platform.client, job, 0, REPORTS, 1)
    eventually(lambda: platform.client.get(f"/jobs/{job}").json()["rows"]["scored"] == 12)
    assert platform.client.post(f"/jobs/{job}/cancel").json()["status"] == "CANCELLED"
    assert platform.client.post(f"/jobs/{job}/cancel").json()["status"] == "CANCELLED"
    assert send(platform.client, job, 1, REPORTS, 13).json()["type"].endswith("job-closed")
    assert len(results(platform.client, job)) == 12


def test_rows_that_were_erased_since_are_counted_as_deleted_and_the_others_keep_their_numbers(
    platform: Platform, engine: Engine
) -> None:
    job, key = made(platform.client), f"person-{uuid4()}"
    rows = [report(1), {**report(2), "report_id": key}, report(3)]
    send(platform.client, job, 0, rows, 1)
    send(platform.client, job, 1, rows[1:2], 4)  # of this task nothing is left
    platform.client.post(f"/jobs/{job}/close")
    done(platform.client, job)
    with engine.begin() as connection:
        assert erasing.erase_predictions(connection, "report_scores", [KeyColumn("report_id", key)], [], 10)
    assert counts(done(platform.client, job)) == {"received": 4, "scored": 2, "deleted": 2}
    assert [row["row"] for row in results(platform.client, job)] == [1, 3]


def test_a_finished_job_is_noted_and_listed(platform: Platform) -> None:
    job = made(platform.client)
    send(platform.client, job, 0, REPORTS, 1)
    platform.client.post(f"/jobs/{job}/close")
    done(platform.client, job)

    def listed() -> dict[str, Any]:
        page = platform.client.get("/jobs", params={"limit": 1}).json()
        assert page["next"] is not None
        found: dict[str, Any] = page["jobs"][0]
        return found

    assert listed()["job_id"] == job
    eventually(lambda: listed()["finished_at"])
    older = platform.client.get("/jobs", params={"before": job, "limit": 1000}).json()["jobs"]
    assert older
    assert job not in [one["job_id"] for one in older]


def test_a_job_is_its_clients_own(new_client: NewClient) -> None:
    mine, other, reader = new_client(), new_client(), new_client(role=Role.READ)
    job = made(mine, on_invalid="collect")
    assert send(mine, job, 0, [report(0), report(1, popularity=9)], 1).status_code == 202
    attempts = [
        other.get(f"/jobs/{job}"),
        other.get(f"/jobs/{job}/results"),
        other.get(f"/jobs/{job}/rejects"),
        other.post(f"/jobs/{job}/close"),
        other.post(f"/jobs/{job}/cancel"),
        send(other, job, 1, [report(0)], 3),
    ]
    assert {answer.status_code for answer in attempts} == {404}
    assert job not in json.dumps(other.get("/jobs").json())
    assert mine.post(f"/jobs/{job}/close").status_code == 200
    done(mine, job)
    assert "report_id" in results(mine, job)[0]
    assert "report_id" not in results(reader, job)[0]
    assert "9" not in parsed(reader.get(f"/jobs/{job}/rejects"))[0]["errors"][0]["detail"]
    assert reader.post(f"/jobs/{job}/cancel").status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/jobs", {"model": "nobody"}, 404, "Unknown model 'nobody'"),
        ("/jobs", {"model": "report_scorer", "priority": "urgent"}, 422, "pattern"),
        ("/jobs", {}, 422, "Required field is missing"),
        (f"/jobs/{UUID(int=7)}/close", {}, 404, "no job of yours has this id"),
        ("/jobs/x/close", {}, 422, "Must be an id such as"),
    ],
)
def test_what_is_wrong_with_a_job_is_said(platform: Platform, path: str, body: Any, status: int, words: str) -> None:
    answer = platform.client.post(path, json=body)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text


def test_an_old_job_goes_after_its_tasks_and_a_reject_forgets_what_it_quotes(
    platform: Platform, engine: Engine
) -> None:
    job = made(platform.client, on_invalid="collect")
    send(platform.client, job, 0, [report(0), report(1, abuse_type="person-17")], 1)
    platform.client.post(f"/jobs/{job}/close")
    done(platform.client, job)
    watched = engine.execution_options(isolation_level="AUTOCOMMIT")
    with watched.connect() as look:
        ended = text("SELECT finished_at FROM jobs WHERE id = :id")
        eventually(lambda: look.scalar(ended, {"id": job}))
    with engine.begin() as connection:
        assert old_jobs.erase_quotes(connection, "report_scorer", "person-17") == 1
        tomorrow = datetime.now(UTC).date() + timedelta(days=2)
        old_jobs.delete(connection, "report_scorer", tomorrow)
        there = text("SELECT count(*) FROM jobs WHERE id = :id")
        assert connection.scalar(there, {"id": job}) == 1
        connection.execute(
            text("DELETE FROM tasks WHERE id IN (SELECT task_id FROM job_parts WHERE job_id = :id)"), {"id": job}
        )
        old_jobs.delete(connection, "report_scorer", tomorrow)
        assert connection.scalar(there, {"id": job}) == 0
        connection.rollback()
    rejected = parsed(platform.client.get(f"/jobs/{job}/rejects"))
    assert rejected[0]["row"] == 2


def test_quotes_inside_cells_and_odd_line_ends_shift_no_row(platform: Platform) -> None:
    rows = [report(number, report_id=['5" pipe', "x", 'a "b" c', '"'][number % 4]) for number in range(20_005)]
    head = ",".join(rows[0])
    content = "\n".join([head, *(",".join(map(str, row.values())) for row in rows)]).replace(',"\n', ',""""\n')
    content = content.replace("PRF,103", "XXX,103", 1) if "PRF,103" in content else content.replace("MSG", "XXX", 1)
    params = {"model": "report_scorer", "on_invalid": "collect"}
    answer = platform.client.post("/jobs", params=params, content=content.encode(), headers={"Content-Type": CSV})
    assert answer.status_code == 202, answer.text
    job = answer.json()["job_id"]
    found = done(platform.client, job)
    assert (found["parts"], found["rows"]["received"], found["rows"]["rejected"]) == (3, 20_005, 1)
    (reject,) = parsed(platform.client.get(f"/jobs/{job}/rejects"))
    back = results(platform.client, job)
    numbers = [row["row"] for row in back]
    assert numbers == [number for number in range(1, 20_006) if number != reject["row"]]
    assert [row["report_id"] for row in back] == [rows[number - 1]["report_id"] for number in numbers]


def test_a_refused_file_leaves_no_job_behind_that_nobody_can_name(platform: Platform) -> None:
    rows = [report(number) for number in range(12_000)]
    rows[11_000]["popularity"] = 9
    headers = {"Content-Type": NDJSON}
    refused = platform.client.post("/jobs", params={"model": "report_scorer"}, content=lines(rows), headers=headers)
    assert (refused.status_code, "stored up to row 10000" in refused.json()["detail"]) == (422, True)
    assert platform.client.get(refused.headers["location"]).json()["status"] == "CANCELLED"
    before = platform.client.get("/jobs", params={"limit": 1}).json()["jobs"][0]["job_id"]
    odd = {**headers, "Content-Encoding": "br"}
    assert (
        platform.client.post("/jobs", params={"model": "report_scorer"}, content=b"x", headers=odd).status_code == 415
    )
    assert platform.client.get("/jobs", params={"limit": 1}).json()["jobs"][0]["job_id"] == before


def test_a_later_part_must_say_where_it_stands(platform: Platform) -> None:
    job = made(platform.client)
    answer = platform.client.post(f"/jobs/{job}/parts/1", json=REPORTS)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "first_row")
