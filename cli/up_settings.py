"""What `make up` can be told."""

import os
from typing import Literal

from pydantic import Field, PostgresDsn, RedisDsn
from pydantic_settings import BaseSettings, SettingsConfigDict


class UpSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    engine: Literal["celery", "pool"] = Field(
        default="celery", description="pool: the handler scores in processes of its own; no Valkey, worker and Flower"
    )
    port: int = Field(default=8081, ge=1, le=65535, description="of the handler")
    flower_port: int = Field(default=5566, ge=1, le=65535)
    metrics_port: int | None = Field(
        default=None, ge=1, le=65532, description="the first of four; empty: from 9641 on, wherever four are free"
    )
    flower_basic_auth: str | None = Field(default=None, pattern=r"^[^:]+:.+$", description="user:password")
    auth: Literal["required", "off"] = Field(default="off", description="off, as all ports are on loopback only")
    worker_concurrency: int = Field(default_factory=lambda: max(1, (os.cpu_count() or 1) - 1), ge=1)
    database_url: PostgresDsn | None = Field(default=None, description="instead of the embedded PostgreSQL")
    migrations_database_url: PostgresDsn | None = Field(default=None, description="its owner's, if it has another")
    redis_url: RedisDsn | None = Field(default=None, description="instead of the embedded Valkey")
