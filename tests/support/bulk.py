"""Many files and their rows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.deployment import Deployment

#: What both clients and servers take in one statement without a thought.
_BATCH = 500


def insert_files(deployment: Deployment, priorities: Mapping[str, int]) -> list[int]:
    """Insert a row for a new file of each name, in one transaction.

    Args:
        deployment: where.
        priorities: name to priority, in the order of insertion. The content is the name.

    Returns:
        The ids, in the same order.
    """
    rows: list[dict[str, Any]] = [
        {
            "key": deployment.key(name),
            "path": str(deployment.file(name, name.encode())),
            "priority": priority,
        }
        for name, priority in priorities.items()
    ]
    insert = text(
        "INSERT INTO upload_outbox (storage_key, source_path, priority)"
        " VALUES (:key, :path, :priority)"
    )
    with deployment.engine.begin() as connection:
        for start in range(0, len(rows), _BATCH):
            connection.execute(insert, rows[start : start + _BATCH])
    found = deployment.query("SELECT id, storage_key FROM upload_outbox")
    ids = {row["storage_key"]: int(row["id"]) for row in found}
    return [ids[row["key"]] for row in rows]
