"""What a claim costs beside a long history and a long queue: nothing more than without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from outhaul.outbox import Outbox
from tests.contract.outboxes import MigratedOutbox, statements

#: The paths by which each question may reach a row: none leads past finished ones.
OPERATIONS: dict[str, tuple[Callable[[Outbox], Any], set[str]]] = {
    "claim": (lambda daemon: daemon.claim(5), {"ix_upload_outbox_due"}),
    "claim_suspect": (
        lambda daemon: daemon.claim_suspect(),
        {"ix_upload_outbox_due", "ix_upload_outbox_suspect"},
    ),
    "suspects_due": (
        lambda daemon: daemon.suspects_due(),
        {"ix_upload_outbox_due", "ix_upload_outbox_suspect"},
    ),
    "rescue": (
        lambda daemon: daemon.rescue(),
        {"ix_upload_outbox_running", "ix_upload_outbox_due"},
    ),
}

_BY_ID = {"pk_upload_outbox", "PRIMARY", "INTEGER PRIMARY KEY"}

_ANALYZE = {"postgresql": "ANALYZE", "sqlite": "ANALYZE", "mysql": "ANALYZE TABLE upload_outbox"}

#: Rows that a question about five jobs may look at: far fewer than there are of any other kind.
_FEW = 200

#: Of SQLite's virtual machine, taken for the price of one row: a claim takes some 1,500 in all,
#: and to step over one waiting row takes five or more.
_STEPS_PER_ROW = 20


@pytest.fixture
def busy_outbox(outbox: MigratedOutbox) -> MigratedOutbox:
    """20,000 jobs done, 5,000 of the best priority waiting for later, 20 due, 5 running."""
    outbox.insert_many(20_000, status="done")
    outbox.insert_many(5_000, priority=0, next_retry_at="2126-01-01 00:00:00")
    outbox.insert_many(20)
    outbox.insert_many(5, crash_count=1)
    outbox.insert_many(5, status="running", claimed_by="b", lease_expires_at="2026-01-01 00:00:00")
    with outbox.engine.connect() as connection:
        connection.execute(text(_ANALYZE[outbox.dialect]))
        connection.commit()
    return outbox


def test_finished_rows_are_not_touched(busy_outbox: MigratedOutbox) -> None:
    """Every statement reaches rows by an index of unfinished ones, or by their ids."""

    explain = {"postgresql": _postgresql, "sqlite": _sqlite}.get(busy_outbox.dialect, _mariadb)
    for name, (ask, indexes) in OPERATIONS.items():
        with statements(busy_outbox.engine) as sent:
            ask(busy_outbox.daemon())

        used = {path for asked in sent for path in explain(busy_outbox, *asked)}
        assert used <= indexes | _BY_ID, name
        assert used & indexes, name


def test_waiting_rows_are_not_touched(busy_outbox: MigratedOutbox) -> None:
    """By the server's own count few rows are read, though thousands of a better priority wait."""

    count = {"postgresql": _rows_read_postgresql, "sqlite": _rows_read_sqlite}
    rows_read = count.get(busy_outbox.dialect, _rows_read_mariadb)

    for name, (ask, _) in OPERATIONS.items():
        assert rows_read(busy_outbox, ask) < _FEW, name


def _explained(outbox: MigratedOutbox, question: str, values: Any) -> list[Any]:
    """The answer to an EXPLAIN, undone: some of them do what they explain."""
    if not isinstance(values, dict | tuple):
        return []
    with outbox.engine.connect() as connection:
        answer = list(connection.exec_driver_sql(question, values))
        connection.rollback()
        return answer


def _sqlite(outbox: MigratedOutbox, statement: str, values: Any) -> Iterator[str]:
    if statement.startswith("BEGIN"):
        return
    for *_, step in _explained(outbox, f"EXPLAIN QUERY PLAN {statement}", values):
        if " upload_outbox" in step:
            yield (
                step.partition(" USING ")[2]
                .removeprefix("COVERING ")
                .removeprefix("INDEX ")
                .partition(" (")[0]
            )


def _mariadb(outbox: MigratedOutbox, statement: str, values: Any) -> Iterator[str]:
    for row in _explained(outbox, f"EXPLAIN {statement}", values):
        if row[2] == "upload_outbox":
            yield str(row[5])


def _postgresql(outbox: MigratedOutbox, statement: str, values: Any) -> Iterator[str]:
    for (answer,) in _explained(outbox, f"EXPLAIN (FORMAT JSON) {statement}", values):
        for node in _nodes(answer[0]["Plan"]):
            if node.get("Relation Name") == "upload_outbox" and "Scan" in node["Node Type"]:
                yield node.get("Index Name", node["Node Type"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _rows_read_postgresql(outbox: MigratedOutbox, ask: Callable[[Outbox], Any]) -> int:
    with statements(outbox.engine) as sent:
        ask(outbox.daemon())
    total = 0
    for statement, values in sent:
        question = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
        for (answer,) in _explained(outbox, question, values):
            for node in _nodes(answer[0]["Plan"]):
                rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
                total += int(rows * node["Actual Loops"])
            assert answer[0]["Plan"]["Shared Hit Blocks"] < 2 * _FEW
            assert answer[0]["Plan"]["Shared Read Blocks"] < _FEW
    return total


def _rows_read_mariadb(outbox: MigratedOutbox, ask: Callable[[Outbox], Any]) -> int:
    def counter() -> int:
        found = outbox.query("SHOW GLOBAL STATUS LIKE 'Handler_read%'")
        return sum(int(row["Value"]) for row in found)

    before = counter()
    ask(outbox.daemon())
    return counter() - before


def _rows_read_sqlite(outbox: MigratedOutbox, ask: Callable[[Outbox], Any]) -> int:
    """SQLite counts no rows, but the steps of its virtual machine."""
    ticks: list[None] = []
    with outbox.engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
    raw.set_progress_handler(lambda: ticks.append(None), _STEPS_PER_ROW)
    ask(outbox.daemon())
    raw.set_progress_handler(None, 0)
    return len(ticks)
