"""What maintenance can be told."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RescueSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    rescue_interval_seconds: float = Field(default=5, gt=0, description="seconds between two rounds of rescue")
    republish_after_seconds: float = Field(
        default=15, gt=0, description="seconds that a task waits without a message before it gets a new one"
    )
    max_attempts: int = Field(default=3, ge=1, description="attempts after which a task whose workers were lost fails")
    starving_after_seconds: float = Field(
        default=60, gt=0, description="seconds without a claim after which rescue helps a lower priority"
    )
    idempotency_hours: float = Field(default=24, gt=0, description="hours for which an idempotency key is remembered")
    text_retention_days: float | None = Field(
        default=None,
        gt=0,
        description="days after which texts and images are emptied; scores and labels stay; empty: all is kept",
    )
