"""Liveness and readiness probes."""

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from handler.answer.bodies import Heartbeat, Readiness
from handler.http.body import model_response
from handler.http.operation import Operation, success
from handler.http.request import ApiRequest
from handler.problems import NOT_READY
from handler.routes.models import loaded_models
from handler.services import Services
from store import outage


async def heartbeat(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Answer; nothing is checked."""
    return model_response(Heartbeat(message="Service Ok"))


async def live(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Liveness probe: this process answers."""
    return model_response(Heartbeat(message="Service Ok"))


async def ready(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Readiness probe: whether the handler accepts submissions, and how many worker processes have each model loaded.

    A model that no worker has loaded does not make the handler unready: accepted tasks wait, and an autoscaler may
    start a worker because of them.
    """
    found = await readiness(services)
    if services.redis is not None:
        fault = services.redis.fault
        found.redis = (
            "ok" if fault is None else f"degraded: {fault}; submissions are accepted, and wait until it is back"
        )
    return model_response(found, 200 if found.ready else NOT_READY)


_UP = success(Heartbeat, "The handler answers")
_READY = success(Readiness, "The handler accepts submissions")
_NOT_READY = success(Readiness, "Something is missing; the body says what", NOT_READY)

OPERATIONS = [
    Operation("GET", "/heartbeat", heartbeat, "health", responses=_UP, public=True),
    Operation("GET", "/health/live", live, "health", "health_live", responses=_UP, public=True),
    Operation("GET", "/health/ready", ready, "health", "health_ready", responses=_READY | _NOT_READY, public=True),
]


async def readiness(services: Services) -> Readiness:
    """Ask PostgreSQL whether the schema fits, and which models are loaded."""
    nobody = dict.fromkeys(services.models.live, 0)
    try:
        async with services.vital.connect() as connection:
            revision = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            whole = revision == services.schema_head
            lacking = await services.schema.missing(connection, indexes=whole)
    except SQLAlchemyError as error:
        reason = outage.reason(error)
        if reason is None:
            raise
        if reason != outage.NO_SCHEMA:
            said = "unreachable" if reason == outage.UNREACHABLE else reason
            return Readiness(ready=False, postgres=said, schema_revision="unknown", models=nobody)
        revision = None  # the table does not exist yet
    if revision is None or revision in services.schema_older:  # a newer one fits, as an upgrade migrates first
        detail = f"{revision or 'empty'}, this handler needs {services.schema_head}: run `alembic upgrade head`"
        return Readiness(ready=False, postgres="ok", schema_revision=detail, models=nobody)
    if lacking is not None:
        if whole:
            remedy = "restore the database, or `alembic stamp` what it really has and `alembic upgrade head`"
            detail = f"{revision} is claimed, but there is no {lacking}: {remedy}"
        else:
            detail = f"{revision} is newer than this handler, which needs {lacking}: run the release that made it"
        return Readiness(ready=False, postgres="ok", schema_revision=detail, models=nobody)
    loaded = await loaded_models(services)
    return Readiness(
        ready=True,
        postgres="ok",
        schema_revision="ok",
        models={name: loaded.processes[name] for name in services.models.live},
        unloaded=loaded.unloaded,
    )
