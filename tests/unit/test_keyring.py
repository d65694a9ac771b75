"""How the handler decides whose key it was given, without a database."""

import hmac
import time

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from handler.auth.authentication import Keyring
from handler.auth.caller import Caller
from store import keys
from store.keys import ApiKey, Role

ID, OTHER = "0" * 16, "1" * 16
KEY = f"mr_{ID}_{'a' * 64}"


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """Every comparison that took the same time whatever was compared."""
    seen: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def record(one: bytes, other: bytes) -> bool:
        seen.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", record)
    return seen


@pytest.fixture
def keyring() -> Keyring:
    made = Keyring(create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/nothing"))
    made._keys = {ID: ApiKey(ID, "shop", Role.READ, keys.digest(KEY))}
    made._read_at = time.monotonic() + 3600
    return made


async def test_a_secret_is_compared_in_constant_time(keyring: Keyring, compared: list[tuple[bytes, bytes]]) -> None:
    assert await keyring.caller(KEY) == Caller("shop", Role.READ)
    assert await keyring.caller(KEY[:-1] + "b") is None
    assert [other for _, other in compared] == [keys.digest(KEY)] * 2


async def test_an_unknown_id_is_compared_as_well(keyring: Keyring, compared: list[tuple[bytes, bytes]]) -> None:
    assert await keyring.caller(KEY.replace(ID, OTHER)) is None
    assert len(compared) == 1


@pytest.mark.parametrize("word", ["", "mr_", ID, KEY + "\n", KEY.upper(), f"mr_{ID}_{'é' * 64}", "x" * 100_000])
async def test_what_is_not_like_a_key_is_not_looked_up(
    keyring: Keyring, compared: list[tuple[bytes, bytes]], word: str
) -> None:
    keyring._read_at = float("-inf")
    assert await keyring.caller(word) is None
    assert compared == []


async def test_what_was_read_too_long_ago_is_good_for_nothing(keyring: Keyring) -> None:
    keyring._read_at = time.monotonic() - 11
    with pytest.raises(OSError, match="Connect"):
        await keyring.caller(KEY)


def test_a_keys_hash_is_not_shown() -> None:
    assert "hash" not in repr(ApiKey(ID, "shop", Role.READ, keys.digest(KEY)))
