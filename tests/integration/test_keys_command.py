"""`millrace keys` against a real database."""

import re

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text

from cli.keys import keys as command
from store import keys
from tests.running import free_port


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)


def millrace_keys(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_a_new_key_is_all_of_standard_output() -> None:
    done = millrace_keys("create", "moderation")
    assert done.exit_code == 0, done.output
    assert re.fullmatch(r"mr_[0-9a-f]{16}_[0-9a-f]{64}\n", done.stdout)
    assert "moderation" in done.stderr
    assert done.stdout.strip() not in done.stderr


def test_what_is_stored_is_no_key(engine: Engine) -> None:
    made = [millrace_keys("create", "moderation").stdout.strip() for _ in range(2)]
    assert made[0] != made[1]
    with engine.connect() as connection:
        stored = str(connection.execute(text("SELECT id, client, encode(hash, 'hex') AS hash FROM api_keys")).all())
    for key in made:
        assert str(keys.id_in(key)) in stored
        assert keys.digest(key).hex() in stored
        assert key[-64:] not in stored


def test_keys_are_listed_without_their_secrets(engine: Engine) -> None:
    first = millrace_keys("create", "shop", "--role", "read").stdout.strip()
    second = millrace_keys("create", "moderation").stdout.strip()
    millrace_keys("revoke", keys.id_in(first) or "")
    done = millrace_keys("list")
    head, moderation, shop = done.stdout.splitlines()
    assert head.split("  ")[0] == "id"
    assert re.fullmatch(rf"{keys.id_in(second)}  moderation  submit  \d{{4}}-\d\d-\d\d \d\d:\d\d  -\s+-", moderation)
    assert re.fullmatch(
        rf"{keys.id_in(first)}  shop        read    \S+ \S+  -          \d{{4}}-\d\d-\d\d \d\d:\d\d", shop
    )
    assert "2 keys" in done.stderr
    for secret in (first[-64:], second[-64:], keys.digest(first).hex()):
        assert secret not in done.output


@pytest.mark.parametrize("named_by", [keys.id_in, str])
def test_a_key_is_revoked_by_its_id_or_by_itself(engine: Engine, named_by: object) -> None:
    key = millrace_keys("create", "shop").stdout.strip()
    name = named_by(key)  # type: ignore[operator]
    done = millrace_keys("revoke", name)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "shop" in done.stderr
    again = millrace_keys("revoke", name)
    assert again.exit_code == 1
    assert "no key with this id" in again.output


@pytest.mark.parametrize("client", ["", " ", "a b", "-x", "x" * 65, "naïve", "a\nb", "\x1b[2J"])
def test_a_client_has_a_name_that_can_be_printed(client: str) -> None:
    done = millrace_keys("create", "--", client)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "1 to 64 letters" in done.stderr


def test_a_role_that_does_not_exist_is_refused_with_those_that_do(engine: Engine) -> None:
    done = millrace_keys("create", "shop", "--role", "owner")
    assert (done.exit_code, done.stdout) == (2, "")
    assert all(role in done.stderr for role in keys.Role)
    with engine.connect() as connection:
        assert keys.page(connection) == []


def test_an_unreachable_database_is_one_line_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:hush-hush@127.0.0.1:{free_port()}/d")
    done = millrace_keys("create", "shop")
    assert done.exit_code == 1
    assert done.output.startswith("millrace keys: ")
    assert done.output.count("\n") == 1
    assert "hush" not in done.output
