"""The Python environments of models that are code: one for each requirements.txt, by its hash, beside their files."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from serving.contract import ModelAway

REQUIREMENTS = "requirements.txt"

FOLDER = ".environments"

COMPILE = "uv pip compile --generate-hashes requirements.in -o requirements.txt"


class EnvironmentMissing(ModelAway):
    """The model's packages are not installed on this machine."""


class NotInstalled(Exception):
    """pip refused; the message is its own."""


def beside(folder_of_model: Path) -> Path:
    """Return where the environments are, from the folder of a model in the cache."""
    return folder_of_model.parent / FOLDER


def python_for(folder: Path, environments: Path) -> Path:
    """Return the Python that runs the code of this folder. Raises EnvironmentMissing."""
    if not (folder / REQUIREMENTS).exists():
        return Path(sys.executable)
    place = _place(folder, environments)
    if not (place / "complete").exists():
        raise EnvironmentMissing(
            "its packages are not installed here; add it beside this worker (`millrace models add`), or run its code "
            "in a container (docs/how-to/models.md)"
        )
    return place / "bin" / "python"


def install(folder: Path, environments: Path) -> Path:
    """Install what the folder's requirements.txt names, by hash and as wheels, once. Return the Python.

    Raises NotInstalled.
    """
    if not (folder / REQUIREMENTS).exists():
        return Path(sys.executable)
    _check(folder / REQUIREMENTS)
    place = _place(folder, environments)
    environments.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (environments / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            python = place / "bin" / "python"
            _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(place)])
            pip = [
                sys.executable,
                "-m",
                "pip",
                f"--python={python}",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ]
            _run([*pip, "--require-hashes", "--only-binary=:all:", f"--requirement={folder / REQUIREMENTS}"])
            (place / "complete").touch()
    return place / "bin" / "python"


def _place(folder: Path, environments: Path) -> Path:
    digest = hashlib.sha256((folder / REQUIREMENTS).read_bytes() + sys.version.encode())
    return environments / digest.hexdigest()[:32]


def _check(requirements: Path) -> None:
    """Raise NotInstalled for an option: `--no-binary` would run a package's own program, an index be another's."""
    for line in requirements.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.strip().startswith("-") and not line.strip().startswith("--hash="):
            raise NotInstalled(
                f"{REQUIREMENTS} has the option {line.strip()[:60]!r}; it may have only packages and hashes"
            )


def _environment() -> dict[str, str]:
    """Return what pip needs: how it reaches its index, and no address or password of the platform."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or name.startswith("PIP_") or name.lower().endswith("_proxy")
    }


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        first = (errors or done.stderr.strip().splitlines() or ["no reason"])[0]
        raise NotInstalled(f"{first}; pin every package with its hashes: {COMPILE}")
