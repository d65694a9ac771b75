"""Deliveries go to the address that was checked, over TLS to the name that was given, and read next to nothing."""

import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpcore
import pytest
import trustme
from uuid_utils.compat import uuid7

from serving.addresses import IpAddress
from tests.receiving import SECRET, Receiver, receiving
from webhooks.network import CheckedNetwork
from webhooks.posting import Event, Poster, WebhookResponse
from webhooks.signing import key_of

NAME = "receiver.example"
PUBLIC = "93.184.215.14"
TASK = uuid7()
EVENT = Event(TASK, "task.succeeded", datetime.now(UTC), {"task_id": str(TASK), "model": "m"}, None)


class Internet(httpcore.AsyncNetworkBackend):
    """Connects to a receiver on loopback whatever the address, and keeps the addresses that it was asked for."""

    def __init__(self, receiver: Receiver, unreachable: Iterable[str] = ()) -> None:
        self._port = int(receiver.url.rsplit(":", 1)[1].split("/")[0])
        self._unreachable = set(unreachable)
        self._network = httpcore.AnyIOBackend()
        self.asked: list[str] = []

    async def connect_tcp(self, host: str, port: int, *arguments: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        self.asked.append(host)
        if host in self._unreachable:
            raise httpcore.ConnectError("unreachable")
        return await self._network.connect_tcp("127.0.0.1", self._port, *arguments, **options)


class NameServer:
    """Gives one answer after another, the last of them again and again."""

    def __init__(self, *answers: Iterable[str]) -> None:
        self._answers = [[ip_address(address) for address in answer] for answer in answers]
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[IpAddress]:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


@contextmanager
def receiving_tls(authority: trustme.CA, name: str, names: list[str] | None = None) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    if names is not None:
        context.sni_callback = lambda _, name, __: names.append(name)  # type: ignore[assignment]
    with receiving(tls=context) as receiver:
        yield receiver


async def post(url: str, network: CheckedNetwork, *, allow_private: bool = False) -> WebhookResponse:
    poster = Poster([key_of(SECRET)], network, 5, allow_private=allow_private)
    try:
        return await poster.post(EVENT, url)
    finally:
        await poster.close()


async def test_tls_is_verified_against_the_name_and_the_receiver_hears_the_name(authority: trustme.CA) -> None:
    names: list[str] = []
    with receiving_tls(authority, NAME, names) as receiver:
        internet = Internet(receiver)
        network = CheckedNetwork(allow_private=False, resolve=NameServer([PUBLIC]), network=internet)
        answer = await post(f"https://{NAME}/hook?a=b", network)
    assert answer == WebhookResponse(204)
    assert (names, internet.asked) == ([NAME], [PUBLIC])
    (request,) = receiver.received
    assert (request.path, request.headers["Host"]) == ("/hook?a=b", NAME)
    assert request.verified()["data"]["task_id"] == str(TASK)


async def test_a_certificate_of_another_name_is_refused(authority: trustme.CA) -> None:
    with receiving_tls(authority, "other.example") as receiver:
        network = CheckedNetwork(allow_private=False, resolve=NameServer([PUBLIC]), network=Internet(receiver))
        answer = await post(f"https://{NAME}/", network)
    assert "CERTIFICATE_VERIFY_FAILED" in (answer.error or "")
    assert receiver.received == []


async def test_a_name_that_answers_differently_the_second_time_gains_nothing(authority: trustme.CA) -> None:
    names = NameServer([PUBLIC], ["127.0.0.1"])
    with receiving_tls(authority, NAME) as receiver:
        internet = Internet(receiver)
        network = CheckedNetwork(allow_private=False, resolve=names, network=internet)
        assert (await post(f"https://{NAME}/", network)).delivered
        assert (names.asked, internet.asked) == (1, [PUBLIC])
        assert "not public" in ((await post(f"https://{NAME}/", network)).error or "")
    assert (names.asked, internet.asked, len(receiver.received)) == (2, [PUBLIC], 1)


@pytest.mark.parametrize("hidden", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"])
async def test_one_private_address_among_public_ones_is_enough_to_refuse(hidden: str) -> None:
    with receiving() as receiver:
        internet = Internet(receiver)
        network = CheckedNetwork(allow_private=False, resolve=NameServer([PUBLIC, hidden]), network=internet)
        answer = await post(f"https://{NAME}/", network)
    assert "not public" in (answer.error or "")
    assert internet.asked == []


async def test_the_next_address_is_tried_when_one_cannot_be_reached(authority: trustme.CA) -> None:
    with receiving_tls(authority, NAME) as receiver:
        internet = Internet(receiver, unreachable=["2606:4700::1111", "1.1.1.1"])
        names = NameServer(["2606:4700::1111", "1.1.1.1", PUBLIC])
        network = CheckedNetwork(allow_private=False, resolve=names, network=internet)
        assert (await post(f"https://{NAME}/", network)).delivered
    assert internet.asked == ["1.1.1.1", PUBLIC]


async def test_a_name_that_does_not_resolve_is_a_failure_like_others() -> None:
    answer = await post("https://nothing.invalid/", CheckedNetwork(allow_private=False))
    assert answer == WebhookResponse(error="ConnectError: nothing.invalid cannot be resolved")


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert (await post(receiver.url, CheckedNetwork(allow_private=True), allow_private=True)).delivered
    assert (proxy.received, len(receiver.received)) == ([], 1)


async def test_an_endless_answer_is_not_read() -> None:
    with receiving((200, {"Content-Length": str(2**40)})) as receiver:
        receiver.body = b"x" * 2**20
        assert await post(receiver.url, CheckedNetwork(allow_private=True), allow_private=True) == WebhookResponse(200)


async def test_a_status_counts_even_if_its_body_never_comes() -> None:
    with receiving((200, {"Content-Length": "10"})) as receiver:
        assert await post(receiver.url, CheckedNetwork(allow_private=True), allow_private=True) == WebhookResponse(200)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("120", 120, 120),
        ("soon", None, None),
        ("9" * 400, 999_999_999, 999_999_999),
        ("Wed, 21 Oct 2015 07:28:00 GMT", -(2**31), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 10**10, 10**12),
    ],
)
async def test_retry_after_is_seconds_or_a_date(value: str, least: float | None, most: float | None) -> None:
    with receiving((503, {"retry-after": value})) as receiver:
        answer = await post(receiver.url, CheckedNetwork(allow_private=True), allow_private=True)
    assert answer.status == 503
    assert answer.retry_after == least if least is None else least <= (answer.retry_after or 0) <= (most or 0)


async def test_a_connection_serves_several_deliveries_to_one_host() -> None:
    with receiving() as receiver:
        internet = Internet(receiver)
        network = CheckedNetwork(allow_private=True, resolve=NameServer(["127.0.0.1"]), network=internet)
        poster = Poster([key_of(SECRET)], network, 5, allow_private=True)
        for _ in range(3):
            assert (await poster.post(EVENT, receiver.url)).delivered
        await poster.close()
    assert (len(receiver.received), len(internet.asked)) == (3, 1)
