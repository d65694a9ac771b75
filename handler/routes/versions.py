"""The versions of a model, and which of them is live. (Adding one is a command of the owner: it makes tables.)"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from handler.answer.versions import (
    EVERY_VERSION,
    Promotion,
    Retirement,
    RollbackReason,
    VersionChanged,
    VersionEvent,
    VersionSummary,
)
from handler.auth.caller import EVERY_ROLE, OPERATORS
from handler.http import body
from handler.http.body import JSON, model_response, parse_json
from handler.http.json_schema import inlined
from handler.http.operation import Operation, success
from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused
from handler.services import Services
from handler.submit import validation
from registry import administration, gate
from registry.administration import RegistryRefused, UnknownVersion
from store import models, workers
from store.model_tables import State

ANONYMOUS = "anonymous"
"""Who does it, in the events, with AUTH=off."""

LOCK_TIMEOUT = text("SET LOCAL lock_timeout = '2s'")
"""Somebody may be adding gigabytes: this request keeps one of the handler's connections."""

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")


async def list_versions(request: ApiRequest, services: Services, client: str | None) -> Response:
    """List a model's versions, the oldest first."""
    return model_response(await versions_of(services, await _model(request, services)))


async def versions_of(services: Services, name: str) -> list[VersionSummary]:
    return await _read(services, lambda connection: _versions(connection, name))


def _versions(connection: Connection, name: str, latest: int | None = None) -> list[VersionSummary]:
    loaded = workers.processes_by_version(connection)
    rows = models.versions_of(connection, name, latest)
    return [VersionSummary(**row._asdict(), processes=loaded.get((name, row.version), 0)) for row in rows]


async def list_events(request: ApiRequest, services: Services, client: str | None) -> Response:
    """List what became of a model's versions, the oldest first."""
    return model_response(await events_of(services, await _model(request, services)))


async def events_of(services: Services, name: str) -> list[VersionEvent]:
    return await _read(services, lambda connection: _events(connection, name))


def _events(connection: Connection, name: str, latest: int | None = None) -> list[VersionEvent]:
    return [VersionEvent(**row._asdict()) for row in models.events(connection, name, latest)]


async def latest_of(services: Services, name: str, latest: int) -> tuple[list[VersionSummary], list[VersionEvent]]:
    """Return so many of the model's last versions and events, each the oldest first, on one connection."""
    return await _read(
        services, lambda connection: (_versions(connection, name, latest), _events(connection, name, latest))
    )


