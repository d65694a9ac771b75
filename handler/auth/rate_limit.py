"""How often one client may send requests: `RATE_LIMIT=600/minute` is 600 at once, and then one every 100 ms."""

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
        """Parse `600/minute`."""
        requests, _, period = words.partition("/")
        return cls(int(requests), PERIODS[period])


class RateLimiter:
    """The generic cell rate algorithm (ITU-T I.371), which remembers one number for each client.

    It is the time at which the client's allowance is whole again. Each request moves it on by the time in which
    one request grows back.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._whole: dict[str, float] = {}
        self._sweep = 0.0

    def wait(self, client: str) -> float:
        """Count a request and return 0, or return the seconds until the next one will be accepted."""
        now = self._clock()
        if now >= self._sweep:  # a client whose allowance is whole need not be remembered
            self._whole = {name: whole for name, whole in self._whole.items() if whole > now}
            self._sweep = now + self.rate.seconds
        whole = max(self._whole.get(client, now), now) + self.rate.seconds / self.rate.requests
        excess = whole - now - self.rate.seconds
        if excess > _ROUNDING:
            return excess
        self._whole[client] = whole
        return 0


_ROUNDING = 1e-6  # of adding up fractions of a second
