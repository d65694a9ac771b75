"""How often one client may ask: `RATE_LIMIT=600/minute` is 600 requests at once, and then one every 100 ms."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

PERIODS = {"second": 1, "minute": 60, "hour": 3600}


@dataclass(frozen=True, slots=True)
class Rate:
    requests: int
    seconds: int

    @classmethod
    def parse(cls, words: str) -> Self:
        """Read `600/minute`."""
        requests, _, period = words.partition("/")
        return cls(int(requests), PERIODS[period])


class Limiter:
    """The generic cell rate algorithm (ITU-T I.371): one number a client says all that there is to remember.

    It is the time at which the client's allowance is whole again. Each request moves it on by the time in which
    one request grows back.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._whole: dict[str, float] = {}
        self._sweep = 0.0

    def wait(self, client: str) -> float:
        """Count a request and return 0, or return the seconds until the next one will be let through."""
        now = self._clock()
        if now >= self._sweep:  # whose allowance is whole is as good as unknown
            self._whole = {name: whole for name, whole in self._whole.items() if whole > now}
            self._sweep = now + self.rate.seconds
        whole = max(self._whole.get(client, now), now) + self.rate.seconds / self.rate.requests
        excess = whole - now - self.rate.seconds
        if excess > _ROUNDING:
            return excess
        self._whole[client] = whole
        return 0


_ROUNDING = 1e-6  # of adding up fractions of a second
