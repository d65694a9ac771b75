"""Who migrates: the database's owner, where the programs are somebody else."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from store.settings import DatabaseUrl, StoreSettings


class MigrationSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)  # it holds a password

    migrations_database_url: DatabaseUrl | None = Field(
        default=None, description="address of PostgreSQL as its owner, where DATABASE_URL is that of millrace_app"
    )


def addresses() -> tuple[str, str | None]:
    """Return the owner's URL, and the programs' where that is another."""
    programs, owner = StoreSettings().database_url, MigrationSettings().migrations_database_url
    return (owner, programs) if owner else (programs, None)
