"""Which revision of the schema this code needs, and how to get there."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

ROOM = Path(__file__).parent


def config(database_url: str | None = None, programs_url: str | None = None) -> Config:
    """Return Alembic's configuration; without a URL it is read from the environment.

    `programs_url` is what the programs log in with, where that is not the owner.
    """
    settings = Config()
    settings.set_main_option("script_location", str(ROOM).replace("%", "%%"))
    settings.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    settings.attributes["database_url"] = database_url
    settings.attributes["programs_url"] = programs_url
    return settings


def head() -> str:
    """Return the newest revision."""
    revision = ScriptDirectory(str(ROOM)).get_current_head()
    if revision is None:
        raise LookupError("migrations/versions is empty")
    return revision


def older() -> frozenset[str]:
    """Return the revisions before the newest one. One that is not even among these is newer than this code."""
    return frozenset(script.revision for script in ScriptDirectory(str(ROOM)).walk_revisions()) - {head()}


def upgrade(database_url: str, programs_url: str | None = None) -> None:
    """Bring the database to the newest revision. Safe to call from several programs at once."""
    command.upgrade(config(database_url, programs_url), "head")
