"""One DATABASE_URL for every program: both drivers on a real PostgreSQL. (TLS: tests/foreign/test_postgres_tls.py.)"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import ValidationError

from migrations.settings import MigrationSettings
from store import address
from store.address import UnusableUrl
from store.settings import StoreSettings
from tests.clusters import Cluster
from tests.databases import Ask, each_driver
from tests.running import free_port, temporary_open_folder

AWKWARD = "p@ss:w/ör?d#%&[1]+ "  # what must be escaped in a URL


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server that answers at 127.0.0.1, at ::1 and by a socket."""
    with temporary_open_folder() as folder:
        (folder / "run").mkdir()
        (folder / "run").chmod(0o777)
        cluster = Cluster(folder / "server", settings={"unix_socket_directories": str(folder / "run")})
        cluster.create()
        cluster.start()
        cluster.ask(f"CREATE ROLE awkward LOGIN PASSWORD '{AWKWARD}'")
        yield cluster
        cluster.stop()


@each_driver
def test_a_plain_url_gives_sessions_of_ours(ask: Ask, cluster: Cluster) -> None:
    seen = ask(cluster.url())
    assert (seen.application, seen.idle_timeout, seen.statement_timeout) == ("millrace", "30s", "0")


@each_driver
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg2"])
def test_every_way_to_name_the_scheme(ask: Ask, cluster: Cluster, scheme: str) -> None:
    assert ask(cluster.url().replace("postgresql", scheme, 1)).port == cluster.port


@each_driver
def test_what_the_url_says_of_the_session_holds(ask: Ask, cluster: Cluster) -> None:
    said = "?application_name=nightly%20job&options=-c%20statement_timeout%3D5s&connect_timeout=3&keepalives_idle=20"
    seen = ask(cluster.url() + said)
    assert (seen.application, seen.statement_timeout, seen.idle_timeout) == ("nightly job", "5s", "30s")


@each_driver
def test_a_password_with_every_awkward_character(ask: Ask, cluster: Cluster) -> None:
    place = f"127.0.0.1:{cluster.port}/postgres"
    assert ask(f"postgresql://awkward:{quote(AWKWARD, safe='')}@{place}").port == cluster.port
    assert ask(f"postgresql://{place}?user=awkward&password={quote(AWKWARD, safe='')}").port == cluster.port


@each_driver
def test_by_a_socket(ask: Ask, cluster: Cluster) -> None:
    socket = quote(str(cluster.folder.parent / "run"), safe="")
    _, _, credentials = cluster.url().partition("://")
    credentials, _, _ = credentials.partition("@")
    assert ask(f"postgresql://{credentials}@/postgres?host={socket}&port={cluster.port}").by_socket
    assert ask(f"postgresql://{credentials}@{socket}:{cluster.port}/postgres").by_socket


@each_driver
def test_by_ipv6(ask: Ask, cluster: Cluster) -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    assert not ask(cluster.url(host="[::1]")).by_socket


@each_driver
def test_of_several_hosts_one_that_answers(ask: Ask, cluster: Cluster) -> None:
    dead = free_port()
    both = f"127.0.0.1:{dead},127.0.0.1:{cluster.port}"
    url = cluster.url().replace(f"127.0.0.1:{cluster.port}", both)
    assert ask(f"{url}?target_session_attrs=read-write").port == cluster.port
    by_query = cluster.url().replace(f"127.0.0.1:{cluster.port}", "")
    assert ask(f"{by_query}?host=127.0.0.1,127.0.0.1&port={dead},{cluster.port}").port == cluster.port


@each_driver
def test_one_port_counts_for_several_hosts(ask: Ask, cluster: Cluster) -> None:
    url = cluster.url().replace(f"127.0.0.1:{cluster.port}", "127.0.0.1,localhost")
    assert ask(f"{url}?port={cluster.port}").port == cluster.port


@each_driver
@pytest.mark.parametrize("query", ["sslmode=disable", "sslmode=prefer", "channel_binding=prefer", "gssencmode=disable"])
def test_what_managed_services_write(ask: Ask, cluster: Cluster, query: str) -> None:
    assert ask(f"{cluster.url()}?{query}").port == cluster.port


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sslmod=require", "'sslmod' is not supported"),
        ("ssl=require", "use sslmode"),
        ("pgbouncer=true", "prepared_statement_cache_size=0"),
        ("search_path=mine", "options"),
        ("load_balance_hosts=random", "'load_balance_hosts'"),
        ("replication=database", "'replication'"),
        ("sslmode=yes", "sslmode must be disable, allow, prefer"),
        ("sslmode=", "sslmode must be"),
        ("connect_timeout=soon", "connect_timeout must be a number"),
        ("target_session_attrs=primry", "target_session_attrs must be any, read-write"),
        ("channel_binding=always", "channel_binding must be"),
        ("prepared_statement_cache_size=-1", "prepared_statement_cache_size must be a number"),
        ("sslrootcert=/no/such/file.pem", "sslrootcert: there is no file '/no/such/file.pem'"),
        ("sslcert=/no/such/file.pem", "sslcert: there is no file"),
        ("client_encoding=latin1", "client_encoding must be"),
        ("port=54x2", "port must be numbers"),
    ],
)
@pytest.mark.parametrize("setting", [StoreSettings, MigrationSettings])
def test_what_cannot_be_kept_is_refused_at_the_start_by_name(
    setting: type[StoreSettings | MigrationSettings], query: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "MIGRATIONS_DATABASE_URL"):
        monkeypatch.setenv(name, f"postgresql://user:se-cret@host/database?{query}")
    with pytest.raises(ValidationError) as refused:
        setting()
    assert said in str(refused.value)
    assert "database_url" in str(refused.value)
    assert "se-cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:se-cret@host/database",
        "host=h password=se-cret",
        "postgresql://user:se-%zzcret@host/database",
        "postgresql://user:se-cret@host:54x2/database",
        "postgresql://user:12/se-cret@host/database",
        "postgresql://user:12@se-cret@host/database",
        "",
    ],
)
def test_what_is_no_url_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(UnusableUrl) as refused:
        address.parse(url)
    assert "se-cret" not in str(refused.value)
