"""Puts each password of docker-compose where only the programs that need it read it; makes its own that nobody has set.

`python -m cli.passwords`, before anything else starts. A folder a password: containers mount those that they may read.
With a folder as its argument it makes them there, for deploy/kubernetes/overlays/local.
"""

import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from store.tables import APP

FOLDER = Path("/run/secrets")

PUBLISHED = re.compile(r"change-me|local-only", re.IGNORECASE)
"""What examples of earlier releases had, for everyone to read."""

IN_A_URL = re.compile(r"[A-Za-z0-9._~-]+")

FOLDERS = {
    "POSTGRES_PASSWORD": "owner",
    "POSTGRES_APP_PASSWORD": "app",
    "REDIS_PASSWORD": "redis",
    "FLOWER_BASIC_AUTH": "flower",
    "GRAFANA_PASSWORD": "grafana",
}
"""The settings that hold a password, and the folder of each."""

NEVER_MADE = {
    "AWS_ACCESS_KEY_ID": "export/AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY": "export/AWS_SECRET_ACCESS_KEY",
    "ARTIFACTS_READ_ACCESS_KEY_ID": "artifacts/AWS_ACCESS_KEY_ID",
    "ARTIFACTS_READ_SECRET_ACCESS_KEY": "artifacts/AWS_SECRET_ACCESS_KEY",
}
"""Those that are somebody else's, and the file of each: what .env does not set is not there."""

USER = "millrace:"  # of Flower


class PasswordRefused(ValueError):
    """A password that is set cannot be used; the message says why and what to do."""


def provide(folder: Path, settings: Mapping[str, str]) -> None:
    """Write the files of every folder: what is set, or else what an earlier start has made, or else a new password.

    Raises PasswordRefused before anything is written.
    """
    given = {name: settings.get(name, "") for name in FOLDERS}
    if faults := [fault for name, value in given.items() if value and (fault := _fault(name, value))]:
        raise PasswordRefused("\n".join(faults))
    password = {name: given[name] or _kept(folder / of / name) or _new(name) for name, of in FOLDERS.items()}
    user, database = settings.get("POSTGRES_USER") or "millrace", settings.get("POSTGRES_DB") or "millrace"
    redis_url = f"redis://millrace:{password['REDIS_PASSWORD']}@redis:6379/0"
    files = {
        **{f"{of}/{name}": password[name] for name, of in FOLDERS.items()},
        "owner/MIGRATIONS_DATABASE_URL": f"postgresql://{user}:{password['POSTGRES_PASSWORD']}@postgres:5432/{database}",
        "app/DATABASE_URL": f"postgresql://{APP}:{password['POSTGRES_APP_PASSWORD']}@postgres:5432/{database}",
        "redis/REDIS_URL": redis_url,
        "flower/CELERY_BROKER_URL": redis_url,
    }
    for name, content in files.items():
        _write(folder / name, content)
    for name, file in NEVER_MADE.items():
        if value := settings.get(name):
            _write(folder / file, value)
        else:
            (folder / file).unlink(missing_ok=True)


def _fault(name: str, value: str) -> str | None:
    if PUBLISHED.search(value):
        said = f"{name} in .env is a published example. Delete the line, then run docker-compose up -d: a password is"
        if name == "POSTGRES_PASSWORD":
            return f"{said} made, and set in the database as well; the data stays."
        if name == "GRAFANA_PASSWORD":
            return (
                f"{said} made. A Grafana that has run before keeps the old one: "
                "docker-compose exec grafana grafana cli admin reset-admin-password NEW"
            )
        return f"{said} made."
    if name == "FLOWER_BASIC_AUTH":
        return None if re.fullmatch(r"[^:\s]+:\S.*", value) else f"{name} in .env must be user:password."
    if not IN_A_URL.fullmatch(value):
        return f"{name} in .env stands in URLs: use letters, digits, - and _ only, or delete the line to have one made."
    return None


def _new(name: str) -> str:
    return (USER if name == "FLOWER_BASIC_AUTH" else "") + secrets.token_urlsafe(24)


def _kept(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _write(file: Path, content: str) -> None:
    """Write a file that is whole or not there; who mounts its folder may read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}")
    unfinished.write_text(content, encoding="utf-8")
    unfinished.chmod(0o444)
    unfinished.replace(file)


if __name__ == "__main__":
    try:
        provide(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER, os.environ)
    except PasswordRefused as refused:
        sys.exit(str(refused))
