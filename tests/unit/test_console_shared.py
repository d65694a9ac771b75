"""What open pages look at together: one look for all who ask at once, and one failure."""

import asyncio

import pytest

from console.shared import SharedLook, SharedLooks
from console.task_rows import COLUMNS, chosen


@pytest.fixture(autouse=True)
def long_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no tick end during a test, however busy the machine is."""
    monkeypatch.setattr("console.shared._GOOD", 3600)


class Counted:
    """A look that takes a moment, and how often somebody looked."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.times = 0
        self.failure = failure

    async def __call__(self) -> int:
        self.times += 1
        await asyncio.sleep(0.01)
        if self.failure is not None:
            raise self.failure
        return self.times


async def test_all_who_ask_within_a_tick_share_one_look() -> None:
    shared, look = SharedLooks(), Counted()
    assert await asyncio.gather(*(shared.get("workers", look) for _ in range(20))) == [1] * 20
    assert await shared.get("workers", look) == 1
    assert await shared.get("another", look) == 2


async def test_a_look_that_fails_fails_for_all_who_ask_within_a_tick() -> None:
    shared: SharedLook[int] = SharedLook()
    look = Counted(ConnectionError("away"))
    found = await asyncio.gather(*(shared.get(look) for _ in range(20)), return_exceptions=True)
    assert {str(one) for one in found} == {"away"}
    with pytest.raises(ConnectionError):
        await shared.get(look)
    assert look.times == 1


async def test_what_was_seen_last_stays_where_a_later_look_fails() -> None:
    shared: SharedLook[int] = SharedLook()
    assert await shared.get(Counted()) == 1
    shared.ended_at = float("-inf")
    with pytest.raises(ConnectionError):
        await shared.get(Counted(ConnectionError("away")))
    assert shared.latest == 1


async def test_who_hangs_up_ends_the_look_of_nobody_else() -> None:
    shared, look = SharedLooks(), Counted()
    one, other = (asyncio.ensure_future(shared.get("workers", look)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    assert await other == 1


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 1), (1_500, 1), (1, 1_500), (1_500, 1_500), (0, 0)])
def test_a_page_shows_few_fields_of_a_wide_model_and_some_of_each_kind(inputs: int, outputs: int) -> None:
    shown, beside = chosen([f"in{n}" for n in range(inputs)], [f"out{n}" for n in range(outputs)])
    assert len(shown) + len(beside) == min(COLUMNS, inputs + outputs)
    assert bool(shown) == bool(inputs)
    assert bool(beside) == bool(outputs)
