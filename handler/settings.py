"""What the handler can be told."""

import re
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class HandlerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    auth: Literal["required", "off"] = Field(
        default="required", description="off: whoever can connect may do everything"
    )
    rate_limit: str | None = Field(
        default=None, pattern="^[1-9][0-9]*/(second|minute|hour)$", description="requests of one client: 600/minute"
    )
    max_body_bytes: int = Field(default=8 * 2**20, ge=1024, description="a larger request body gets 413")
    body_timeout_seconds: float = Field(default=60, ge=1, description="a body that has not come by then gets 408")
    cors_origins: str = Field(
        default="", description="origins, with commas, whose scripts may use the API: https://app.example.com"
    )
    allowed_hosts: str = Field(
        default="",
        description="with AUTH=off: names of this handler, with commas, beside localhost: a.example.com,*.internal",
    )
    max_backlog_inputs: int = Field(
        default=2_000_000, ge=1, description="with so many inputs waiting, submissions get 503 and a Retry-After"
    )
    access_log: Literal["on", "off"] = Field(default="off", description="a line of log for each request")
    profiler: Literal["on", "off"] = Field(
        default="off", description="for development: requests with the header X-Profile are answered with a profile"
    )
    predict_wait_seconds: float = Field(default=5, gt=0, le=60, description="how long POST /predict waits for a score")
    answer_wait_seconds: float = Field(
        default=30, gt=0, le=60, description="how long endpoints that answer with scores only wait for them; then 504"
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
        """Refuse `*`: every page whose name is made to lead here could read every task."""
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
