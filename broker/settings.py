"""What carries chunks to whoever scores them, and where it is."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from broker.address import RedisUrl


class BrokerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)  # it holds a password

    engine: Literal["celery", "pool"] = Field(
        default="celery", description="pool: the handler's own container scores, without Redis, Celery and Flower"
    )
    redis_url: RedisUrl | None = Field(default=None, description="address of Redis: redis://:password@host:port/0")

    @model_validator(mode="after")
    def _has_what_the_engine_needs(self) -> Self:
        if self.engine == "celery" and self.redis_url is None:
            raise ValueError("REDIS_URL is missing: redis://:password@host:port/0; only ENGINE=pool needs none")
        return self

    @property
    def redis(self) -> str:
        """Redis's URL. Raises ValueError with ENGINE=pool, which has none: nothing of Celery's may be started then."""
        if self.engine == "pool":
            raise ValueError("this program belongs to ENGINE=celery; with ENGINE=pool the handler's container does it")
        return str(self.redis_url)
