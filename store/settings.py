"""Where PostgreSQL is."""

from pydantic import Field, PostgresDsn
from pydantic_settings import BaseSettings, SettingsConfigDict


class StoreSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)  # it holds a password

    database_url: PostgresDsn = Field(description="postgresql://user:password@host:port/database")
    database_pool_size: int = Field(default=5, ge=1, le=100, description="connections a process keeps open")
    database_timeout_seconds: float = Field(
        default=30, ge=1, description="a connection on which PostgreSQL is silent for so long is given up"
    )
