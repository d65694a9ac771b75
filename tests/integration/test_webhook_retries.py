"""A receiver that does not take its webhook is told again, until it does or says that it never will."""

from sqlalchemy import Engine, text

from tests.callbacks import StartDeliverer, add, attempted, callback, now_due
from tests.receiving import receiving
from tests.running import eventually


def test_a_receiver_that_fails_is_told_again_with_the_same_id(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving(500, (503, {"Retry-After": "3600"}), 200) as receiver:
        task_id = add(engine, receiver.url)
        start_deliverer()
        first = attempted(engine, task_id)
        assert (first.last_status, first.delivered_at, first.given_up_at) == (500, None, None)
        eventually(lambda: len(receiver.received) == 2)  # after 5 s, without help
        second = eventually(lambda: (row := callback(engine, task_id)).last_status == 503 and row)
        with engine.connect() as connection:
            wait = connection.execute(text("SELECT extract(epoch FROM due_at - now()) FROM webhooks")).scalar_one()
        assert (second.last_status, 3500 < wait <= 3600) == (503, True)
        now_due(engine, task_id)
        eventually(lambda: callback(engine, task_id).delivered_at)
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
    assert int(receiver.received[1].headers["webhook-timestamp"]) > int(
        receiver.received[0].headers["webhook-timestamp"]
    )
    assert [request.verified()["data"]["task_id"] for request in receiver.received] == [str(task_id)] * 3


def test_a_receiver_that_is_away_is_told_when_it_is_back(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving() as receiver:
        url = receiver.url
    task_id = add(engine, url)
    start_deliverer()
    assert "ConnectError" in attempted(engine, task_id).last_error
    with receiving() as receiver:
        with engine.begin() as connection:
            connection.execute(text("UPDATE webhooks SET url = :url, due_at = now()"), {"url": receiver.url})
        eventually(lambda: callback(engine, task_id).delivered_at)
    assert callback(engine, task_id).attempts == 2


def test_a_receiver_that_does_not_answer_in_time_is_tried_again(
    engine: Engine, start_deliverer: StartDeliverer
) -> None:
    with receiving() as receiver:
        receiver.hold.clear()
        task_id = add(engine, receiver.url)
        start_deliverer(WEBHOOK_TIMEOUT_SECONDS="0.3")
        row = attempted(engine, task_id)
        assert (row.last_status, row.last_error, row.delivered_at) == (None, "no answer within 0.3 s", None)
        assert row.due_at


def test_gone_means_never_again(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving(410) as receiver:
        task_id = add(engine, receiver.url)
        start_deliverer()
        row = attempted(engine, task_id)
        assert (row.last_status, row.due_at, row.given_up_at is None) == (410, None, False)


def test_after_the_last_attempt_it_is_given_up(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving(404) as receiver:
        task_id = add(engine, receiver.url)
        with engine.begin() as connection:
            connection.execute(text("UPDATE webhooks SET attempts = 10"))
        start_deliverer()
        row = attempted(engine, task_id, 11)
        assert (row.last_status, row.due_at, row.given_up_at is None, row.attempts) == (404, None, False, 11)
