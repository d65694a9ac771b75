"""The models that this handler serves now: a copy of the registry, which it looks at each second."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import structlog
from sqlalchemy import Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.selectable import LateralFromClause

from handler.problems import ProblemKind, RequestRefused
from registry.versions import INTERVAL, ModelVersion, NoSpec, Registry, predictions_of
from serving import wire
from serving.contract import Manifest, Spec
from store import predictions
from store.engine import single

log = structlog.get_logger(__name__)


@dataclass(frozen=True, eq=False)
class KnownModel:
    """A model by one of its versions: the live one or, to read old results, the one that was added last."""

    version: ModelVersion
    spec: Spec

    @property
    def name(self) -> str:
        return self.version.model

    @property
    def manifest(self) -> Manifest:
        return self.version.manifest

    @property
    def table(self) -> Table:
        return predictions_of(self.spec)

    @cached_property
    def lists(self) -> LateralFromClause | None:
        """What gives one list an answered field, to join to tasks; None where that takes a query of its own."""
        return predictions.outputs(self.table, tuple(answered_fields(self.spec)))


def answered_fields(spec: Spec) -> dict[str, Any]:
    """Return the fields that a finished task answers with: the outputs and the client's own key."""
    key = {spec.key: spec.input.model_fields[spec.key]} if spec.key else {}
    return {**spec.output.model_fields, **key}


class KnownModels:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = single(engine)
        self.registry = Registry()
        self.live: Mapping[str, KnownModel] = {}
        """By name, in alphabetical order."""
        self._others: dict[str, KnownModel | None] = {}
        self._refreshing = asyncio.Lock()
        self._fault: SQLAlchemyError | None = None
        """Why the registry could not be read yet."""

    @property
    def specs(self) -> dict[str, Spec]:
        """The specs of the live versions."""
        return {name: model.spec for name, model in self.live.items()}

    def get(self, name: str) -> KnownModel:
        """Return a model by its live version. Raises RequestRefused."""
        found = self.live.get(name)
        if found is not None:
            return found
        if self._fault is not None:
            raise self._fault
        if name in self.registry.models and name not in self.registry.live:
            detail = f"Model {name!r} has no live version; ask its owner to promote one."
            raise RequestRefused(ProblemKind.NO_LIVE_VERSION, detail)
        detail = f"Unknown model {name!r}; the models are {', '.join(self.live)}."
        raise RequestRefused(ProblemKind.UNKNOWN_MODEL, detail)

    def readable(self, name: str) -> KnownModel | None:
        """Return a model whose results can be read, though it may have no live version."""
        if (found := self.live.get(name)) is not None:
            return found
        if name not in self._others and (latest := self.registry.latest(name)):
            self._others[name] = _known(latest)
        return self._others.get(name)

    async def found(self, name: str) -> KnownModel | None:
        """Return a model of a stored task; None where this release cannot read its results. Raises SQLAlchemyError.

        This handler may know of no model yet, when it has started while PostgreSQL was away.
        """
        if name not in self.registry.models:
            await self.refresh()
        return self.readable(name)

    async def refresh(self) -> None:
        """Read the registry if it has changed. Raises SQLAlchemyError."""
        async with self._refreshing:  # or an older look could be over later
            await self._refresh()

    async def _refresh(self) -> None:
        try:
            async with self._engine.connect() as connection:
                changed = await connection.run_sync(self.registry.refresh)
        except SQLAlchemyError as error:
            if self.registry.revision < 0:
                self._fault = error
            raise
        self._fault = None
        if changed:
            self.live = await asyncio.to_thread(self._made)
            self._others = {}
            log.info("models_read", revision=self.registry.revision, models=list(self.live))

    def _made(self) -> dict[str, KnownModel]:
        known = {model.version: model for model in self.live.values()}
        made = ((name, known.get(version) or _known(version)) for name, version in self.registry.live.items())
        return {name: model for name, model in made if model is not None}

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            try:
                await self.refresh()
            except SQLAlchemyError as error:
                log.warning("models_unread", error=str(error))
            await asyncio.sleep(INTERVAL)


def _known(version: ModelVersion) -> KnownModel | None:
    """Return the model, or None where this release cannot serve it; the others are served."""
    try:
        spec: Any = version.spec
        wire.row(spec)
    except (NoSpec, TypeError, ValueError) as error:
        log.critical("model_refused", model=version.model, model_version=version.version, reason=str(error))
        return None
    return KnownModel(version, spec)
