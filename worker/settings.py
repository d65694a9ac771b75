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
    worker_autoscale: str = Field(
        default="",
        pattern=r"^$|^[1-9][0-9]{0,3},[1-9][0-9]{0,3}$",
        description="least,most worker processes, by the load: 1,8; instead of WORKER_CONCURRENCY",
    )
    autoscale_window_seconds: float = Field(default=10, gt=0, description="of arrivals that the autoscaler looks at")
    autoscale_lead_seconds: float = Field(default=3, gt=0, description="that a new process needs to get ready")
    autoscale_clear_seconds: float = Field(default=5, gt=0, description="within which a backlog shall be gone")
    autoscale_quiet_seconds: float = Field(default=30, gt=0, description="until a process that is spare is let go")
    lease_seconds: int = Field(
        default=20, ge=2, description="until a silent worker's tasks are taken back; it renews four times as often"
    )

    worker_grace_seconds: float = Field(
        default=20, gt=0, description="a stopping worker that has not finished its chunk by then gives it back"
    )

    pool_grace_seconds: float = Field(
        default=4, gt=0, le=60, description="with ENGINE=pool, the same, and for the handler's own end"
    )

    cache_seconds: int = Field(
        default=3600, ge=0, description="how long outputs are remembered for the same input; 0: not at all"
    )

    @field_validator("worker_autoscale")
    @classmethod
    def _ordered(cls, given: str) -> str:
        least, _, most = given.partition(",")
        if given and int(least) > int(most):
            raise ValueError(f"{least} processes at least are more than {most} at most; give least,most")
        return given

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
    def autoscale(self) -> tuple[int, int] | None:
        """Least and most worker processes, where their number follows the load."""
        least, _, most = self.worker_autoscale.partition(",")
        return (int(least), int(most)) if most else None

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
    text_retention_days: float | None = Field(
        default=None, gt=0, description="older texts and images are emptied; empty: they are kept"
    )


class DeliverySettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    webhook_timeout_seconds: float = Field(default=15, gt=0, le=60, description="for a receiver to answer")
    webhook_sweep_seconds: float = Field(
        default=15, gt=0, description="between two searches for ended tasks that Redis did not announce"
    )
