"""The worker's settings."""

import os
from datetime import timedelta

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class WorkerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    worker_models: str = Field(
        default="",
        description="models that it loads, separated by commas: report_scorer,translator; empty: all that it can load",
    )
    worker_concurrency: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 1) - 1),
        ge=1,
        description="processes of a worker; empty: one less than the machine has cores, at least one",
    )
    worker_autoscale: str = Field(
        default="",
        pattern=r"^$|^[1-9][0-9]{0,3},[1-9][0-9]{0,3}$",
        description="least and most processes, chosen by the load: 1,8; replaces WORKER_CONCURRENCY",
    )
    autoscale_window_seconds: float = Field(
        default=10, gt=0, description="seconds of arrivals that the autoscaler looks at"
    )
    autoscale_lead_seconds: float = Field(
        default=3, gt=0, description="seconds that a new process needs until it is ready"
    )
    autoscale_clear_seconds: float = Field(
        default=5, gt=0, description="seconds within which the autoscaler aims to clear a backlog"
    )
    autoscale_quiet_seconds: float = Field(
        default=30, gt=0, description="seconds until the autoscaler stops a spare process"
    )
    lease_seconds: int = Field(
        default=20,
        ge=2,
        description="seconds until the tasks of a silent worker are taken back; a worker renews four times as often",
    )

    worker_grace_seconds: float = Field(
        default=20,
        gt=0,
        description="seconds after which a stopping worker gives back its chunk; keep it below the "
        "container's grace period",
    )

    pool_grace_seconds: float = Field(
        default=4, gt=0, le=60, description="with ENGINE=pool, the same, and for the handler's own end"
    )

    cache_seconds: int = Field(
        default=3600,
        ge=0,
        description="seconds for which a model that caches remembers its outputs in Redis; 0: not at all",
    )

    @field_validator("worker_autoscale")
    @classmethod
    def _ordered(cls, given: str) -> str:
        least, _, most = given.partition(",")
        if given and int(least) > int(most):
            raise ValueError(f"{least} processes at least are more than {most} at most; give least,most")
        return given

    @property
    def chosen(self) -> list[str]:
        """The models that it is to load; none: all that its runtimes can load."""
        return [name.strip() for name in self.worker_models.split(",") if name.strip()]

    @property
    def autoscale(self) -> tuple[int, int] | None:
        """Least and most worker processes, where their number follows the load."""
        least, _, most = self.worker_autoscale.partition(",")
        return (int(least), int(most)) if most else None

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)
