"""The versions that a scoring process has in memory: of each model the live one, which it follows without a restart.

A new live version is loaded beside the old one, in a thread, and takes its place between two chunks. A process that
cannot load it keeps the old one and says so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from types import MappingProxyType

import structlog
from sqlalchemy import Connection

from registry.versions import ModelVersion, Registry
from serving.artifact import Artifact
from serving.contract import ModelAway
from store.claims import ClaimedTask
from worker.scoring import loaded_models
from worker.scoring.loaded_models import ModelInstance
from worker.scoring.metrics import ScoringMetrics
from worker.scoring.self_test import described

log = structlog.get_logger(__name__)

EARLIER = 2
"""Versions that are no longer live and that a process keeps, for tasks which only these can score."""


class NotYet(Exception):
    """The version has not been tested on this host yet."""


class Unloadable(Exception):
    """The version was tested on this host and could not be loaded; the message says why."""


class CannotScore(Exception):
    """This process cannot score a task that was accepted under this version; the message says why."""


@dataclass
class VersionChoice:
    """Which version scores which of a chunk's tasks."""

    instance: ModelInstance | None = None
    tasks: list[ClaimedTask] = field(default_factory=list)
    others: list[ClaimedTask] = field(default_factory=list)
    """Those that another version can score."""
    refused: dict[str, list[ClaimedTask]] = field(default_factory=dict)
    """Those that no version here can score, by the reason."""


Provide = Callable[[ModelVersion], Artifact]
"""Gives the files of a version. Raises NotYet, or what keeps it from being loaded."""


class LiveModels:
    def __init__(
        self,
        registry: Registry,
        wanted: Callable[[Registry], Mapping[str, ModelVersion]],
        provide: Provide,
        metrics: ScoringMetrics,
        refused: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Serve those versions of the registry that are `wanted`; `refused` says of other models why they cannot be."""
        self._registry = registry
        self._wanted = wanted
        self._provide = provide
        self._metrics = metrics
        self._live: dict[str, tuple[ModelVersion, ModelInstance]] = {}
        self._earlier: dict[ModelVersion, ModelInstance] = {}
        self.unloaded = dict(refused)
        """Why, by model, the live version could not be loaded."""
        self._refused: set[ModelVersion] = set()
        self._pending: set[ModelVersion] = set()
        self._loading = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._lock = Lock()

    @property
    def versions(self) -> dict[str, str]:
        """The version that is loaded of each model."""
        return {model: instance.version for model, (_, instance) in list(self._live.items())}

    def load_all(self) -> None:
        """Load every version that this worker is to load, in this thread; `unloaded` says which failed."""
        for version in self._wanted(self._registry).values():
            self._load(version)
        if not self._live and self.unloaded:
            raise RuntimeError(f"no model could be loaded: {self.unloaded}")

    def follow(self, connection: Connection) -> None:
        """Look at the registry, and begin to load what has become live."""
        if self._registry.refresh(connection):
            self._earlier = {}  # a table may have changed, so that it keeps no more of what they make
        wanted = self._wanted(self._registry)
        for model in self._live.keys() - wanted.keys():  # retired: a chunk that is being scored has its own reference
            del self._live[model]
            self.unloaded.pop(model, None)
        for version in wanted.values():
            loaded = self._live.get(version.model)
            if (loaded is None or loaded[0] is not version) and version not in self._refused | self._pending:
                self._pending.add(version)
                self._loading.submit(self._load, version)

    def live(self, model: str) -> ModelInstance:
        """Return the model as it is loaded. Raises CannotScore."""
        if model not in self._live and (version := self._wanted(self._registry).get(model)):
            self._load(version)
        if model not in self._live:
            raise CannotScore(self.unloaded.get(model, f"this worker has not loaded {model}"))
        return self._live[model][1]

    def choose(self, model: str, tasks: Sequence[ClaimedTask]) -> VersionChoice:
        """Choose the version that scores the first of these tasks of the model, and find the others that it can score.

        That is the live version, unless its schema has become narrower since a task was accepted.
        """
        choice = VersionChoice()
        scored_by: dict[str | None, ModelInstance] = {}
        for accepted in dict.fromkeys(task.accepted_version for task in tasks):
            try:
                scored_by[accepted] = self._accepting(model, accepted)
            except CannotScore as error:
                choice.refused[str(error)] = [task for task in tasks if task.accepted_version == accepted]
        choice.instance = next(iter(scored_by.values()), None)
        for task in tasks:
            if (instance := scored_by.get(task.accepted_version)) is not None:
                (choice.tasks if instance is choice.instance else choice.others).append(task)
        return choice

    def _accepting(self, model: str, accepted: str | None) -> ModelInstance:
        version, instance = self._live[model]
        earlier = self._registry.version(model, accepted)
        if earlier is None or version.takes_inputs_of(earlier):
            return instance
        if (found := self._earlier.get(earlier)) is None:
            try:
                found = loaded_models.load(earlier, self._provide(earlier))
            except Exception as error:
                raise CannotScore(f"version {accepted} cannot be loaded: {described(error)}") from error
            self._note(found)
            self._earlier[earlier] = found
            for oldest in list(self._earlier)[:-EARLIER]:
                self._earlier.pop(oldest, None)
        return found

    def _load(self, version: ModelVersion) -> None:
        with self._lock:
            self._pending.discard(version)
            loaded = self._live.get(version.model)
            if loaded is not None and loaded[0] is version:
                return
            try:
                instance = loaded_models.load(version, self._provide(version))
            except NotYet:
                return
            except Exception as error:
                if not isinstance(error, Unloadable | ModelAway):  # these may pass: look again within a second
                    self._refused.add(version)
                reason = str(error) if isinstance(error, Unloadable) else described(error)
                known, reason = self.unloaded.get(version.model), f"version {version.version}: {reason}"
                self.unloaded[version.model] = reason
                if known != reason:
                    log.error("model_load_failed", model=version.model, model_version=version.version, reason=reason)
                return
            self._note(instance)
            self._live[version.model] = (version, instance)
            self.unloaded.pop(version.model, None)
            if loaded is not None:
                log.info("model_swapped", model=version.model, before=loaded[0].version, now=version.version)

    def _note(self, loaded: ModelInstance) -> None:
        self._metrics.loaded(loaded, self._instances())
        seconds = round(loaded.load_seconds, 3)
        log.info("model_loaded", model=loaded.spec.name, model_version=loaded.version, seconds=seconds)

    def _instances(self) -> Iterable[ModelInstance]:
        return [*(instance for _, instance in self._live.values()), *self._earlier.values()]
