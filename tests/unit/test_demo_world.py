"""The demo's world: the same reports and the same truth for the same seed, and a score that tells much of it."""

import numpy as np
import pytest
from click.testing import CliRunner

from demo import world
from demo.command import demo, is_loopback
from demo.traffic import LARGEST, SMALLEST, batches
from evaluation.ranking import auc, rank
from models.report_scorer.features import FEATURES
from models.report_scorer.model import load
from models.report_scorer.spec import Report
from serving import artifact

REPORTS = 3_000


def test_a_seed_makes_the_same_reports_with_the_same_truth() -> None:
    one, again = (world.reports(7, 100, 50, drifted=False) for _ in range(2))
    assert one == again
    assert world.truth(one).tolist() == world.truth(again).tolist()
    assert world.truth(one[3:4]).tolist() == world.truth(one)[3:4].tolist(), "whatever else is asked about"
    assert one != world.reports(8, 100, 50, drifted=False)


@pytest.mark.parametrize("drifted", [False, True])
def test_every_report_is_one_of_the_spec_and_says_that_it_is_simulated(drifted: bool) -> None:
    made = world.reports(7, 0, 500, drifted=drifted)
    for report in made:
        assert Report(**report).report_id.startswith("demo-7-")  # type: ignore[union-attr]
    assert len({report["report_id"] for report in made}) == 500
    assert {report["abuse_type"] for report in made} == {"MSG", "PRF"}


@pytest.mark.parametrize("drifted", [False, True])
def test_the_report_scorer_is_good_and_not_perfect(drifted: bool) -> None:
    made = world.reports(7, 0, REPORTS, drifted=drifted)
    scorer = load(artifact.current(world.MODEL).path)
    score = scorer.predict({name: [report[name] for report in made] for name in FEATURES})["score"]
    true = world.truth(made)
    assert 0.15 < true.mean() < 0.4
    assert 0.68 < auc(rank(true, np.asarray(score))).value < 0.87


def test_the_drift_moves_two_fields() -> None:
    before, after = (world.reports(7, 0, REPORTS, drifted=drifted) for drifted in (False, True))
    of = {name: [np.median([row[name] for row in rows]) for rows in (before, after)] for name in FEATURES[1:]}
    assert of["report_text_len"][1] > 1.5 * of["report_text_len"][0]
    assert of["profile_rating"][1] < of["profile_rating"][0] - 0.2


def test_tasks_have_many_sizes_and_no_report_is_left_out() -> None:
    made = world.reports(7, 0, 500, drifted=False)
    found = list(batches(made, 7))
    assert [report for batch in found for report in batch] == made
    assert len({len(batch) for batch in found}) > 5
    assert all(SMALLEST <= len(batch) <= LARGEST for batch in found[:-1])


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8081", True),
        ("http://localhost:8081", True),
        ("http://[::1]:8081", True),
        ("http://10.0.0.7:8081", False),
        ("https://scores.example.com", False),
    ],
)
def test_another_machine_is_refused_without_yes(url: str, here: bool) -> None:
    assert is_loopback(url) is here
    if not here:
        done = CliRunner().invoke(demo, ["--url", url])
        assert done.exit_code == 2
        assert "is not on this machine; --yes stores simulated reports there, too" in done.output
