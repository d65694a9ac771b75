"""A PostgreSQL that speaks TLS, as managed services do: what DATABASE_URL demands of it holds for both drivers."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from tests.clusters import PASSWORD, Cluster, with_tls
from tests.databases import Ask, by_psycopg2, each_driver
from tests.running import temporary_open_folder


@dataclass(frozen=True)
class Secured:
    port: int
    folder: Path

    def url(self, query: str, host: str = "localhost") -> str:
        query = query.replace("FOLDER", quote(str(self.folder), safe=""))
        return f"postgresql://super:{PASSWORD}@{host}:{self.port}/postgres?{query}"


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    programs = with_tls()
    with temporary_open_folder() as folder:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        trustme.CA().cert_pem.write_to_path(str(folder / "other.pem"))
        client = authority.issue_cert("super@example.com", common_name="super")
        client.private_key_pem.write_to_path(str(folder / "client.key"))
        (folder / "client.key").chmod(0o600)
        client.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
        certificate = authority.issue_cert("localhost")  # not for 127.0.0.1
        cluster = Cluster(folder / "server", programs, {"ssl": "on", "ssl_ca_file": "ca.pem"})
        cluster.create()
        certificate.private_key_pem.write_to_path(str(cluster.data / "server.key"))
        certificate.cert_chain_pems[0].write_to_path(str(cluster.data / "server.crt"))
        authority.cert_pem.write_to_path(str(cluster.data / "ca.pem"))
        for name in ("server.key", "server.crt", "ca.pem"):
            if cluster.account.uid is not None:
                shutil.chown(cluster.data / name, cluster.account.uid, cluster.account.gid)
            (cluster.data / name).chmod(0o600)
        cluster.start()
        yield Secured(cluster.port, folder)
        cluster.stop()


@each_driver
@pytest.mark.parametrize(
    "query",
    [
        "sslmode=require",
        "sslmode=require&channel_binding=require",
        "sslmode=require&channel_binding=prefer&application_name=x&options=-c%20statement_timeout%3D5s",
        "sslmode=verify-ca&sslrootcert=FOLDER/ca.pem",
        "sslmode=verify-full&sslrootcert=FOLDER/ca.pem",
        "sslmode=require&ssl_min_protocol_version=TLSv1.3",
        "sslmode=prefer",
        "",
    ],
)
def test_the_connection_is_encrypted(ask: Ask, secured: Secured, query: str) -> None:
    assert ask(secured.url(query)).tls


@each_driver
def test_a_certificate_of_the_clients_is_shown(ask: Ask, secured: Secured) -> None:
    query = "sslmode=verify-full&sslrootcert=FOLDER/ca.pem&sslcert=FOLDER/client.pem&sslkey=FOLDER/client.key"
    assert "CN=super" in str(ask(secured.url(query)).client)


@each_driver
def test_no_tls_where_it_is_disabled(ask: Ask, secured: Secured) -> None:
    assert not ask(secured.url("sslmode=disable")).tls


@each_driver
@pytest.mark.parametrize(
    ("query", "host"),
    [
        ("sslmode=verify-full&sslrootcert=FOLDER/other.pem", "localhost"),
        ("sslmode=verify-ca&sslrootcert=FOLDER/other.pem", "localhost"),
        ("sslmode=verify-full&sslrootcert=FOLDER/ca.pem", "127.0.0.1"),
        ("sslmode=verify-full&sslrootcert=system", "localhost"),
        ("sslmode=require&sslrootcert=FOLDER/other.pem", "localhost"),
    ],
)
def test_a_server_that_cannot_prove_who_it_is_gets_no_password(
    ask: Ask, secured: Secured, query: str, host: str
) -> None:
    with pytest.raises(Exception, match=r"(?i)certificate|SSL"):
        ask(secured.url(query, host))


@each_driver
def test_a_name_in_the_certificate_counts_only_for_verify_full(ask: Ask, secured: Secured) -> None:
    assert ask(secured.url("sslmode=verify-ca&sslrootcert=FOLDER/ca.pem", "127.0.0.1")).tls


def test_channel_binding_is_demanded_where_the_driver_has_it(secured: Secured) -> None:
    with pytest.raises(Exception, match="channel binding"):
        by_psycopg2(secured.url("sslmode=disable&channel_binding=require"))
