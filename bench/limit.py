"""The server's own limit: outhaul's very statements, driven at PostgreSQL by pgbench.

They are not copied here: they are overheard while outhaul makes one claim and one settle, so
that the limit is always that of the statements in use.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import event

from bench import pgbench, subject
from bench.databases import Ledger
from bench.figures import PeerError, Sample
from outhaul.models import Job

_ROWS = "@rows@"


@dataclass(frozen=True, slots=True)
class Statement:
    """What the driver was given."""

    text: str
    values: Mapping[str, Any]


def overhear(url: str, batch: int) -> tuple[Statement, Statement]:
    """The statements of a claim of `batch` jobs and of their settle; the jobs are gone then."""
    heard: list[Statement] = []

    def listen(_c: object, _cursor: object, text: str, values: Any, *_: object) -> None:
        heard.append(Statement(text, values))

    with subject.opened(url) as (book, engine):
        event.listen(engine, "before_cursor_execute", listen)
        jobs = [job for job in book.claim(batch) if isinstance(job, Job)]
        book.settle([subject.settlement(job) for job in jobs], time.monotonic())
    claims = [statement for statement in heard if "SKIP LOCKED" in statement.text]
    return claims[0], heard[-1]


def cycle(ledger: Ledger, batch: int) -> str:
    """A pgbench script: one claim, and the settle of what it gave."""
    claim, settle = overhear(ledger.url, batch)
    name, rows = _rows(settle)
    settling = Statement(settle.text, {**settle.values, name: _ROWS})
    with psycopg.connect(ledger.dsn) as connection:
        cursor = psycopg.ClientCursor(connection)
        take = cursor.mogrify(claim.text, claim.values)
        put = cursor.mogrify(settling.text, settling.values).replace(f"'{_ROWS}'", ":rows")
    return f"WITH c AS ({take}) SELECT {_document(rows[0])} AS rows FROM c \\gset\n{put};\n"


def _rows(settle: Statement) -> tuple[str, list[dict[str, Any]]]:
    for name, value in settle.values.items():
        if isinstance(value, str) and value.startswith('[{"'):
            return name, json.loads(value)
    raise PeerError("the settle takes no JSON rows any more: limit.py must learn its new form")


def _document(row: Mapping[str, Any]) -> str:
    """SQL that makes the settle's JSON from the rows of a claim, by cheap concatenation."""
    same = {name: value for name, value in row.items() if name not in {"id", "fence"}}
    rest = json.dumps(same)[1:].replace("'", "''")
    return (
        "coalesce('[' || string_agg("
        f"'{{\"id\": ' || id || ', \"fence\": ' || fence || ', {rest}', ',') || ']', '[]')"
    )


def sample(ledger: Ledger, jobs: int, batch: int, clients: int) -> Sample:
    """Settle `jobs` jobs straight; jobs per second."""
    ledger.refill(jobs + 2 * batch)
    script = cycle(ledger, batch)
    turns = jobs // batch // clients
    rate = pgbench.rate(ledger.dsn, script, clients, "-t", str(turns))
    expected = (turns * clients + 1) * batch
    if (done := ledger.count()) != expected:
        raise PeerError(f"{done} jobs are done, not {expected}: the statements do not fit")
    return Sample(rate * batch)
