"""Where the server is, and the API key: arguments, then the environment, then a profile in a file.

The file is `~/.config/millrace/config.toml` (MILLRACE_CONFIG names another). It has a table for each profile:

    [default]
    url = "https://scores.example.com"
    key = "mr_…"
"""

import os
import stat
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from millrace_client.errors import MillraceError

URL = "http://127.0.0.1:8081"
"""Where `make up` serves."""


class WrongSettings(MillraceError):
    """The profile file cannot be read, or does not have what is asked for."""


@dataclass(frozen=True, slots=True)
class Settings:
    url: str
    key: str | None

    def __repr__(self) -> str:
        """Leave the key out."""
        return f"Settings(url={self.url!r})"


def read(url: str | None = None, key: str | None = None, profile: str | None = None) -> Settings:
    """Return the settings. Raises WrongSettings."""
    name = profile or os.environ.get("MILLRACE_PROFILE")
    from_file = _profile(name)
    own = from_file.get("url")
    if name is not None:  # who names a profile means both of it; its key is for its address only
        address = url or own or URL
        return _checked(address, key or (from_file.get("key") if address == (own or URL) else None))
    given = url or os.environ.get("MILLRACE_URL")
    of_file = None if given and given != own else from_file.get("key")
    return _checked(given or own or _local() or URL, key or os.environ.get("MILLRACE_API_KEY") or of_file)


def names_server(url: str | None, profile: str | None) -> bool:
    """Return whether somebody says which server is meant: by an option, the environment, or the profile file."""
    asked = url or profile or os.environ.get("MILLRACE_URL") or os.environ.get("MILLRACE_PROFILE")
    return bool(asked or _profile(None).get("url"))


def _checked(url: str, key: str | None) -> Settings:
    url, key = url.strip().rstrip("/"), key.strip() if key else None
    if not url.startswith(("http://", "https://")):
        raise WrongSettings(f"the address {url!r} is no URL: write it as http://127.0.0.1:8081")
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise WrongSettings("the API key has a character that no key has; copy it again")
    return Settings(url, key)


def _local() -> str | None:
    """Return where a `make up` of this machine serves, if the platform is installed beside the client and says so."""
    found = (one.load()() for one in entry_points(group="millrace.address"))
    return next((address for address in found if address), None)


def path() -> Path:
    """Return where the profiles are."""
    given = os.environ.get("MILLRACE_CONFIG")
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(given) if given else Path(home) / "millrace" / "config.toml"


def _profile(name: str | None) -> dict[str, Any]:
    file = path()
    try:
        mode = file.stat().st_mode
        profiles = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if name is not None:
            raise WrongSettings(f"there is no profile {name!r}: {file} does not exist") from None
        return {}
    except (OSError, ValueError) as error:
        raise WrongSettings(f"{file}: {error}") from None
    if name is not None and name not in profiles:
        raise WrongSettings(f"there is no profile {name!r} in {file}; it has {', '.join(profiles) or 'none'}")
    found: dict[str, Any] = profiles.get(name or "default", {})
    if "key" in found and mode & (stat.S_IRGRP | stat.S_IROTH) and sys.platform != "win32":
        raise WrongSettings(f"{file} holds a key and others can read it: chmod 600 {file}")
    return found
