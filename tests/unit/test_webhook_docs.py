"""The receiver that docs/how-to/webhooks.md shows works as it is printed."""

import re
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import WebhookVerificationError
from uuid_utils.compat import uuid7

from tests.running import ROOT
from webhooks.posting import Event
from webhooks.signing import key_of, new_secret, signatures

PAGE = (ROOT / "docs" / "how-to" / "webhooks.md").read_text(encoding="utf-8")


def ended(task_id: UUID, at: datetime) -> Event:
    data = {"task_id": str(task_id), "status": "SUCCESS", "model": "report_scorer"}
    return Event(task_id, "task.succeeded", at, data, None)


def test_the_receiver_of_the_documentation_takes_each_event_once_and_no_forgery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret, now, event = new_secret(), int(time.time()), ended(uuid7(), datetime.now(UTC))
    monkeypatch.setenv("MY_WEBHOOK_SECRET", secret)
    example = re.search(r"```python\n(.*?)```", PAGE, re.S)
    assert example
    names: dict[str, Any] = {}
    exec(example[1], names)  # noqa: S102 - our own page
    signature = signatures([key_of(secret)], event.id, now, event.body())
    headers = {"webhook-id": event.id, "webhook-timestamp": str(now), "webhook-signature": signature}
    with pytest.raises(WebhookVerificationError):
        names["receive"](headers, event.body().replace(b"SUCCESS", b"FAILURE"))
    assert names["receive"](headers, event.body()) == str(event.source)
    assert names["receive"](headers, event.body()) is None


def test_the_event_is_as_the_documentation_shows_it() -> None:
    shown = re.search(r"^webhook-id: (\S+)\n.*?^(\{.*\})$", PAGE, re.S | re.M)
    assert shown
    event = ended(UUID("019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"), datetime(2026, 1, 9, 9, 0, 0, 10_000, tzinfo=UTC))
    assert (event.id, event.body().decode()) == (shown[1], shown[2])
