"""What `make up` can be told."""

import os
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from blobs.address import LIKE_THIS, BlobUrl
from broker.address import RedisUrl
from store.settings import DatabaseUrl


class UpSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    engine: Literal["celery", "pool"] = Field(
        default="celery", description="pool: the handler scores in processes of its own; no Valkey, worker and Flower"
    )
    port: int = Field(default=8081, ge=1, le=65535, description="port of the API on loopback")
    flower_port: int = Field(default=5566, ge=1, le=65535, description="port of Flower on loopback")
    metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65531,
        description="first of the five ports of the metrics; empty: from 9641 on, wherever five are free",
    )
    flower_basic_auth: str | None = Field(
        default=None,
        pattern=r"^[^:]+:.+$",
        description="Flower's user:password; empty: make up makes a password and keeps it",
    )
    auth: Literal["required", "off"] = Field(
        default="off",
        description="off, because every port is on loopback only; required: each request needs an API key",
    )
    worker_concurrency: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 1) - 1),
        ge=1,
        description="worker processes; empty: one less than the machine has cores, at least one",
    )
    database_url: DatabaseUrl | None = Field(
        default=None, description="postgresql://user:password@host:port/database, instead of the embedded PostgreSQL"
    )
    migrations_database_url: DatabaseUrl | None = Field(
        default=None, description="postgresql://user:password@host:port/database by its owner, if it has another"
    )
    export_url: BlobUrl | None = Field(
        default=None, description=f"where predictions are exported to: {LIKE_THIS}; empty: nowhere"
    )
    redis_url: RedisUrl | None = Field(
        default=None, description="redis://:password@host:port/0, instead of the embedded Valkey"
    )
