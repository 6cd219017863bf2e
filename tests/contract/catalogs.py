"""What a database says of its schema, in full: two schemas are one if their catalogs are equal."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, text

from outhaul.outbox.schema import VERSION_TABLE

_Catalog = dict[str, Any]

_SQLITE = (
    "SELECT type || ' ' || name, sql FROM sqlite_master"
    " WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
)

#: One row per thing that has a definition; what a row says is all that the server knows of it.
_POSTGRESQL = """
SELECT 'table ' || relname, array_to_string(reloptions, ' ') FROM pg_class
 WHERE relnamespace = quote_ident(current_schema)::regnamespace AND relkind = 'r'
UNION ALL
SELECT 'column ' || attrelid::regclass || '.' || attname,
       concat_ws(' ', attnum, format_type(atttypid, atttypmod), attcollation::regcollation,
                 attnotnull, attidentity, pg_get_expr(adbin, adrelid))
  FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r'
                     AND relnamespace = quote_ident(current_schema)::regnamespace)
   AND attnum > 0
UNION ALL
SELECT 'constraint ' || conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = quote_ident(current_schema)::regnamespace
UNION ALL
SELECT 'index ' || indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema
UNION ALL
SELECT 'view ' || viewname, definition FROM pg_views WHERE schemaname = current_schema
UNION ALL
SELECT 'trigger ' || tgname, pg_get_triggerdef(oid) FROM pg_trigger
UNION ALL
SELECT 'function ' || proname, prosrc FROM pg_proc
 WHERE pronamespace = quote_ident(current_schema)::regnamespace
UNION ALL
SELECT 'sequence ' || sequencename, sequences::text FROM pg_sequences AS sequences
 WHERE schemaname = current_schema
"""


def catalog(engine: Engine) -> _Catalog:
    """Everything in the database's first schema, but for our version table: name to definition."""
    read = {"sqlite": _sqlite, "postgresql": _postgresql}.get(engine.dialect.name, _mysql)
    with engine.connect() as connection:
        everything = read(connection)
    return {name: what for name, what in everything.items() if VERSION_TABLE not in name}


def _sqlite(connection: Connection) -> _Catalog:
    found = connection.exec_driver_sql(_SQLITE)
    # Statements printed for other clients are indented by spaces instead of tabs.
    return {name: " ".join(sql.split()) for name, sql in found}


def _postgresql(connection: Connection) -> _Catalog:
    return {str(row[0]): row[1] for row in connection.exec_driver_sql(_POSTGRESQL)}


def _mysql(connection: Connection) -> _Catalog:
    database = connection.execute(text("SELECT DATABASE()")).scalar_one()
    tables = list(connection.execute(text("SHOW FULL TABLES")))
    shown = {
        f"{kind} {name}": connection.exec_driver_sql(f"SHOW CREATE TABLE `{name}`").one()[1]
        for name, kind in tables
    }
    triggers = connection.exec_driver_sql("SHOW TRIGGERS").all()
    return {name: sql.replace(database, "") for name, sql in shown.items()} | {
        f"trigger {row[0]}": tuple(row) for row in triggers
    }
