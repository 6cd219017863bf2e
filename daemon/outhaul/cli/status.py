"""`outhaul status`: the outbox at a glance."""

from __future__ import annotations

from typing import Any

import click

from outhaul.cli.reply import Reply, Table, replies


@click.command()
@replies
def status() -> Reply:
    """Show how much waits and since when, and which store got what."""
    from outhaul.app import outbox_database  # noqa: PLC0415 - the database costs half a second
    from outhaul.config import load  # noqa: PLC0415
    from outhaul.outbox.status import overview  # noqa: PLC0415

    with outbox_database(load().settings) as engine:
        found = overview(engine)
    workers = _workers(found) if found["daemons"] else "no daemon runs; start one: outhaul run"
    return Reply(found, [*_summary(found), workers])


def _summary(found: dict[str, Any]) -> list[str | Table]:
    total = sum(found["stored"].values())
    backlog = f"{found['due']} due, the oldest for {found['oldest_due_seconds']:g} s"
    return [
        Table(tuple(found["jobs"]), [tuple(found["jobs"].values())]),
        f"backlog: {backlog}; {found['waiting_for_retry']} wait for a later time",
        f"expired leases: {found['expired_leases']}",
        Table(
            ("store", "jobs", "share"),
            [(store, n, f"{n / total:.1%}") for store, n in sorted(found["stored"].items())],
        ),
    ]


def _workers(found: dict[str, Any]) -> Table:
    columns = ("worker", "version", "queues", "slots", "in_flight", "last_seen_at")
    return Table(columns, [[row[column] for column in columns] for row in found["daemons"]])
