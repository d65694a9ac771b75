"""Follows the registry in the worker's main process: fetches what is to be loaded, and tests it first.

A broadcast may be lost, and an idle process hears nothing from its parent. So each of them looks at the registry's
revision by itself, once a second: this thread, and the heartbeat of each scoring process.

Files are fetched in threads, so that a large one, or a bucket that does not answer, holds up no other model.
"""

import threading
import time
from concurrent import futures
from concurrent.futures import Future

import structlog
from sqlalchemy.exc import SQLAlchemyError

from broker.message import queue_of
from registry import table_types
from registry.artifacts import ArtifactCache
from registry.versions import INTERVAL, ModelVersion, Registry
from serving.artifact import Artifact
from serving.contract import ModelAway
from store.engine import connect, connect_within
from store.settings import StoreSettings
from worker.scoring.live_models import NotYet, Unloadable
from worker.scoring.self_test import SelfTests, described
from worker.scoring.wanted import wanted

FETCH_TIMEOUT = 600.0
"""Seconds for a version's files, which may be gigabytes, to come from PostgreSQL."""

FETCHES = 8
"""Versions whose files are fetched at once."""

PROMPT = 2.0
"""Seconds within which files of the usual size are here: a turn waits for them, and tests their versions."""

STARTS_WITHOUT = 10.0
"""Seconds for which a worker that could score some models waits for the files of the others before it starts."""

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
        self._fetching: dict[ModelVersion, Future[Artifact]] = {}

    def open_database(self) -> None:
        """Take connections of one's own. Call it in a forked process, too, which must not share its parent's."""
        self._engine = connect(self._store.database_url, pool_size=1, ping=False)

    def wait(self) -> None:
        """Wait for the database, then read the registry and test each version that this worker is to load.

        Versions whose files take longer than the others' are tested after the start.
        """
        until = time.monotonic() + STARTS_WITHOUT
        while True:
            try:
                self.turn()
                if not self._fetching:
                    return
                futures.wait(self._fetching.values(), INTERVAL)
            except SQLAlchemyError as error:
                log.warning("models_unread", error=str(error), meaning="the worker waits for the database")
                time.sleep(INTERVAL)
            if self._able and time.monotonic() > until:
                return

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
        due = [version for version in versions.values() if self._tests.is_due(version)]
        self._begin([version for version in due if version not in self._fetching])
        unread: SQLAlchemyError | None = None
        for version, files in list(self._fetching.items()):
            if files.done():
                del self._fetching[version]
                if version in due:
                    try:
                        self._test(version, files)
                    except SQLAlchemyError as error:  # of this version: the others go on
                        unread = error
        able = {version.model for version in versions.values() if self._tests.verdict(version) == ""}
        self._able = able | (self._able & versions.keys())  # one whose new version is broken keeps the old one
        if unread is not None:
            raise unread

    def _begin(self, versions: list[ModelVersion]) -> None:
        """Begin to fetch the versions' files, and wait for those that are here soon."""
        begun = versions[: FETCHES - len(self._fetching)]
        for version in begun:
            files = self._fetching[version] = Future()
            # Of an executor's threads, Python would wait at the worker's end for one that waits for a bucket.
            threading.Thread(target=self._fulfil, args=(version, files), name="fetch files", daemon=True).start()
        futures.wait([self._fetching[version] for version in begun], PROMPT)

    def _fulfil(self, version: ModelVersion, files: "Future[Artifact]") -> None:
        try:
            files.set_result(self._fetch(version))
        except Exception as error:
            files.set_exception(error)

    def _test(self, version: ModelVersion, files: "Future[Artifact]") -> None:
        try:
            found = files.result()
        except SQLAlchemyError:
            raise
        except Exception as error:
            self._tests.refuse(version, described(error), passes=isinstance(error, ModelAway))
        else:
            self._tests.run(version, found)

    @property
    def queues(self) -> set[str]:
        """The queues of the models that this worker can score."""
        return {queue_of(model) for model in self._able}

    def provide(self, version: ModelVersion) -> Artifact:
        """Return the files of a version, in a scoring process. Raises NotYet and Unloadable."""
        verdict = self._tests.verdict(version)
        is_live = self.registry.live.get(version.model) is version
        if verdict and (is_live or not self._tests.is_due(version)):
            raise Unloadable(verdict)
        if verdict is None and is_live:
            raise NotYet
        if not is_live:
            self._require_fit(version)
        if (found := self._cache.find(version)) is not None:
            return found
        try:
            return self._fetch(version)  # it was live once, and tasks that were accepted then still wait
        except ModelAway as error:
            self._tests.refuse(version, described(error), passes=True)
            raise

    def _require_fit(self, version: ModelVersion) -> None:
        """Raise Unloadable where the table was changed since the version was live: it could store nothing."""
        self._engine.dispose()
        with connect_within(self._engine, self._store.database_timeout_seconds) as connection:
            if why := table_types.misfit(connection, version.model, version.version):
                raise Unloadable(why)

    def _fetch(self, version: ModelVersion) -> Artifact:
        engine = connect(self._store.database_url, pool_size=1, ping=False)  # of this thread alone
        try:
            with connect_within(engine, FETCH_TIMEOUT) as connection:
                return self._cache.fetch(connection, version)
        finally:
            engine.dispose()
