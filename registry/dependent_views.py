"""Takes the views off a table that is to change, and makes them again as they were.

PostgreSQL changes the type of no column that a view shows. A view comes back with its owner, options, comments and
grants. Those of the platform are made of the new schema, and get back their grants.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import DBAPIError

from registry.administration import RegistryRefused
from store import outage

_FOUND = text("""
WITH RECURSIVE shown (relation, depth) AS (
    SELECT to_regclass(quote_ident(:table))::oid, 0
    UNION
    SELECT r.ev_class, depth + 1
    FROM shown
        JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = shown.relation
        JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    WHERE r.ev_class <> shown.relation
)
SELECT c.oid, c.oid::regclass::text AS name, pg_get_userbyid(c.relowner) AS owner,
    pg_has_role(c.relowner, 'USAGE') AS ours, c.relkind = 'v' AS plain,
    EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid)
        OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid AND rulename <> '_RETURN') AS acts
FROM (SELECT relation, max(depth) AS depth FROM shown WHERE depth > 0 GROUP BY relation) AS found
    JOIN pg_class AS c ON c.oid = found.relation
ORDER BY depth, name
""")

_MADE = text("""
SELECT step, statement FROM (
    SELECT 1 AS step, 0 AS place, format('CREATE VIEW %s%s AS %s', c.oid::regclass,
        coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', ''), pg_get_viewdef(c.oid)) AS statement
    FROM pg_class AS c WHERE c.oid = :view
    UNION ALL
    SELECT 2, objsubid, CASE objsubid WHEN 0
        THEN format('COMMENT ON VIEW %s IS %L', objoid::regclass, description)
        ELSE format('COMMENT ON COLUMN %s.%I IS %L', objoid::regclass, attname, description) END
    FROM pg_description LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid AND objsubid > 0
    WHERE classoid = 'pg_class'::regclass AND objoid = :view
    UNION ALL
    SELECT 3, 0, format('ALTER VIEW %s OWNER TO %I', oid::regclass, pg_get_userbyid(relowner))
    FROM pg_class WHERE oid = :view AND pg_get_userbyid(relowner) <> current_user
    UNION ALL
    SELECT 4, 0, format('GRANT %s ON %s TO %s%s', privilege_type, c.oid::regclass,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_class AS c, aclexplode(c.relacl) WHERE c.oid = :view
    UNION ALL
    SELECT 5, attnum, format('GRANT %s (%I) ON %s TO %s%s', privilege_type, attname, attrelid::regclass,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_attribute, aclexplode(attacl) WHERE attrelid = :view
) AS made ORDER BY step, place
""")


_DESCRIBED = 3
"""The first step that is taken again of a view which the platform has made: owner, then grants."""


class _View(NamedTuple):
    name: str
    steps: Sequence[Row[Any]]


def check(connection: Connection, table: str) -> None:
    """Raise RegistryRefused where something shows the table that could not be made again as it was."""
    for row in connection.execute(_FOUND, {"table": table}):
        if not row.plain:
            raise RegistryRefused(f"the materialized view {row.name} shows {table}: drop it first, and make it again")
        if row.acts:
            raise RegistryRefused(f"the view {row.name} shows {table} and has triggers or rules: drop it first")
        if not row.ours:
            raise RegistryRefused(
                f"the view {row.name} shows {table} and belongs to {row.owner}: let its owner drop it"
            )


@contextmanager
def taken_off(connection: Connection, table: str) -> Iterator[None]:
    """Drop every view that shows the table, and after the block make those again that are not there.

    Raises RegistryRefused.
    """
    check(connection, table)
    found = connection.execute(_FOUND, {"table": table}).all()
    views = [_View(row.name, connection.execute(_MADE, {"view": row.oid}).all()) for row in found]
    for view in reversed(views):
        connection.execute(text(f"DROP VIEW {view.name}"))
    yield
    for view in views:
        _make(connection, view)


def _make(connection: Connection, view: _View) -> None:
    is_there = connection.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": view.name})
    try:
        for step in view.steps:
            if not is_there or step.step >= _DESCRIBED:
                connection.execute(text(step.statement.replace(":", r"\:")))
    except DBAPIError as error:
        if outage.reason(error) is not None:
            raise
        words = str(error.orig).partition("\n")[0]
        raise RegistryRefused(
            f"the view {view.name} does not work with the new type ({words}): drop it first"
        ) from error
