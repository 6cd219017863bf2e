"""Insert a job: what the command line does, and no more than any SQL client can do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import IntegrityError

from outhaul.errors import RowError
from outhaul.keys import check_key
from outhaul.outbox.tables import outbox
from outhaul.outbox.transaction import in_transaction, reading


def enqueue(
    engine: Engine,
    storage_key: str,
    *,
    source_path: str | None = None,
    payload: bytes | None = None,
    metadata: Mapping[str, str] | None = None,
    **columns: Any,
) -> int:
    """Insert one upload.

    Args:
        engine: the database.
        storage_key: the key in the store.
        source_path: an absolute path, or None with a payload.
        payload: the bytes themselves.
        metadata: carried to the store.
        columns: any other client column of `upload_outbox`; None leaves the server's default.

    Returns:
        The job's id.

    Raises:
        RowError: `INVALID_KEY`; `DUPLICATE`: the dedupe_key is taken.
    """
    check_key(storage_key)
    values: dict[str, Any] = {name: value for name, value in columns.items() if value is not None}
    if metadata:
        postgresql = engine.dialect.name == "postgresql"
        values["metadata"] = dict(metadata) if postgresql else json.dumps(dict(metadata))
    values |= {"storage_key": storage_key, "source_path": source_path, "payload": payload}

    def add(connection: Connection) -> int:
        key = connection.execute(insert(outbox).values(**values)).inserted_primary_key
        return int(key[0]) if key else 0

    try:
        return in_transaction(engine, add)
    except IntegrityError as error:
        if (taken := _job_with(engine, values.get("dedupe_key"))) is None:
            raise
        raise RowError("DUPLICATE", f"job {taken} has this dedupe_key already") from error


def _job_with(engine: Engine, dedupe_key: str | None) -> int | None:
    if dedupe_key is None:
        return None
    with reading(engine) as connection:
        same = select(outbox.c.id).where(outbox.c.dedupe_key == dedupe_key)
        return connection.execute(same).scalar()
