"""The arithmetic of RATE_LIMIT."""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from handler.auth.rate_limit import Rate, RateLimiter
from handler.settings import HandlerSettings


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def test_the_allowance_is_spent_at_once_and_grows_back_one_by_one() -> None:
    clock = Clock()
    limiter = RateLimiter(Rate.parse("60/minute"), clock)
    assert [limiter.wait("a") for _ in range(60)] == [0] * 60
    assert limiter.wait("a") == pytest.approx(1)
    clock.time += 0.5
    assert limiter.wait("a") == pytest.approx(0.5)
    clock.time += 0.5
    assert limiter.wait("a") == 0
    assert limiter.wait("a") == pytest.approx(1)
    clock.time += 3600
    assert [limiter.wait("a") for _ in range(60)] == [0] * 60
    assert limiter.wait("a") > 0


def test_clients_do_not_spend_each_others_allowance() -> None:
    limiter = RateLimiter(Rate.parse("1/hour"), Clock())
    assert limiter.wait("a") == limiter.wait("b") == 0
    assert limiter.wait("a") == limiter.wait("b") == pytest.approx(3600)


@given(some.integers(1, 50), some.lists(some.floats(0, 30), max_size=300))
def test_no_stretch_of_time_holds_more_than_the_allowance_and_what_grew_back(
    requests: int, pauses: list[float]
) -> None:
    clock = Clock()
    limiter = RateLimiter(Rate(requests, 60), clock)
    passed = []
    for pause in pauses:
        clock.time += pause
        wait = limiter.wait("a")
        if not wait:
            passed.append(clock.time)
        clock.time += wait
    for first, start in enumerate(passed):
        for count, end in enumerate(passed[first:], start=1):
            assert count <= requests + (end - start) * requests / 60 + 0.001


def test_who_has_not_asked_for_a_while_is_forgotten() -> None:
    clock = Clock()
    limiter = RateLimiter(Rate(1, 60), clock)
    for number in range(1000):
        limiter.wait(str(number))
    clock.time += 121
    limiter.wait("another")
    assert len(limiter._whole) == 1


@pytest.mark.parametrize("words", ["600", "0/minute", "600/week", "-1/second", "600 / minute", "1.5/second", "/minute"])
def test_a_limit_that_cannot_be_read_is_refused_at_start(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT", words)
    with pytest.raises(ValidationError, match="rate_limit"):
        HandlerSettings()


def test_keys_are_required_unless_that_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTH", raising=False)
    assert HandlerSettings().auth == "required"
    monkeypatch.setenv("AUTH", "no")
    with pytest.raises(ValidationError, match="auth"):
        HandlerSettings()
