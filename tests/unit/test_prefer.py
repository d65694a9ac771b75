"""`Prefer: wait=N` as RFC 7240 writes it, quotes and lists included."""

import pytest

from handler.routes.tasks import _wait


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10),
        ('wait="10"', 10),
        ("WAIT = 10", 10),
        ("respond-async, wait=5; a=b", 5),
        ('note="a, wait=60", wait=5', 5),
        ('note="say \\", wait=60", wait=7', 7),
        ("wait=007", 7),
        ("wait=61", 60),
        ("wait=" + "9" * 5_000, 60),
        ('note="wait=60, wait=60"', None),
        ('note="a, wait=60', None),
        ('wait="10', None),
        ("wait=10s", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=٣", None),
        ("wait=0", None),
        ("wait=", None),
        ("wait", None),
        ("", None),
    ],
)
def test_a_wait_is_read_and_all_else_is_left_alone(prefer: str, seconds: int | None) -> None:
    assert _wait(prefer) == seconds