async def promote(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Make a version live, by default the one that was added last.

    Where its model declares outcomes that its score or label is about, a version that the gate found worse is refused,
    and one of which it had too little to say needs a reason: `millrace models gate` asks it. Slices that are `excepted`
    may be worse.
    """
    name, by = await _model(request, services), client or ANONYMOUS
    return model_response(await make_live(services, name, await _body(request, services, Promotion), by))


async def make_live(services: Services, name: str, asked: Promotion, by: str) -> VersionChanged:
    """Promote a version in somebody's name. Raises RequestRefused."""

    def change(connection: Connection) -> VersionChanged:
        verdict = gate.require(
            connection, name, asked.version, asked.reason, force=asked.force, excepted=asked.excepted
        )
        version = administration.promote(connection, name, asked.version, by, asked.reason, verdict)
        return VersionChanged(model=name, versions=[version], state=State.LIVE)

    return await _changed(services, change)


async def rollback(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Make the version live that was live before."""
    name, by = await _model(request, services), client or ANONYMOUS
    return model_response(await make_previous_live(services, name, await _body(request, services, RollbackReason), by))


async def make_previous_live(services: Services, name: str, asked: RollbackReason, by: str) -> VersionChanged:
    """Roll back in somebody's name. Raises RequestRefused."""

    def change(connection: Connection) -> VersionChanged:
        version = administration.roll_back(connection, name, by, asked.reason)
        return VersionChanged(model=name, versions=[version], state=State.LIVE)

    return await _changed(services, change)


async def retire(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Take a whole model out of use, or one version of it. Its waiting tasks end; its results stay readable."""
    name, by = await _model(request, services), client or ANONYMOUS
    asked = await _body(request, services, Retirement)

    def change(connection: Connection) -> VersionChanged:
        version = None if asked.version == EVERY_VERSION else asked.version
        versions = administration.retire(connection, name, version, by, asked.reason)
        return VersionChanged(model=name, versions=versions, state=State.RETIRED)

    return model_response(await _changed(services, change))


def _takes(model: type[BaseModel]) -> dict[str, Any]:
    schema = {JSON: {"schema": inlined(model.model_json_schema())}}
    return {"requestBody": {"required": model is Retirement, "content": schema}}


_MODEL = "/models/{model}"
_CHANGED = success(VersionChanged, "The change is stored")
_PROBLEMS = (
    *(ProblemKind.UNKNOWN_MODEL, ProblemKind.CHANGE_REFUSED, ProblemKind.INVALID_INPUT, ProblemKind.INVALID_JSON),
    *(ProblemKind.WRONG_CONTENT_TYPE, *body.PROBLEMS),
)
_OF_VERSION = (*_PROBLEMS, ProblemKind.UNKNOWN_VERSION)

OPERATIONS = [
    Operation(
        *("GET", f"{_MODEL}/versions", list_versions, "models"),
        responses=success(list[VersionSummary], "Every version"),
        problems=(ProblemKind.UNKNOWN_MODEL,),
        roles=EVERY_ROLE,
    ),
    Operation(
        *("GET", f"{_MODEL}/events", list_events, "models"),
        responses=success(list[VersionEvent], "Every event"),
        problems=(ProblemKind.UNKNOWN_MODEL,),
        roles=EVERY_ROLE,
    ),
    Operation(
        *("POST", f"{_MODEL}/promote", promote, "models"),
        responses=_CHANGED,
        problems=_OF_VERSION,
        request=_takes(Promotion),
        roles=OPERATORS,
    ),
    Operation(
        *("POST", f"{_MODEL}/rollback", rollback, "models"),
        responses=_CHANGED,
        problems=_PROBLEMS,
        request=_takes(RollbackReason),
        roles=OPERATORS,
    ),
    Operation(
        *("POST", f"{_MODEL}/retire", retire, "models"),
        responses=_CHANGED,
        problems=_OF_VERSION,
        request=_takes(Retirement),
        roles=OPERATORS,
    ),
]


async def _read(services: Services, read: Callable[[Connection], R]) -> R:
    async with services.vital.connect() as connection:
        return await connection.run_sync(read)


async def _model(request: ApiRequest, services: Services) -> str:
    """Return the name of a model that there is, or was. Raises RequestRefused."""
    return await known_name(services, request.path_params["model"])


async def known_name(services: Services, name: str) -> str:
    """Return the name if there is such a model, or was. Raises RequestRefused."""
    known = services.models
    if name not in known.registry.models:
        await known.refresh()  # it may be newer than the last look
    if name not in known.registry.models:
        raise RequestRefused(ProblemKind.UNKNOWN_MODEL, f"There is no model {name!r}.")
    return name


async def _body(request: ApiRequest, services: Services, model: type[M]) -> M:
    """Read the body; where all in it may be left out, so may the body. Raises RequestRefused."""
    if model is not Retirement and not request.header(b"content-type") and not await services.bodies.read(request):
        return model()
    return validation.model_of(model, parse_json(await services.bodies.read_as(request, JSON)))


async def _changed(services: Services, change: Callable[[Connection], VersionChanged]) -> VersionChanged:
    """Make the change in one transaction, and look at the registry at once. Raises RequestRefused."""
    try:
        async with services.engine.begin() as connection:
            await connection.execute(LOCK_TIMEOUT)
            changed = await connection.run_sync(change)
    except UnknownVersion as refused:
        raise RequestRefused(ProblemKind.UNKNOWN_VERSION, _sentence(refused)) from None
    except RegistryRefused as refused:
        raise RequestRefused(ProblemKind.CHANGE_REFUSED, _sentence(refused)) from None
    with suppress(SQLAlchemyError):  # the change is stored, and this handler looks again within a second
        await services.models.refresh()
    return changed


def _sentence(refused: RegistryRefused) -> str:
    words = str(refused)
    return f"{words[0].upper()}{words[1:]}."
