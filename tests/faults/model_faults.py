"""What can befall a promotion: a worker's processes die in the midst of it, or Redis is emptied."""

import random
import signal
import time
from contextlib import suppress

import psutil  # type: ignore[import-untyped]
from sqlalchemy import Connection

from models.report_scorer.spec import SPEC
from registry import administration, versions
from registry.administration import NewVersion
from registry.builtin import CODE
from serving import artifact
from store import workers
from tests.faults import server_faults
from tests.faults.site import Site

TWIN = "1.0.0-twin"
"""A version with the files of the live one: its scores are as expected, whichever of the two has given them."""

LOADED = 60
"""Seconds at most for every living process to have the version that was promoted."""


def kill_a_worker_process_in_a_promotion(site: Site, chance: random.Random) -> None:
    version = _promote_the_other(site)
    time.sleep(chance.uniform(0, 2))
    for process in site.children_of(chance.choice(site.workers)):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    _wait_until_loaded(site, version)


def flush_redis_in_a_promotion(site: Site, chance: random.Random) -> None:
    version = _promote_the_other(site)
    time.sleep(chance.uniform(0, 2))
    server_faults.flush_redis(site, chance)
    _wait_until_loaded(site, version)


def _promote_the_other(site: Site) -> str:
    """Make the twin live or, if it is, the version that it is a twin of."""
    with site.one_at_postgres, site.engine.begin() as connection:
        live = versions.read(connection).live[SPEC.name].version
        if live == TWIN:
            return administration.promote(connection, SPEC.name, artifact.current(SPEC.name).version, "tests")
        _add_twin(connection)
        return administration.promote(connection, SPEC.name, TWIN, "tests")


def _add_twin(connection: Connection) -> None:
    found = artifact.current(SPEC.name)
    files = {name: found.path / name for name in found.manifest["sha256"]}
    new = NewVersion(
        SPEC.name,
        SPEC.table,
        runtime=f"{CODE}{SPEC.name}",
        schema=None,
        files=files,
        manifest={"twin": True},
        evaluation=found.evaluation,
        version=TWIN,
    )
    administration.add(connection, new, "tests")


def _wait_until_loaded(site: Site, version: str) -> None:
    until = time.monotonic() + LOADED
    while time.monotonic() < until:
        with site.one_at_postgres, site.engine.connect() as connection:
            loaded = {of for model, of in workers.processes_by_version(connection) if model == SPEC.name}
        if loaded == {version}:
            return
        time.sleep(0.2)
    raise AssertionError(f"{version} was promoted, and after {LOADED} s the workers have {loaded}")
