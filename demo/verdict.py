"""The outcome, and whether it is what was promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from demo import stage
from demo.acts import INLINE, MISSING, TO_LOCAL, TO_OSS, TO_S3
from demo.clouds import Clouds
from demo.outbox import Outbox
from demo.spool import Spool

_OUTCOMES = """\
SELECT id, status, storage_type AS store, storage_key, size_bytes, verified_by,
       s3_attempts AS s3, oss_attempts AS oss, local_attempts AS local, last_error_code
FROM upload_outbox ORDER BY id;"""

_HISTORY = """\
SELECT store, attempt, outcome, error_code, http_status, duration_ms AS ms,
       round(86400 * (julianday(started_at) - julianday(lag(started_at) OVER (ORDER BY fence))), 1)
       AS seconds_later
FROM upload_attempts WHERE job_id = {job_id} ORDER BY fence;"""

#: Four refusals by S3 with the waits between them, then OSS at once. Waits are never shorter.
_FALLEN_BACK = [("s3", 1, 0.0), ("s3", 2, 0.5), ("s3", 3, 1.0), ("s3", 4, 2.0), ("oss", 1, 0.0)]


def show_outcomes(outbox: Outbox) -> None:
    """One row per job; any SQL client can ask this."""
    stage.act("What became of the jobs: plain SQL")
    outbox.show(_OUTCOMES)


def show_a_fallback(outbox: Outbox) -> None:
    """Every attempt of a job of act two."""
    key = next(iter(TO_OSS))
    stage.act(f"Every attempt is on record, such as those of {key}")
    ((job_id,),) = outbox.ask("SELECT id FROM upload_outbox WHERE storage_key = ?", key)
    rows = outbox.show(_HISTORY.format(job_id=job_id))
    kept = len(rows) == len(_FALLEN_BACK) and all(
        (row[0], row[1]) == (store, attempt) and (row[-1] or 0.0) >= wait
        for row, (store, attempt, wait) in zip(rows, _FALLEN_BACK, strict=True)
    )
    stage.promise(kept, f"{key}: four tries on S3 after waits of 0.5, 1 and 2 s, then OSS")


def show_the_missing_file(outbox: Outbox, clouds: Clouds) -> None:
    """A source that is not there fails once: no store can help."""
    key, _ = MISSING
    (found,) = outbox.ask(
        "SELECT status, storage_type, last_error_code,"
        " (SELECT count(*) FROM upload_attempts a WHERE a.job_id = o.id)"
        " FROM upload_outbox o WHERE storage_key = ?",
        key,
    )
    stage.promise(
        found == ("failed", None, "SOURCE_MISSING", 1), f"{key} failed at once, not {found}"
    )
    stage.promise(not clouds.heard_of(key), f"no store was asked about {key}")
    stage.say(f"{key}: failed with SOURCE_MISSING at once. No retry, no fallback, no request.")


def download_all(outbox: Outbox, spool: Spool, clouds: Clouds, local: Path) -> int:
    """Compare what the stores hold with the sources, byte for byte; returns how many there are."""
    stage.act("Download everything, and compare it with its source byte for byte")
    done = "SELECT storage_key, storage_type FROM upload_outbox WHERE status = 'done'"
    found = {row[0]: row[1] for row in outbox.ask(done)}
    expected = list(_expected(spool))
    for key, store, source in expected:
        stage.promise(found.get(key) == store, f"{key} is in {store}, not in {found.get(key)}")
        held = _read(store, key, clouds, local)
        stage.promise(held == source, f"{key} in {store} has the bytes of its source")
        stage.say(f"  equal  {len(held):>10,} bytes  {store:5}  {key}")
    stage.promise(len(found) == len(expected), "no other job is done")
    return len(expected)


def _expected(spool: Spool) -> Iterator[tuple[str, str, bytes]]:
    for store, files in (("s3", TO_S3), ("oss", TO_OSS), ("local", TO_LOCAL)):
        for key, name in files.items():
            yield key, store, spool.path(name).read_bytes()
    yield INLINE[0], "s3", INLINE[1].encode()


def _read(store: str, key: str, clouds: Clouds, local: Path) -> bytes:
    try:
        return (local / key).read_bytes() if store == "local" else clouds.download(store, key)
    except OSError as error:
        raise stage.BrokenPromiseError(f"{key} is in {store}: {error}") from error
