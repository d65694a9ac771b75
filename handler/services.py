"""What a request needs of its handler, made once when the handler starts."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import MetaData, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from handler.intake import Intake
from handler.settings import HandlerSettings
from handler.waiters import Waiters
from models.contract import Spec
from store.predictions import predictions_table


@dataclass(frozen=True)
class Services:
    settings: HandlerSettings
    engine: AsyncEngine
    intake: Intake
    waiters: Waiters
    specs: dict[str, Spec]
    tables: dict[str, Table]
    schema_head: str
    schema_older: frozenset[str]


def prediction_tables(specs: dict[str, Spec]) -> dict[str, Table]:
    """Return each model's table of predictions by the model's name."""
    metadata = MetaData()
    return {
        spec.name: predictions_table(spec.table, [*spec.input_columns, *spec.output_columns], metadata)
        for spec in specs.values()
    }


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Serving = Annotated[Services, Depends(_services)]
