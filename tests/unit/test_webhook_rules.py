"""Which URLs and addresses are taken, how a delivery is signed, and when it is tried again."""

from datetime import UTC, datetime
from ipaddress import ip_address

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from serving.addresses import is_public
from webhooks.posting import retry_after
from webhooks.retries import DELAYS, HOUR, next_attempt
from webhooks.settings import WebhookSettings
from webhooks.signing import key_for, key_of, new_secret, secret_of, signatures
from webhooks.urls import Target, UrlRefused, target

NOT_PUBLIC = """
0.0.0.0 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.8.8.8 169.254.169.254 172.16.0.1 172.31.255.255 192.168.1.1
192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1 168.63.129.16 224.0.0.1 239.1.1.1 240.0.0.1
255.255.255.255 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::10.0.0.1 64:ff9b:1::1
100::1 2001::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0
fec0::1 ff02::1 ff0e::1
"""


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_no_private_address_is_public_whatever_it_is_wrapped_in(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
)
def test_addresses_of_the_public_internet_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "//example.com/",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///hook",
        "https://:443/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:https/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/ hook",
        "https://example.com/\r\nHost: x",
        "https://example.com/#part",
        "https://exämple.com/",
        "https://exa%6dple.com/",
        "https://[::1",
        "https://[::1%25lo]/",
        "https://example.com/" + "x" * 2048,
        "https://localhost/",
        "https://LOCALHOST./",
        "https://me.localhost/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://017700000001/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fd00::1]:8443/",
    ],
)
def test_such_a_callback_url_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        target(url, allow_private=False)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com", Target("https", "example.com", "example.com", None, "/")),
        ("HTTPS://Example.com:8443/a?b=c&d", Target("https", "Example.com:8443", "example.com", 8443, "/a?b=c&d")),
        ("https://xn--exmple-cua.com?x", Target("https", "xn--exmple-cua.com", "xn--exmple-cua.com", None, "/?x")),
        ("https://[2606:4700::1111]/", Target("https", "[2606:4700::1111]", "2606:4700::1111", None, "/")),
    ],
)
def test_such_a_callback_url_is_taken(url: str, expected: Target) -> None:
    assert target(url, allow_private=False) == expected


@given(st.text(max_size=60) | st.from_regex(r"https://[!-~]{0,40}", fullmatch=True))
def test_a_callback_url_is_taken_or_refused_and_nothing_else(url: str) -> None:
    try:
        taken = target(url, allow_private=False)
    except UrlRefused:
        return
    assert taken.scheme == "https"
    assert taken.host


def test_the_specifications_library_verifies_a_signature_and_nothing_that_was_changed() -> None:
    secret, now, body = new_secret(), datetime.now(UTC), '{"type":"task.succeeded","ü":1}'.encode()
    signature = signatures([key_of(secret)], "msg_1", int(now.timestamp()), body)
    assert signature == Webhook(secret).sign("msg_1", now, body.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    assert Webhook(secret).verify(body, headers)
    for changed_body, changed in [
        (body.replace(b"1", b"2"), {}),
        (body, {"webhook-id": "msg_2"}),
        (body, {"webhook-timestamp": str(int(now.timestamp()) + 1)}),
    ]:
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(changed_body, headers | changed)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, headers)


def test_while_a_secret_is_replaced_receivers_may_have_either() -> None:
    new, old, now = new_secret(), new_secret(), int(datetime.now(UTC).timestamp())
    keys = WebhookSettings(webhook_secret=f"{new} {old}").keys
    headers = {"webhook-id": "m", "webhook-timestamp": str(now), "webhook-signature": signatures(keys, "m", now, b"{}")}
    for secret in (new, old):
        assert Webhook(secret).verify(b"{}", headers) == {}


def test_a_client_with_its_own_secret_can_sign_for_no_other() -> None:
    key = key_of(new_secret())
    assert len({key, key_for(key, "ada"), key_for(key, "bob"), key_for(key_for(key, "ada"), "bob")}) == 4
    assert key_for(key, None) == key
    assert key_of(secret_of(key_for(key, "ada"))) == key_for(key, "ada")


@pytest.mark.parametrize(
    "secret", ["hunter2hunter2hunter2hunter2", "whsec_c2hvcnQ=", "whsec_???", "whsec_" + "A" * 100]
)
def test_a_secret_that_is_none_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValidationError) as refused:
        WebhookSettings(webhook_secret=secret)
    assert secret not in str(refused.value)
    assert "whsec_ and 24 to 64 bytes in base64" in str(refused.value)
    assert "MfKQ" not in repr(WebhookSettings(webhook_secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))


def test_retries_grow_from_seconds_to_a_day_and_end() -> None:
    delays = [next_attempt(attempt) for attempt in range(1, 12)]
    assert delays[-1] is None
    for delay, planned in zip(delays, DELAYS, strict=False):
        assert delay is not None
        assert 0.8 * planned <= delay <= 1.2 * planned
    assert 72 * HOUR < sum(DELAYS) < 96 * HOUR


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(b"120", 120), (b"soon", None), (b"", None), (b"Mon, 01 Jan 2024 00:00:00 +99999999999999", None)],
)
def test_what_a_receiver_asks_for_is_understood_or_ignored(asked: bytes, seconds: float | None) -> None:
    assert retry_after(httpcore.Response(503, headers=[(b"Retry-After", asked)])) == seconds


@pytest.mark.parametrize(
    ("asked", "least", "most"), [(60.0, 60, 60), (1.0, 4, 6), (-5.0, 4, 6), (10_000_000.0, 86_400, 86_400)]
)
def test_a_receiver_that_asks_for_time_gets_it_within_a_day(asked: float, least: float, most: float) -> None:
    delay = next_attempt(1, asked)
    assert delay is not None
    assert least <= delay <= most
