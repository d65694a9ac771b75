"""What the handler can be told."""

from typing import Literal

from pydantic import Field
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
    max_backlog_inputs: int = Field(
        default=2_000_000, ge=1, description="with so many inputs waiting, submissions get 503 and a Retry-After"
    )
    predict_wait_seconds: float = Field(default=5, gt=0, le=60, description="how long POST /predict waits for a score")
    answer_wait_seconds: float = Field(
        default=30, gt=0, le=60, description="how long endpoints that answer with scores only wait for them; then 504"
    )
