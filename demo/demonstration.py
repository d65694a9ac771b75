"""The demo from its first report to the figures: traffic, reviews, drift, a second version, evaluation."""

from datetime import datetime
from typing import Any

import numpy as np
from millrace_client import Client
from millrace_client.exchange import Call, exchange
from rich.console import Console

from demo import figures, owner, reviewers, traffic, world
from demo.steps import step

BEFORE = 0.6
"""Share of the reports that come before the drift."""

REVIEWED = 0.5
"""Decisions of reviewers for each report."""


class Demonstration:
    """One run of the demo, and what it remembers of its reports."""

    def __init__(self, client: Client, console: Console, seed: int) -> None:
        self._client, self._console, self._seed = client, console, seed
        self._reports: list[dict[str, Any]] = []
        self._score: dict[str, float] = {}
        self._since: datetime | None = None

    def run(self, count: int) -> None:
        """Do each step. Raises MillraceError."""
        before = round(count * BEFORE)
        self._say(f"Simulated data for {self._client.url}: keys and reviewers' names begin with {world.PREFIX}")
        for part, drifted in ((before, False), (count - before, True)):
            self._traffic(part, drifted=drifted)
            self._review(round(part * REVIEWED))
        if owner.has_database(self._client.url):
            self._second_version()
            self._evaluate()
        else:
            self._say("No second version and no figures: these need the server's database. Run on its machine:")
            self._say(f"  millrace evaluate --live {world.MODEL} --by version,week")
        self._say_where()

    def _traffic(self, count: int, *, drifted: bool) -> None:
        made = world.reports(self._seed, len(self._reports), count, drifted=drifted)
        title = "Traffic after the drift" if drifted else "Traffic"
        with step(self._console, title, count) as going:
            scored = traffic.send(self._client, made, self._seed, going.advance)
            going.result = f"{title}: {count:,} reports scored in {scored.tasks} tasks"
            if drifted:
                going.result += f"; texts are {world.LONGER} times as long, ratings {world.LOWER} lower"
        self._reports += made
        self._score |= scored.score
        self._since = self._since or scored.since

    def _review(self, count: int) -> None:
        assert self._since is not None  # noqa: S101 - traffic comes first
        with step(self._console, "Reviews", count) as going:
            decided = reviewers.review(self._client, count, self._since, self._seed, going.advance)
            going.result = f"Reviews: {len(reviewers.NAMES)} reviewers decided {decided:,} times"

    def _second_version(self) -> None:
        if not owner.can_train():
            self._say("No second version: training needs more libraries. Install them with: make .venv/train")
            return
        with step(self._console, "Training a second version on the outcomes") as going:
            version = owner.train()
            going.result = f"Second version: {world.MODEL} {version} is a candidate, trained on what was decided"

    def _evaluate(self) -> None:
        command = ("evaluate", "--live", world.MODEL, "--by", "version,week")
        with step(self._console, "Evaluating") as going:
            owner.millrace(*command)
            going.result = f"Figures: millrace {' '.join(command)}"
        call = Call("GET", f"/models/{world.MODEL}/evaluation")
        (everything,) = self._client.run(exchange(call, self._client.deadline())).json()["groups"]
        score = np.array([self._score[report[world.KEY]] for report in self._reports])
        self._say("\nHow good the report scorer is on all traffic. Only the simulation knows the truth:")
        for line in figures.lines(everything, world.truth(self._reports), score):
            self._say(line)
        if others := everything["predictions"] - len(score):
            self._say(
                f"  Predictions that are not of this run: {others:,}. Naive and weighted figures are of these, too."
            )

    def _say_where(self) -> None:
        url, model = self._client.url, world.MODEL
        self._say("\nWhere to look:")
        self._say(f"  {url}/console/models/{model}       versions, events and evaluation")
        self._say(f"  {url}/console/triage/{model}/lead  reviewers, draws and agreement")
        self._say(f"  {url}/models/{model}/evaluation    the figures as JSON")
        self._say("  docs/learning-loop.md goes on from here, and says how to remove the data.")

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False)
