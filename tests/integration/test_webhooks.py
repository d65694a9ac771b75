"""Receivers are told that their tasks have ended: to whom, what, when, and by whose signature."""

import socket
import time
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from standardwebhooks import WebhookVerificationError
from uuid_utils.compat import uuid7

from broker.redis_broker import RedisBroker
from serving import catalogue
from store import transitions
from tests.callbacks import StartDeliverer, add, attempted, callback, end
from tests.receiving import SECRET, Received, receiving
from tests.running import eventually
from webhooks.signing import key_for, key_of, secret_of


def test_an_ended_task_is_told_with_a_signature_that_verifies(engine: Engine, start_deliverer: StartDeliverer) -> None:
    kinds = {"SUCCESS": "succeeded", "FAILURE": "failed", "REVOKED": "revoked", "EXPIRED": "expired"}
    with receiving() as receiver:
        ended = {str(add(engine, f"{receiver.url}?token=token-of-the-receiver", status)): status for status in kinds}
        start_deliverer()
        for task_id in ended:
            eventually(lambda task_id=task_id: callback(engine, UUID(task_id)).delivered_at)
    assert len(receiver.received) == 4
    for request in receiver.received:
        event = request.verified()
        status = ended[event["data"]["task_id"]]
        assert (request.path, request.headers["Content-Type"]) == (
            "/hook?token=token-of-the-receiver",
            "application/json",
        )
        assert event["type"] == f"task.{kinds[status]}"
        assert event["data"] == {"task_id": event["data"]["task_id"], "status": status, "model": "m"}
        row = callback(engine, UUID(event["data"]["task_id"]))
        assert (row.attempts, row.due_at, row.given_up_at, row.last_status) == (1, None, None, 204)
        with pytest.raises(WebhookVerificationError):
            Received(request.path, request.headers, request.body + b" ").verified()


def test_a_clients_webhook_is_signed_with_the_clients_own_secret(
    engine: Engine, start_deliverer: StartDeliverer
) -> None:
    with receiving() as receiver:
        add(engine, receiver.url, client="ada")
        start_deliverer()
        eventually(lambda: receiver.received)
        assert receiver.received[0].verified(secret_of(key_for(key_of(SECRET), "ada")))["type"] == "task.succeeded"
        with pytest.raises(WebhookVerificationError):
            receiver.received[0].verified(SECRET)


def test_nobody_is_told_before_the_task_has_ended_and_then_an_announcement_makes_it_quick(
    engine: Engine, redis_url: str, start_deliverer: StartDeliverer
) -> None:
    with receiving() as receiver:
        task_id = add(engine, receiver.url, "STARTED")
        program = start_deliverer(WEBHOOK_SWEEP_SECONDS="3600")
        announcer = RedisBroker(redis_url, catalogue.bounds)
        eventually(lambda: "webhooks_started" in program.log.read_text())
        time.sleep(0.5)
        announcer.announce([task_id, uuid7()])
        time.sleep(0.5)
        assert receiver.received == []
        end(engine, task_id)
        announcer.announce([task_id])
        eventually(lambda: receiver.received)  # long before the next sweep


def test_an_ending_that_nobody_announced_is_found(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving() as receiver:
        task_id = add(engine, receiver.url, "STARTED")
        start_deliverer(REDIS_URL="redis://127.0.0.1:1/0")
        end(engine, task_id, "FAILURE")
        eventually(lambda: receiver.received)
        assert receiver.received[0].verified()["type"] == "task.failed"


def test_a_redirect_is_not_followed(engine: Engine, start_deliverer: StartDeliverer) -> None:
    statuses = [301, 302, 303, 307, 308]
    with receiving() as elsewhere:
        with receiving(*[(status, {"Location": elsewhere.url}) for status in statuses]) as receiver:
            task_ids = [add(engine, receiver.url) for _ in statuses]
            start_deliverer()
            rows = [attempted(engine, task_id) for task_id in task_ids]
        assert sorted(row.last_status for row in rows) == statuses
        assert not any(row.delivered_at for row in rows)
        assert all(row.due_at for row in rows)
        assert (len(receiver.received), elsewhere.received) == (5, [])


def test_a_private_address_is_refused_whatever_its_name(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving() as receiver:
        url = receiver.url.replace("http:", "https:")
        hosts = [
            "localhost",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "vm.localhost",
        ]
        task_ids = [add(engine, url.replace("127.0.0.1", host)) for host in [*hosts, socket.gethostname()]]
        start_deliverer(WEBHOOK_ALLOW_PRIVATE="false")
        for task_id in task_ids:
            assert "public" in attempted(engine, task_id).last_error
        assert receiver.received == []


def test_without_a_secret_nothing_is_sent(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving() as receiver:
        task_id = add(engine, receiver.url)
        program = start_deliverer(WEBHOOK_SECRET="")
        eventually(lambda: callback(engine, task_id).due_at)
        time.sleep(1.5)
        assert (receiver.received, callback(engine, task_id).attempts) == ([], 0)
        assert program.process.poll() is None


def replay(engine: Engine, task_id: UUID) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO task_inputs SELECT id, '[{}]' FROM tasks"))
        assert transitions.replay(connection, task_id, None)


def test_a_replayed_task_tells_again_under_another_id(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving() as receiver:
        task_id = add(engine, receiver.url, "FAILURE")
        start_deliverer()
        eventually(lambda: callback(engine, task_id).delivered_at)
        replay(engine, task_id)
        time.sleep(0.5)
        end(engine, task_id)
        eventually(lambda: len(receiver.received) == 2)
    events = [request.verified() for request in receiver.received]
    assert [event["type"] for event in events] == ["task.failed", "task.succeeded"]
    assert receiver.received[0].headers["webhook-id"] != receiver.received[1].headers["webhook-id"]
