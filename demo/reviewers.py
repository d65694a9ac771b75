"""Simulated reviewers: they lease predictions, look at them one by one, and report what they decide, all over HTTP."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np
from millrace_client import Client
from millrace_client.exchange import Call, exchange

from demo.world import KEY, MODEL, PREFIX, truth

NAMES = ("demo-ada", "demo-bo", "demo-cleo")
WRONG = 0.01
"""How often a reviewer decides against the truth. Each wrong decision moves the figures away from the truth, too."""

AT_ONCE = 20
"""Predictions of one lease: the most that the API gives."""

JSON = {"Content-Type": "application/json"}


def review(client: Client, count: int, since: datetime, seed: int, advance: Callable[[int], None]) -> int:
    """Let the reviewers decide `count` predictions that were scored from then on, and return how many they decided.

    These are fewer where nothing is left to review. Raises MillraceError.
    """
    people = [
        _Reviewer(client, name, since, np.random.default_rng([seed, number]), advance)
        for number, name in enumerate(NAMES)
    ]
    shares = [len(part) for part in np.array_split(np.arange(count), len(people))]
    with ThreadPoolExecutor(len(people), thread_name_prefix="reviewer") as pool:
        return sum(pool.map(_Reviewer.work, people, shares))


class _Reviewer:
    """A person at the desk, who sees one prediction after another."""

    def __init__(
        self, client: Client, name: str, since: datetime, random: np.random.Generator, advance: Callable[[int], None]
    ) -> None:
        self._client, self._name, self._since = client, name, since
        self._random, self._advance = random, advance

    def work(self, count: int) -> int:
        """Decide so many predictions, or all that there are, and return how many these were."""
        decided = 0
        while decided < count and (leases := self._lease(min(AT_ONCE, count - decided))):
            ours = [one for one in leases if str(one["input"].get(KEY) or "").startswith(PREFIX)]
            if others := [one["lease_id"] for one in leases if one not in ours]:
                self._post("/triage/release", {"leases": others})  # real ones get no simulated outcome
            for one in ours:
                self._decide(one, abuse=bool(truth([one["input"]])[0]))
            decided += len(ours)
        return decided

    def _lease(self, n: int) -> Sequence[Mapping[str, Any]]:
        filtered = {"scored_at": {"ge": self._since.isoformat()}}
        asked = {"model": MODEL, "n": n, "reviewer": self._name, "filter": filtered}
        leases: Sequence[Mapping[str, Any]] = self._post("/triage/leases", asked)["leases"]
        return leases

    def _decide(self, lease: Mapping[str, Any], *, abuse: bool) -> None:
        self._post("/triage/shown", {"leases": [lease["lease_id"]]})
        if self._random.random() < WRONG:
            abuse = not abuse
        outcome = {
            "task_id": lease["task_id"],
            "position": lease["position"],
            "outcome": "abuse" if abuse else "not_abuse",
            "decided_at": datetime.now(UTC).isoformat(),
            "reviewer": self._name,
        }
        self._client.add_outcomes([outcome], model=MODEL)
        self._advance(1)

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        call = Call("POST", path, headers=JSON, content=json.dumps(body).encode())
        return self._client.run(exchange(call, self._client.deadline())).json()
