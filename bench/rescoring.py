"""What another version costs that scores beside the path: a shadow, and a rescoring of what is stored."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from bench.beside import cost_of
from bench.filling import fill
from bench.programs import program
from bench.promotions import TWIN, add_twin
from bench.site import Servers, Site, millrace
from bench.studies import StudyRow, Tell
from models.report_scorer.spec import SPEC
from registry import administration
from serving import artifact
from store.engine import connect

FIRST = 60.0
"""Seconds until it must have scored something."""

SCORED = text("SELECT count(*) FROM version_scores")
FORGET = text("TRUNCATE version_scores")
AS_BUILT_IN = text("UPDATE report_scores SET model_version = :version")


def shadow(servers: Servers, rounds: int, seconds: float, tell: Tell) -> Iterator[StudyRow]:
    """Yield what a shadow of every input costs the path."""
    with millrace(servers, "shadow") as site, _twin(site) as engine:
        beside = _beside(servers, engine, ["shadow"], is_shadow=True)
        yield from cost_of(site, "a shadow", beside, rounds, seconds, tell)


def rescoring(servers: Servers, stored: int, rounds: int, seconds: float, tell: Tell) -> Iterator[StudyRow]:
    """Yield what it costs the path to rescore so many stored inputs; each round begins anew."""
    with millrace(servers, "rescoring", prepare=lambda url: fill(url, stored)) as site, _twin(site) as engine:
        with engine.begin() as connection:
            connection.execute(AS_BUILT_IN, {"version": artifact.current(SPEC.name).version})
        command = ["rescore", f"{SPEC.name}@{TWIN}"]
        yield from cost_of(site, "a rescoring", _beside(servers, engine, command), rounds, seconds, tell)


@contextmanager
def _twin(site: Site) -> Iterator[Engine]:
    engine = connect(site.environment["DATABASE_URL"])
    with engine.begin() as connection:
        add_twin(connection)
    yield engine
    engine.dispose()


def _beside(
    servers: Servers, engine: Engine, arguments: list[str], *, is_shadow: bool = False
) -> Callable[[Site], AbstractContextManager[None]]:
    """Run the command for as long as the block. It must score before, and still run in the end."""

    @contextmanager
    def beside(site: Site) -> Iterator[None]:
        command = [str(Path(sys.executable).parent / "millrace"), *arguments]
        with engine.begin() as connection:
            connection.execute(FORGET)
            if is_shadow:
                administration.shadow(connection, SPEC.name, TWIN, "bench")
        log = servers.folder / f"{arguments[0]}.log"
        with program(command, site.environment, log) as process:
            until = time.monotonic() + FIRST
            while not _scored(engine, site) and time.monotonic() < until:
                time.sleep(0.2)
            begun = _scored(engine, site)
            yield
            if process.poll() is not None:
                raise SystemExit(f"millrace {arguments[0]} ended too early: more must be stored for it")
            if not 0 < begun < _scored(engine, site):
                raise SystemExit(f"millrace {arguments[0]} scored nothing meanwhile: {log.read_text()}")
        if is_shadow:
            with engine.begin() as connection:
                administration.shadow(connection, SPEC.name, TWIN, "bench", stop=True)

    return beside


def _scored(engine: Engine, site: Site) -> int:
    site.warm_up()  # a shadow has nothing to score before something comes in
    with engine.connect() as connection:
        return int(connection.execute(SCORED).scalar_one())
