"""Reads DATABASE_URL for both drivers: libpq, on which psycopg2 stands, and asyncpg each get what they understand.

libpq's own parser takes the URL apart, so escapes, several hosts, IPv6 and sockets are read as everywhere else.
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import psycopg2  # type: ignore[import-untyped]
import structlog
from psycopg2.extensions import make_dsn, parse_dsn  # type: ignore[import-untyped]
from sqlalchemy.exc import ArgumentError

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT = 5  # seconds; a host that drops packets must not hold a start-up for minutes

STATEMENT_CACHE = "prepared_statement_cache_size"
"""The one parameter that is not libpq's: how many prepared statements the handler keeps on a connection."""

CORE = {"host", "port", "dbname", "user", "password"}

LIKE_LIBPQ, AS_SETTING, NOT_AT_ALL = "like libpq", "as a setting of the session", "not at all"
_TLS = "TLSv1|TLSv1.1|TLSv1.2|TLSv1.3"

PARAMETERS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("user", "password", "dbname", "host", "passfile", "krbsrvname"), ("", LIKE_LIBPQ)),
    "port": ("[0-9]*(,[0-9]*)*", LIKE_LIBPQ),
    "sslmode": ("disable|allow|prefer|require|verify-ca|verify-full", LIKE_LIBPQ),
    **dict.fromkeys(("sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword"), ("", LIKE_LIBPQ)),
    **dict.fromkeys(("ssl_min_protocol_version", "ssl_max_protocol_version"), (_TLS, LIKE_LIBPQ)),
    "sslnegotiation": ("postgres|direct", LIKE_LIBPQ),
    "target_session_attrs": ("any|read-write|read-only|primary|standby|prefer-standby", LIKE_LIBPQ),
    "application_name": ("", AS_SETTING),
    "options": ("", AS_SETTING),
    "connect_timeout": ("[0-9]+", LIKE_LIBPQ),
    STATEMENT_CACHE: ("[0-9]+", LIKE_LIBPQ),
    "channel_binding": ("disable|prefer|require", NOT_AT_ALL),
    "gssencmode": ("disable|prefer", NOT_AT_ALL),
    "client_encoding": ("(?i:utf-?8|auto)", NOT_AT_ALL),
    **dict.fromkeys(("sslsni", "sslcompression", "keepalives"), ("0|1", NOT_AT_ALL)),
    **dict.fromkeys(("keepalives_idle", "keepalives_interval", "keepalives_count"), ("[0-9]+", NOT_AT_ALL)),
    "tcp_user_timeout": ("[0-9]+", NOT_AT_ALL),
}
"""By name: what values it may have (a pattern; "": any), and how asyncpg, which has fewer than libpq, is told."""

INSTEAD = {
    "ssl": "use sslmode, for example sslmode=require",
    "pgbouncer": f"use {STATEMENT_CACHE}=0",
    "statement_cache_size": f"use {STATEMENT_CACHE}",
    "search_path": "use options=-c%20search_path%3D…",
    "schema": "use options=-c%20search_path%3D…",
    "timeout": "use connect_timeout",
    "command_timeout": "use the setting DATABASE_TIMEOUT_SECONDS",
}

FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")

LIKE_THIS = "postgresql://user:password@host:port/database"
UNESCAPED = (
    f"it must be like {LIKE_THIS}; in a password write % as %25, @ as %40, / as %2F, : as %3A, ? as %3F, # as %23"
)


class UnusableUrl(ArgumentError, ValueError):
    """DATABASE_URL cannot be used; the message says which part of it, and quotes no password."""


