"""What `millrace up` leaves in its folder (`.millrace/`, or MILLRACE_FOLDER), for the other commands to find."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from webhooks.signing import new_secret

ROOT = Path(__file__).parent.parent
FOLDER = Path(os.environ.get("MILLRACE_FOLDER") or ROOT / ".millrace").absolute()
TEMPORARY = FOLDER / "tmp"
"""The programs' temporary files: what a killed run leaves there, the next one removes."""

_ADDRESSES = FOLDER / "addresses.json"


def remember(database_url: str, redis_url: str | None, services: Mapping[str, str]) -> None:
    """Note where the servers of the running platform are, the database by its owner's URL, and a page of each program.

    The servers' addresses hold passwords, so the file is for its owner only.
    """
    _write(_ADDRESSES, json.dumps({"database_url": database_url, "redis_url": redis_url, "services": dict(services)}))


def empty_temporary() -> None:
    shutil.rmtree(TEMPORARY, ignore_errors=True)
    TEMPORARY.mkdir(mode=0o700)


def note_failing(names: Sequence[str]) -> None:
    """Note which parts of the running platform keep ending."""
    _write(_ADDRESSES, json.dumps({**_addresses(), "failing": list(names)}))


def failing() -> list[str]:
    """Return the parts of that `make up` that keep ending."""
    names: list[str] = _addresses().get("failing", [])
    return names


def forget() -> None:
    _ADDRESSES.unlink(missing_ok=True)


def database_url() -> str | None:
    """Return the owner's URL, or DATABASE_URL, or else where the `millrace up` of this checkout keeps its database."""
    given = os.environ.get("MIGRATIONS_DATABASE_URL") or os.environ.get("DATABASE_URL")
    return given or _addresses().get("database_url")


def redis_url() -> str | None:
    """Return REDIS_URL, or else where that `millrace up` keeps its messages."""
    return os.environ.get("REDIS_URL") or _addresses().get("redis_url")


def handler_url() -> str | None:
    """Return the address of the API of that `millrace up`; None where it does not run."""
    page = services().get("handler")
    return None if page is None else page.removesuffix("/health/live")


def services() -> dict[str, str]:
    """Return a page of each program of that `millrace up`; none where it does not run."""
    pages: dict[str, str] = _addresses().get("services", {})
    return pages


def _addresses() -> dict[str, Any]:
    try:
        addresses: dict[str, Any] = json.loads(_ADDRESSES.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return addresses


def flower_password() -> str:
    """Return Flower's password, made at the first start."""
    file = FOLDER / "flower-password"
    if not file.exists():
        _write(file, secrets.token_urlsafe(12))
    return file.read_text(encoding="utf-8")


def programs_password() -> str:
    """Return the password of the programs' role in the embedded database, made at the first start."""
    file = FOLDER / "programs-password"
    if not file.exists():
        _write(file, secrets.token_urlsafe(24))
    return file.read_text(encoding="utf-8")


def webhook_secret() -> str:
    """Return WEBHOOK_SECRET, or else the one of this folder, made at the first start."""
    if secret := os.environ.get("WEBHOOK_SECRET"):
        return secret
    file = FOLDER / "webhook-secret"
    if not file.exists():
        _write(file, new_secret())
    return file.read_text(encoding="utf-8")


def _write(file: Path, content: str) -> None:
    """Write a file for its owner only, which others find whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)  # open, so that a server's own account reaches its folder in it
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with open(unfinished, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, mode=0o600)) as new:
        new.write(content)
    unfinished.replace(file)
