"""Follows the registry in the worker's main process: fetches what is to be loaded, and tests it first.

A broadcast may be lost, and an idle process hears nothing from its parent. So each of them looks at the registry's
revision by itself, once a second: this thread, and the heartbeat of each scoring process.
"""

import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from broker.message import queue_of
from registry import table_types
from registry.artifacts import ArtifactCache
from registry.versions import INTERVAL, ModelVersion, Registry
from serving.artifact import Artifact
from store.engine import connect, connect_within
from store.settings import StoreSettings
from worker.scoring.live_models import NotYet, Unloadable
from worker.scoring.self_test import SelfTests, described
from worker.scoring.wanted import wanted

FETCH_TIMEOUT = 600.0
"""Seconds for a version's files, which may be gigabytes, to come from PostgreSQL."""

log = structlog.get_logger(__name__)


class ModelWatch:
    def __init__(self, store: StoreSettings, cache: ArtifactCache, tests: SelfTests, chosen: list[str]) -> None:
        self.registry = Registry()
        self.chosen = chosen
        self._store = store
        self.open_database()
        self._cache = cache
        self._tests = tests
        self._able: set[str] = set()

    def open_database(self) -> None:
        """Take connections of one's own. Call it in a forked process, too, which must not share its parent's."""
        self._engine = connect(self._store.database_url, pool_size=1, ping=False)

    def wait(self) -> None:
        """Wait for the database, then read the registry and test each version that this worker is to load."""
        while True:
            try:
                return self.turn()
            except SQLAlchemyError as error:
                log.warning("models_unread", error=str(error), meaning="the worker waits for the database")
                time.sleep(INTERVAL)

    def start(self) -> None:
        """Go on in a thread."""
        threading.Thread(target=self._run, name="watch models", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL)
            try:
                self.turn()
            except SQLAlchemyError as error:
                log.warning("models_unread", error=str(error))
            except Exception:  # whatever it was: a later version may be better
                log.exception("models_unread")

    def turn(self) -> None:
        """Read the registry, and fetch and test what is new."""
        with connect_within(self._engine, self._store.database_timeout_seconds) as connection:
            self.registry.refresh(connection)
        versions = wanted(self.registry, self.chosen)
        for version in versions.values():
            if self._tests.is_due(version):
                self._test(version)
        able = {version.model for version in versions.values() if self._tests.verdict(version) == ""}
        self._able = able | (self._able & versions.keys())  # one whose new version is broken keeps the old one

    def _test(self, version: ModelVersion) -> None:
        try:
            found = self._fetch(version)
        except SQLAlchemyError:
            raise
        except Exception as error:
            self._tests.refuse(version, described(error))
        else:
            self._tests.run(version, found)

    @property
    def queues(self) -> set[str]:
        """The queues of the models that this worker can score."""
        return {queue_of(model) for model in self._able}

    def provide(self, version: ModelVersion) -> Artifact:
        """Return the files of a version, in a scoring process. Raises NotYet and Unloadable."""
        verdict = self._tests.verdict(version)
        if verdict:
            raise Unloadable(verdict)
        if verdict is None and self.registry.live.get(version.model) is version:
            raise NotYet
        if self.registry.live.get(version.model) is not version:
            self._require_fit(version)
        if (found := self._cache.find(version)) is not None:
            return found
        return self._fetch(version)  # it was live once, and tasks that were accepted then still wait

    def _require_fit(self, version: ModelVersion) -> None:
        """Raise Unloadable where the table was changed since the version was live: it could store nothing."""
        self._engine.dispose()
        with connect_within(self._engine, self._store.database_timeout_seconds) as connection:
            if why := table_types.misfit(connection, version.model, version.version):
                raise Unloadable(why)

    def _fetch(self, version: ModelVersion) -> Artifact:
        self._engine.dispose()  # the connection may have died since it was last used, which may be long ago
        with connect_within(self._engine, FETCH_TIMEOUT) as connection:
            return self._cache.fetch(connection, version)
