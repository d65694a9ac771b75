"""Every bad request gets a problem that says what is wrong and where; nothing is stored, and nothing breaks."""

import json
import socket

import pytest
from sqlalchemy import text

from store.engine import connect
from tests.integration.bad_requests import TABLE, row, rows, send
from tests.running import REPORT, Platform


def stored(platform: Platform) -> int:
    engine = connect(platform.database_url)
    with engine.connect() as connection:
        tasks, inputs = connection.execute(
            text("SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM task_inputs)")
        ).one()
    engine.dispose()
    assert inputs <= tasks
    return int(tasks)


@pytest.mark.parametrize("name", TABLE)
def test_a_bad_request_gets_a_problem_that_says_what_is_wrong_and_where(platform: Platform, name: str) -> None:
    bad = TABLE[name]
    answer = send(platform.client, bad)
    problem = answer.json()
    assert answer.status_code == problem["status"] == bad.status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"urn:millrace:problem:{bad.kind}"
    faults = problem.get("errors", [])
    assert bad.words in " ".join([problem["detail"], *(fault["detail"] for fault in faults)])
    if bad.pointers is not None:
        assert sorted(fault["pointer"] for fault in faults) == sorted(bad.pointers)
    assert len(faults) <= 100


def test_no_bad_request_stores_anything_or_breaks_the_handler(platform: Platform) -> None:
    before, log = stored(platform), platform.logs / "handler.log"
    read = log.stat().st_size
    for name, bad in TABLE.items():
        assert send(platform.client, bad).status_code < 500, name
    assert stored(platform) == before
    said = log.read_bytes()[read:].decode()
    assert "Traceback" not in said
    assert "request_failed" not in said


def test_a_client_that_hangs_up_half_way_leaves_no_trace(platform: Platform) -> None:
    before, log = stored(platform), platform.logs / "handler.log"
    read = log.stat().st_size
    body = rows({})
    head = "POST /submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", platform.port)) as connection:
        connection.sendall(head.encode() + body[:-1])
    platform.submit(REPORT)  # the handler has seen the other one before this one
    assert stored(platform) == before + 1
    assert "Traceback" not in log.read_bytes()[read:].decode()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (row(profile_rating="-0.0"), "application/json"),
        (row(profile_rating="4"), "application/json"),
        (row(popularity="3.0"), "application/json"),
        (row(report_text_len="1.2e2", lifetime_matches_created="5.7E1", popularity="-0.0"), "application/json"),
        (row(report_id="null"), "application/json"),
        (row(report_id=json.dumps("😀" * 64)), "application/json"),
        (row().replace(b"popularity", rb"popul\u0061rity"), "application/json"),
        (row(popularity="9")[:-2] + b',"popularity":1}]', "application/json"),
        (b"\r\n\t " + row() + b" \n", "application/json"),
        (row(), "application/json; charset=utf-8"),
        (row(), "Application/JSON;charset=UTF-8"),
    ],
)
def test_what_only_looks_odd_is_scored(platform: Platform, body: bytes, content_type: str) -> None:
    answer = platform.client.post("/submit", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 202, answer.text
    task = platform.finished(answer.json()["task_id"])
    assert task["status"] == "SUCCESS", task


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        (["wait=abc"], None),
        (["wait=-1"], None),
        (["wait=0"], None),
        (["wait=1.5"], None),
        (["wait"], None),
        (["wait="], None),
        ([""], None),
        ([",;=,"], None),
        (["respond-async"], None),
        (["wait=100000"], "wait=60"),
        (["wait=" + "9" * 5000], "wait=60"),
        (["wait=007"], "wait=7"),
        (['WAIT="5"'], "wait=5"),
        (["respond-async, wait=4; strict"], "wait=4"),
        (["wait=3, wait=9"], "wait=3"),
        (["respond-async", "wait=2"], "wait=2"),
    ],
)
def test_a_preference_that_is_odd_is_left_alone(platform: Platform, prefer: list[str], applied: str | None) -> None:
    task_id = platform.submit(REPORT)
    platform.finished(task_id)
    answer = platform.client.get(f"/task/{task_id}", headers=[("Prefer", value) for value in prefer])
    assert answer.status_code == 200, answer.text
    assert answer.headers.get("preference-applied") == applied
    assert answer.headers["vary"] == "Accept, Prefer"
