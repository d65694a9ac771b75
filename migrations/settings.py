"""Who migrates: the database's owner, where the programs are somebody else."""

from pydantic import Field, PostgresDsn
from pydantic_settings import BaseSettings, SettingsConfigDict

from store.settings import StoreSettings


class MigrationSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)  # it holds a password

    migrations_database_url: PostgresDsn | None = Field(
        default=None, description="the owner's, where DATABASE_URL is that of millrace_app"
    )


def addresses() -> tuple[str, str | None]:
    """Return the owner's URL, and the programs' where that is another."""
    programs, owner = str(StoreSettings().database_url), MigrationSettings().migrations_database_url
    return (str(owner), programs) if owner else (programs, None)
