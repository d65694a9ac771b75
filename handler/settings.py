"""The handler's settings."""

import re
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class HandlerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    auth: Literal["required", "off"] = Field(
        default="required",
        description="required: each request needs an API key; off: anyone who can connect may do everything",
    )
    rate_limit: str | None = Field(
        default=None,
        pattern="^[1-9][0-9]*/(second|minute|hour)$",
        description="requests of one client in each handler process, by key or address: 600/minute; empty: no limit",
    )
    max_body_bytes: int = Field(default=8 * 2**20, ge=1024, description="a larger request body gets 413")
    body_timeout_seconds: float = Field(
        default=60, ge=1, description="seconds after which a request body that is not complete gets 408"
    )
    keep_alive_seconds: float = Field(
        default=75,
        ge=1,
        le=3600,
        description="seconds until an idle connection is closed; a proxy in front must close its own sooner",
    )
    cors_origins: str = Field(
        default="", description="origins, separated by commas, whose scripts may use the API: https://app.example.com"
    )
    allowed_hosts: str = Field(
        default="",
        description="with AUTH=off: names of this handler beside localhost: a.example.com,*.internal",
    )
    max_backlog_inputs: int = Field(
        default=2_000_000,
        ge=1,
        description="number of waiting inputs past which a submission gets 503 and a Retry-After",
    )
    access_log: Literal["on", "off"] = Field(
        default="off", description="on: a log line for each request, at 25 µs of CPU each"
    )
    profiler: Literal["on", "off"] = Field(
        default="off", description="for development: requests with the header X-Profile are answered with a profile"
    )
    predict_wait_seconds: float = Field(
        default=5, gt=0, le=60, description="seconds that POST /predict waits for a score before it answers 202"
    )
    answer_wait_seconds: float = Field(
        default=30,
        gt=0,
        le=60,
        description="seconds that POST /prediction, /translation, /inference and /v2 wait for outputs; then 504",
    )
    triage_random_share: float = Field(
        default=0.05, ge=0, le=1, description="share of the draws for reviewers that are random, whatever the score"
    )
    triage_second_share: float = Field(
        default=0.05, ge=0, le=1, description="share of the draws that a second reviewer is to decide as well"
    )
    triage_lease_seconds: float = Field(
        default=900, ge=1, le=86_400, description="seconds after which a reviewer no longer holds a prediction"
    )
    triage_pool: int = Field(
        default=20_000,
        ge=100,
        le=1_000_000,
        description="newest predictions of a model from which reviewers get theirs",
    )

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_named(cls, given: str) -> str:
        """Refuse `*`: with AUTH=off, every page that a user visits could read every task."""
        for origin in _names(given):
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?", origin):
                raise ValueError(f"{origin!r} is no origin like https://app.example.com")
        return given

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts_are_named(cls, given: str) -> str:
        """Refuse `*`: every page whose name resolves to this handler could read every task."""
        for host in _names(given):
            if not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", host):
                raise ValueError(f"{host!r} is no name like scores.example.com or *.example.com, without a port")
        return given

    @property
    def hosts(self) -> list[str]:
        return _names(self.allowed_hosts)

    @property
    def origins(self) -> list[str]:
        return _names(self.cors_origins)


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]
