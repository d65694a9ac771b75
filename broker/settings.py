"""Where Redis is."""

from pydantic import Field, RedisDsn
from pydantic_settings import BaseSettings, SettingsConfigDict


class BrokerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)  # it holds a password

    redis_url: RedisDsn = Field(description="redis://:password@host:port/0")
