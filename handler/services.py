"""What a request needs of its handler, made once when the handler starts (startup.py)."""

from collections import Counter
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from handler.answer.listing import TaskLists
from handler.answer.result_stream import ResultStreams
from handler.answer.tasks import TaskNotifier, TaskReader
from handler.auth.authentication import Authenticator
from handler.auth.same_origin import SameOrigin
from handler.http.body import BodyReader
from handler.models import KnownModels
from handler.redis_state import RedisState
from handler.settings import HandlerSettings
from handler.submit.backlog import Backlog
from handler.submit.group_commit import GroupCommit
from store.schema import SchemaCheck
from webhooks.settings import WebhookSettings


@dataclass(frozen=True, kw_only=True)
class Services:
    settings: HandlerSettings
    webhooks: WebhookSettings

    engine: AsyncEngine
    vital: AsyncEngine
    """Connections for what must go on under any load: keys, the backlog, readiness."""
    tasks: TaskReader
    lists: TaskLists
    results: ResultStreams
    triage: AsyncEngine
    """Connections for draws, which wait for each other."""
    schema_head: str
    schema_older: frozenset[str]
    schema: SchemaCheck

    models: KnownModels

    group_commit: GroupCommit
    notifier: TaskNotifier
    backlog: Backlog
    redis: RedisState | None
    """None with ENGINE=pool, which has no Redis."""

    same_origin: SameOrigin | None
    """None with AUTH=required."""
    authenticator: Authenticator | None
    """None with AUTH=off and no rate limit."""
    bodies: BodyReader
    refused: Counter[str]
    """How many requests got a problem, by its kind."""
