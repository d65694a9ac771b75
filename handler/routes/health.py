"""Is it alive, is it ready."""

from fastapi import APIRouter, Response
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from handler.answers import Heartbeat, Readiness
from handler.routes.models import ready_processes
from handler.services import Services, Serving

router = APIRouter(tags=["health"])


@router.get("/heartbeat", response_description="The handler answers")
async def heartbeat() -> Heartbeat:
    """Answer; nothing is checked."""
    return Heartbeat(message="Service Ok")


@router.get("/health/live", response_description="The handler answers")
async def live() -> Heartbeat:
    """Say that this process answers. Whoever restarts it should ask here."""
    return Heartbeat(message="Service Ok")


@router.get(
    "/health/ready",
    response_description="Submissions are taken in",
    responses={503: {"model": Readiness, "description": "Something is missing; it says what"}},
)
async def ready(services: Serving, response: Response) -> Readiness:
    """Say whether submissions are taken in, and how many worker processes have each model loaded.

    Whoever sends requests here should ask here. A model that nobody has loaded is no reason to send them elsewhere:
    what is accepted waits, and a worker may be started because of it.
    """
    found = await readiness(services)
    if not found.ready:
        response.status_code = 503
    return found


async def readiness(services: Services) -> Readiness:
    """Ask PostgreSQL whether the schema fits, and which models are loaded."""
    nobody = dict.fromkeys(services.specs, 0)
    try:
        async with services.engine.connect() as connection:
            revision = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    except (SQLAlchemyError, OSError) as error:
        if not isinstance(error, ProgrammingError):
            return Readiness(ready=False, postgres="unreachable", schema_revision="unknown", models=nobody)
        revision = None  # there is no such table yet
    if revision is None or revision in services.schema_older:  # a newer one fits: migrations go first in an upgrade
        detail = f"{revision or 'empty'}, this handler needs {services.schema_head}: run `alembic upgrade head`"
        return Readiness(ready=False, postgres="ok", schema_revision=detail, models=nobody)
    processes = await ready_processes(services)
    return Readiness(
        ready=True,
        postgres="ok",
        schema_revision="ok",
        models={name: processes[name] for name in services.specs},
    )
