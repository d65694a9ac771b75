"""`millrace demo` on a real platform: what a newcomer finds afterwards."""

import re
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from demo.command import demo
from store.engine import connect
from tests.conftest import Servers, as_app, empty_redis, new_database
from tests.running import REPORT, Platform

REPORTS = 400


@pytest.fixture(scope="module")
def site(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    url, logs = new_database(servers, template), tmp_path_factory.mktemp("demo")
    with Platform(url, empty_redis(servers, 3), logs, DATABASE_URL=as_app(url)) as platform:
        platform.finished(platform.submit({**REPORT, "report_id": "somebody"}))
        yield platform


@pytest.fixture(scope="module")
def done(site: Platform) -> Result:
    runner = CliRunner(env={"DATABASE_URL": site.database_url})
    return runner.invoke(demo, ["--url", site.url, "--reports", str(REPORTS)], catch_exceptions=False)


def test_each_step_is_told_in_a_line(done: Result) -> None:
    assert done.exit_code == 0, done.output
    for words in (
        "Simulated data for http://127.0.0.1",
        "Traffic: 240 reports scored in ",
        "Reviews: 3 reviewers decided 120 times",
        "Traffic after the drift: 160 reports scored in ",
        "Reviews: 3 reviewers decided 80 times",
        "Second version: report_scorer data-",
        "Figures: millrace evaluate --live report_scorer --by version,week",
    ):
        assert words in done.output


def test_the_figures_are_there_naive_weighted_and_true(done: Result, site: Platform) -> None:
    answer = site.client.get("/models/report_scorer/evaluation", params={"by": "all,version,week"}).json()
    assert {group["by"] for group in answer["groups"]} == {"all", "version", "week"}
    everything = next(group for group in answer["groups"] if group["by"] == "all")
    assert everything["predictions"] == REPORTS + 1
    assert everything["weighted"]["auc"]["value"] is not None
    value = everything["naive"]["auc"]["value"]
    assert re.search(rf"auc +{value:.3f} \(.+\) +0\.\d+ \(.+\) +0\.\d{{3}}\n", done.output), done.output
    assert "Predictions that are not of this run: 1" in done.output


def test_the_second_version_is_a_candidate(done: Result, site: Platform) -> None:
    versions = site.client.get("/models/report_scorer/versions").json()
    states = {one["version"].partition("-")[0]: one["state"] for one in versions}
    assert states == {"1.0.0": "live", "data": "candidate"}


def test_nothing_but_simulated_reports_was_decided(done: Result, site: Platform) -> None:
    engine = connect(site.database_url)
    with engine.connect() as connection:
        keys = connection.scalars(
            text("SELECT DISTINCT left(p.report_id, 7) FROM outcomes JOIN report_scores AS p USING (task_id, position)")
        )
        assert set(keys) == {"demo-7-"}
        reviewers = set(connection.scalars(text("SELECT DISTINCT reviewer FROM draws")))
    engine.dispose()
    assert reviewers == {"demo-ada", "demo-bo", "demo-cleo"}
