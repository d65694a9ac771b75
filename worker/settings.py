"""What a worker can be told."""

import os
from datetime import timedelta

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models import catalogue


class WorkerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    worker_models: str = Field(
        default="", description="the models that it loads, with commas: report_scorer,translator; empty: all of them"
    )
    worker_concurrency: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 1) - 1), ge=1, description="worker processes"
    )
    lease_seconds: int = Field(
        default=20, ge=2, description="until a silent worker's tasks are taken back; it renews four times as often"
    )

    worker_grace_seconds: float = Field(
        default=20, gt=0, description="a stopping worker that has not finished its chunk by then gives it back"
    )

    cache_seconds: int = Field(default=3600, ge=1, description="how long outputs are remembered for the same input")

    @field_validator("worker_models")
    @classmethod
    def _known(cls, given: str) -> str:
        if unknown := [name for name in _names(given) if name not in catalogue.specs()]:
            raise ValueError(f"no model {', '.join(unknown)}; there is: {', '.join(catalogue.specs())}")
        return given

    @property
    def models(self) -> list[str]:
        return _names(self.worker_models) or list(catalogue.specs())

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]


class RescueSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    rescue_interval_seconds: float = Field(default=5, gt=0, description="between two rounds")
    republish_after_seconds: float = Field(default=15, gt=0, description="how long a task waits without a message")
    max_attempts: int = Field(default=3, ge=1, description="claims of a task before it fails")
    starving_after_seconds: float = Field(
        default=60, gt=0, description="how long a task of normal or low priority waits before rescue helps it along"
    )
    idempotency_hours: float = Field(default=24, gt=0, description="how long an idempotency key is remembered")


class DeliverySettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    webhook_timeout_seconds: float = Field(default=15, gt=0, le=60, description="for a receiver to answer")
    webhook_sweep_seconds: float = Field(
        default=15, gt=0, description="between two searches for ended tasks that Redis did not announce"
    )
