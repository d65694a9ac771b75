"""Where PostgreSQL is."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from store import address

DatabaseUrl = Annotated[str, AfterValidator(address.usable)]


class StoreSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)  # it holds a password

    database_url: DatabaseUrl = Field(
        description="address of PostgreSQL: postgresql://user:password@host:port/database"
    )
    database_pool_size: int = Field(
        default=5,
        ge=1,
        le=100,
        description="connections to PostgreSQL that a handler process keeps open, beside those for commits and health",
    )
    database_timeout_seconds: float = Field(
        default=30, ge=1, description="seconds of silence after which a program gives up a connection to PostgreSQL"
    )
