"""Insert a job: what the command line does, and no more than any SQL client can do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, insert

from outhaul.outbox.tables import outbox
from outhaul.outbox.transaction import in_transaction


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
    """
    values: dict[str, Any] = {name: value for name, value in columns.items() if value is not None}
    if metadata:
        postgresql = engine.dialect.name == "postgresql"
        values["metadata"] = dict(metadata) if postgresql else json.dumps(dict(metadata))
    values |= {"storage_key": storage_key, "source_path": source_path, "payload": payload}

    def add(connection: Connection) -> int:
        key = connection.execute(insert(outbox).values(**values)).inserted_primary_key
        return int(key[0]) if key else 0

    return in_transaction(engine, add)
