"""What a request needs of its handler, made once when the handler starts."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import MetaData, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from handler.backlog import Backlog
from handler.intake import Intake
from handler.keyring import Keyring
from handler.patience import Patience
from handler.rate import Limiter
from handler.room import Room
from handler.settings import HandlerSettings
from handler.waiters import Waiters
from models.contract import Manifest, Spec
from store.predictions import predictions_table
from webhooks.settings import WebhookSettings


@dataclass(frozen=True)
class Services:
    settings: HandlerSettings
    webhooks: WebhookSettings
    engine: AsyncEngine
    reads: AsyncEngine
    """The same connections for statements that are transactions by themselves."""
    intake: Intake
    waiters: Waiters
    backlog: Backlog
    specs: dict[str, Spec]
    tables: dict[str, Table]
    manifests: dict[str, Manifest]
    schema_head: str
    schema_older: frozenset[str]
    keyring: Keyring | None
    limiter: Limiter | None
    patience: Patience
    room: Room


def prediction_tables(specs: dict[str, Spec]) -> dict[str, Table]:
    """Return each model's table of predictions by the model's name."""
    metadata = MetaData()
    return {spec.name: predictions_table(spec.table, spec.stored_columns, metadata) for spec in specs.values()}


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services  # async, as FastAPI runs other functions in a thread
    return services


Serving = Annotated[Services, Depends(_services)]
