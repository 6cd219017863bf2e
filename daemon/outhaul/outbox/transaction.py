"""Short transactions, repeated when the database says that they collided."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

#: InnoDB's deadlock and lock wait timeout; PostgreSQL's serialization failure and deadlock.
_MYSQL_COLLISIONS = {1213, 1205}
_PG_COLLISIONS = {"40001", "40P01"}

#: A collision ends one of two transactions at once, so the next try meets an open road.
TRIES = 5


@contextlib.contextmanager
def autocommit(engine: Engine) -> Iterator[Connection]:
    """PostgreSQL: each statement is its own transaction, at half the round trips."""
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        yield connection


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for reads, which takes no lock and leaves no transaction open."""
    # A change of mode would cost MariaDB a round trip each way.
    options: dict[str, dict[str, Any]] = {
        "postgresql": {"isolation_level": "AUTOCOMMIT"},
        "sqlite": {"outhaul_reads": True},
    }
    mode = options.get(engine.dialect.name, {})
    with engine.execution_options(**mode).connect() as connection:
        yield connection


def in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run `work` in one transaction; repeat it whole after a deadlock.

    Raises:
        DBAPIError: any other trouble, or collision after collision.
    """
    for _ in range(TRIES - 1):
        try:
            with engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            if not is_collision(error):
                raise
    with engine.begin() as connection:
        return work(connection)


def is_collision(error: DBAPIError) -> bool:
    """Whether the database rolled us back only because somebody was in the way."""
    original = error.orig
    if getattr(original, "sqlstate", None) in _PG_COLLISIONS:
        return True
    arguments: tuple[Any, ...] = getattr(original, "args", ())
    return bool(arguments) and arguments[0] in _MYSQL_COLLISIONS
