"""Short transactions, repeated when the database says that they collided."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError  # noqa: A004 - the pool's

T = TypeVar("T")

#: InnoDB's deadlock and lock wait timeout; PostgreSQL's serialization failure and deadlock.
_MYSQL_COLLISIONS = {1213, 1205}
_PG_COLLISIONS = {"40001", "40P01"}

#: A collision ends one of two transactions at once, so the next try meets an open road.
TRIES = 5


@contextlib.contextmanager
def autocommit(engine: Engine) -> Iterator[Connection]:
    """PostgreSQL: each statement is its own transaction, at half the round trips."""
    with _connected(engine.execution_options(isolation_level="AUTOCOMMIT")) as connection:
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
    with _connected(engine.execution_options(**mode)) as connection:
        yield connection


def in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run `work` in one transaction; repeat it whole after a deadlock.

    Raises:
        DBAPIError: any other trouble, or collision after collision.
    """

    def once() -> T:
        with _connected(engine) as connection, connection.begin():
            return work(connection)

    return repeated(once)


def repeated(work: Callable[[], T]) -> T:
    """Run `work`, a whole transaction, and run it again after a deadlock."""
    for _ in range(TRIES - 1):
        try:
            return work()
        except DBAPIError as error:
            if not is_collision(error):
                raise
    return work()


@contextlib.contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    """A pool that is empty for so long is a database that hangs, and no other trouble to anyone."""
    try:
        connection = engine.connect()
    except TimeoutError as error:
        raise OperationalError("connect", None, error) from error
    with connection:
        yield connection


def is_collision(error: DBAPIError) -> bool:
    """Whether the database rolled us back only because somebody was in the way."""
    original = error.orig
    if getattr(original, "sqlstate", None) in _PG_COLLISIONS:
        return True
    arguments: tuple[Any, ...] = getattr(original, "args", ())
    return bool(arguments) and arguments[0] in _MYSQL_COLLISIONS
