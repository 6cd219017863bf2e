"""Log events: names, fields and sentences are worded here and nowhere else.

One event per job outcome. No secret, signature or raw SDK text gets in: the SDKs' own loggers
print Authorization headers at DEBUG, so they are held at WARNING whatever the level.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog
from sqlalchemy.exc import DBAPIError

from outhaul.errors import OuthaulError, one_line
from outhaul.models import Failure, Status, StoreName
from outhaul.outbox.rescue import Rescued
from outhaul.transitions import Settlement

_SENTENCES = {
    StoreName.S3: "File uploaded to S3: {key}",
    StoreName.OSS: "File uploaded to OSS: {key}",
    StoreName.LOCAL: "File stored locally: {key}",
}

_CLAMPED = (
    "boto3",
    "botocore",
    "s3transfer",
    "urllib3",
    "oss2",
    "apscheduler",
    "alembic",
    "sqlalchemy",
)

#: What a signed URL or header looks like, wherever it turns up: as text, in a repr, in JSON.
_SECRET = re.compile(
    r"(?i)((?:signature|credential|security-token|ossaccesskeyid|authorization)"
    r"(?:\s*[:=]\s*|\\?[\"']\s*:\s*\\?[\"']))"
    r"(?:(?:aws|oss|aws4-hmac-sha256|oss4-hmac-sha256|basic|bearer)\s+)?[^\s&\"'\\,;]+"
)

_log = structlog.get_logger("outhaul")


def configure(style: str, level: str, stream: TextIO | None = None) -> None:
    """Set up logging for this process.

    Args:
        style: `console` or `json`.
        level: the standard library's level names.
        stream: where to; standard error by default, which systemd hands to the journal.
    """
    target = stream or sys.stderr
    # JSON escapes whatever is not printable ASCII; for the console that is our own work.
    rendered: list[Any] = (
        [structlog.processors.JSONRenderer()]
        if style == "json"
        else [_one_line_each, structlog.dev.ConsoleRenderer(colors=target.isatty())]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *rendered,
            _redact,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Unfailing(target))),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(_LibraryLine(logging.BASIC_FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in _CLAMPED:
        logging.getLogger(name).setLevel(logging.WARNING)
    # A skipped tick is no news: the next one is 100 ms away.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


class _Unfailing:
    """A stream whose disk may be full and whose reader may be gone: no upload stops for its log.

    An error in the thread that settles would end it, and no job would ever be settled again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def _one_line_each(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """One physical line per event, whatever is in a key or a path."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = one_line(value, 2000)
    return event


def _redact(_logger: object, _method: str, line: Any) -> str:
    """The last look at a finished line: nothing in it may open a door."""
    return _SECRET.sub(r"\1***", line)


class _LibraryLine(logging.Formatter):
    """What a library has to say for itself, held to the same rules."""

    def format(self, record: logging.LogRecord) -> str:
        return _redact(None, "", one_line(super().format(record), 2000))


def started(worker: str, chain: str, queues: str, workers: int) -> None:
    """The daemon is ready."""
    _log.info("outhaul is ready", worker=worker, chain=chain, queues=queues, workers=workers)


def stopping(in_flight: int, drain_seconds: float) -> None:
    """A stop was asked for."""
    _log.info("stopping", in_flight=in_flight, drain_seconds=drain_seconds)


def stopped(released: int) -> None:
    """The daemon has ended; what it could not finish was given back."""
    _log.info("stopped", released=released)


def child_ended(pid: int, code: int) -> None:
    """One of several daemons ended by itself."""
    _log.error("Daemon process ended, starting another", pid=pid, exit_code=code)


def job_settled(settlement: Settlement) -> None:
    """What one attempt came to."""
    job, attempt = settlement.job, settlement.attempt
    fields: dict[str, Any] = {
        "job_id": job.id,
        "storage_key": job.storage_key,
        "store": str(job.store),
        "attempt": job.attempt,
        "ms": attempt.duration_ms,
    }
    match settlement.status:
        case Status.DONE if settlement.stored:
            sentence = _SENTENCES[job.store].format(key=job.storage_key)
            stored = settlement.stored
            size, by = stored.pin.size_bytes, stored.verified_by
            _log.info(sentence, **fields, size_bytes=size, verified_by=by)
        case Status.DONE:
            _log.info("File left alone, the key is taken", **fields)
        case Status.FAILED:
            _log.error("Job failed", **fields, **_why(settlement))
        case _ if settlement.refund:
            _log.info("Job given back", **fields, reason=settlement.error)
        case _ if settlement.store is not job.store:
            following = str(settlement.store)
            _log.warning("Falling back", **fields, next_store=following, **_why(settlement))
        case _:
            wait = round(settlement.due_in, 1)
            _log.warning("Attempt failed", **fields, retry_in_seconds=wait, **_why(settlement))


def _why(settlement: Settlement) -> dict[str, Any]:
    result = settlement.attempt.result
    status = result.http_status if isinstance(result, Failure) else None
    return {"code": settlement.error_code, "error": settlement.error, "http_status": status}


def job_fenced(settlement: Settlement) -> None:
    """A job was taken from us while we worked on it: nothing was written."""
    job = settlement.job
    _log.warning("Job lost to another daemon", job_id=job.id, storage_key=job.storage_key)


def job_rescued(rescued: Rescued) -> None:
    """A vanished daemon's job was taken back."""
    _log.warning(
        "Job rescued",
        job_id=rescued.job_id,
        status=str(rescued.status),
        crash_count=rescued.crash_count,
        owner=rescued.owner,
    )


def source_kept(job_id: int, path: str) -> None:
    """`on_success = 'delete'` found other bytes under the name, or might not delete."""
    _log.warning("Source not deleted", job_id=job_id, source_path=path)


def leases_lost(job_ids: list[int]) -> None:
    """Renewals that found somebody else's claim."""
    _log.warning("Leases lost", job_ids=job_ids)


def settle_refused(settlement: Settlement, error: Exception) -> None:
    """The database refuses one settlement by itself: its lease will run out."""
    _log.error("Settlement refused", job_id=settlement.job.id, error=_database_words(error))


def database_lost(error: DBAPIError) -> None:
    """The database stopped answering."""
    _log.error("Database not reachable, waiting for it", error=_database_words(error))


def database_back() -> None:
    """The database answers again."""
    _log.info("Database answers again")


def failed_cycle(name: str, error: Exception) -> None:
    """A bug in a cycle: it goes on at its next tick."""
    _log.error("Cycle failed", cycle=name, error=f"{type(error).__name__}: {error}")


def refused_to_start(error: Exception) -> None:
    """The configuration, the schema or the database is not usable."""
    words = error.message if isinstance(error, OuthaulError) else _database_words(error)
    _log.critical("outhaul does not start", error=words)


def _database_words(error: Exception) -> str:
    """The driver's words, without the statement and its parameters."""
    original = getattr(error, "orig", None) or error
    words = " ".join(str(original).split())
    return one_line(f"{type(original).__name__}: {words}", 300)