@dataclass(frozen=True)
class Address:
    """Where PostgreSQL is."""

    parameters: Mapping[str, str]
    """In libpq's words."""
    statement_cache: int | None
    """Prepared statements that a connection keeps; None: not said; 0: a pooler may move each transaction elsewhere."""

    @property
    def behind_pooler(self) -> bool:
        return self.statement_cache == 0

    @property
    def user(self) -> str | None:
        return self.parameters.get("user")

    @property
    def password(self) -> str | None:
        return self.parameters.get("password")

    @property
    def without_password(self) -> str:
        """What psql takes for its database; it finds the password in PGPASSWORD."""
        dsn: str = make_dsn(**{name: value for name, value in self.parameters.items() if name != "password"})
        return dsn

    @cached_property
    def for_psycopg2(self) -> dict[str, str]:
        return dict(self.parameters)

    @cached_property
    def for_asyncpg(self) -> dict[str, Any]:
        """Return the arguments of asyncpg's connect; of what asyncpg does not know it gets nothing."""
        given = self.parameters
        hosts, ports = given.get("host", "").split(","), given.get("port", "").split(",")
        if len(ports) == 1:
            ports *= len(hosts)
        arguments: dict[str, Any] = {
            "user": given.get("user"),
            "password": given.get("password"),
            "database": given.get("dbname"),
            "timeout": int(given.get("connect_timeout", CONNECT_TIMEOUT)) or None,
            "server_settings": {
                name: given[name] for name, (_, how) in PARAMETERS.items() if how == AS_SETTING and name in given
            },
        }
        if given.get("host"):
            arguments |= {"host": hosts, "port": [int(port or 5432) for port in ports]}
        tls = {n: v for n, v in given.items() if PARAMETERS[n][1] == LIKE_LIBPQ and n not in CORE | {"connect_timeout"}}
        if tls.get("sslrootcert") == "system":
            arguments["ssl"] = _trusting_the_system(tls)
            tls = {name: value for name, value in tls.items() if not name.startswith("ssl")}
        if tls:
            arguments["dsn"] = f"postgresql://?{urlencode(tls, quote_via=quote)}"
        if self.statement_cache is not None:
            arguments["statement_cache_size"] = arguments[STATEMENT_CACHE] = self.statement_cache
        if self.behind_pooler:
            # A name would mean another statement, or none, on the connection that the pooler chooses next.
            arguments["prepared_statement_name_func"] = str
        return arguments


def parse(url: str) -> Address:
    """Take a URL apart. Raises UnusableUrl."""
    address, _, query = url.partition("?")
    address, schemes = re.subn(r"^postgres(ql)?(\+[a-z0-9_]+)?://", "postgresql://", address)
    if not schemes:
        raise UnusableUrl(f"it must be like {LIKE_THIS}")
    authority, _, path = address.removeprefix("postgresql://").partition("/")
    given = parse_qsl(query, keep_blank_values=True)
    for name, value in given:
        _check(name, value)
    libpqs = [(name, value) for name, value in given if name != STATEMENT_CACHE]
    try:
        parameters = parse_dsn(f"{address}?{urlencode(libpqs, quote_via=quote)}")
    except psycopg2.ProgrammingError:  # its message may quote a part of the password
        raise UnusableUrl(UNESCAPED) from None
    if authority.count("@") > 1 or "@" in path:
        raise UnusableUrl(UNESCAPED)
    for name, value in parameters.items():
        _check(name, value)
    cache = dict(given).get(STATEMENT_CACHE)
    return Address(parameters, None if cache is None else int(cache))


def usable(url: str) -> str:
    """Return the URL when programs can start with it. Raises UnusableUrl."""
    address = parse(url)
    for name in FILES:
        file = address.parameters.get(name)
        if file and file != "system" and not Path(file).is_file():
            raise UnusableUrl(f"{name}: there is no file {file!r} that this program can read")
    parameters = address.parameters
    if parameters.get("channel_binding") == "require" and parameters.get("sslmode") != "verify-full":
        log.warning(
            "channel_binding_not_everywhere",
            meaning="the handler's driver has no channel binding: use sslmode=verify-full with it",
        )
    return url


def _check(name: str, value: str) -> None:
    if name not in PARAMETERS:
        remedy = INSTEAD.get(name, f"remove it; supported are {', '.join(sorted(PARAMETERS.keys() - CORE))}")
        raise UnusableUrl(f"the parameter {name!r} is not supported: {remedy}")
    pattern, _ = PARAMETERS[name]
    if pattern and not re.fullmatch(pattern, value):
        expected = "numbers" if name == "port" else "a number" if "[0-9]" in pattern else pattern.replace("|", ", ")
        raise UnusableUrl(f"{name} must be {expected}")


def _trusting_the_system(tls: Mapping[str, str]) -> ssl.SSLContext:
    """Do for asyncpg what libpq does itself with sslrootcert=system: demand a certificate of a public authority."""
    context = ssl.create_default_context()
    if "sslcert" in tls:
        context.load_cert_chain(tls["sslcert"], tls.get("sslkey"), tls.get("sslpassword"))
    return context
