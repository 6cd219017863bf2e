"""A look at everything an upload needs: says what is wrong, and what to do about it."""

from __future__ import annotations

import enum
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, select, text
from sqlalchemy.exc import SQLAlchemyError

from outhaul import migrate
from outhaul.beneath import has_openat2
from outhaul.digests import digest
from outhaul.errors import OuthaulError, StoreError, one_line
from outhaul.models import StoreName
from outhaul.outbox.clock import db_now
from outhaul.outbox.engine import check_server
from outhaul.outbox.transaction import reading
from outhaul.proof import prove
from outhaul.settings import Settings
from outhaul.source import Bytes, OpenFile
from outhaul.stores.base import Body, Store, Upload
from outhaul.transfer import Budget, Transfer

#: Both clouds refuse requests whose clock is off by 15 minutes.
MAX_SKEW_SECONDS = 60.0

_LINK_SECONDS = 60

#: The check value of CRC-64/XZ in the catalogue of parametrised CRC algorithms.
_CRC64_CHECK = 0x995DC9BBDF1939FA


class Verdict(enum.StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, how it went, what was found, what to do."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine_database(engine: Engine, settings: Settings) -> Iterator[Finding]:
    """Reachability, schema, durability and clock of the outbox."""
    try:
        migrate.require_current(engine, settings.database_schema)
        check_server(engine)
    except (OuthaulError, SQLAlchemyError) as error:
        words = one_line(" ".join(str(getattr(error, "orig", None) or error).split()))
        advice = "check OUTHAUL_DATABASE_URL, then run `outhaul db upgrade`"
        yield Finding("database", Verdict.FAILED, words, advice)
        return
    yield Finding("database", Verdict.OK, f"{engine.dialect.name}, schema {migrate.head()}")
    yield from _durability(engine)
    yield _clock(engine)


_DURABLE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "postgresql": (("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")),
    "mysql": (("innodb_flush_log_at_trx_commit", "1"), ("innodb_doublewrite", "ON")),
    "sqlite": (("synchronous", "2"), ("journal_mode", "wal")),
}

#: Other values that are as good: stricter ones, and other servers' spellings.
_AS_GOOD = {
    "synchronous_commit": {"remote_write", "remote_apply"},
    "synchronous": {"3"},
    "innodb_doublewrite": {"1", "DETECT_AND_RECOVER"},
}


def _durability(engine: Engine) -> Iterator[Finding]:
    """A database that may lose commits loses uploads with them."""
    dialect = "mysql" if engine.dialect.name == "mariadb" else engine.dialect.name
    for name, wanted in _DURABLE[dialect]:
        value = _variable(engine, dialect, name)
        good = value.lower() == wanted.lower() or value in _AS_GOOD.get(name, set())
        verdict = Verdict.OK if good else Verdict.WARNING
        advice = "" if good else f"set {name} = {wanted}, or a crash of its server can lose jobs"
        yield Finding(f"durability: {name}", verdict, value, advice)


def _variable(engine: Engine, dialect: str, name: str) -> str:
    statement = {"postgresql": f"SHOW {name}", "mysql": f"SELECT @@{name}"}.get(
        dialect, f"PRAGMA {name}"
    )
    with reading(engine) as connection:
        return str(connection.execute(text(statement)).scalar())


def _clock(engine: Engine) -> Finding:
    with reading(engine) as connection:
        theirs = connection.execute(select(db_now())).scalar_one()
    return judge_clock("clock: database", theirs, datetime.now(UTC))


def judge_clock(check: str, theirs: datetime, ours: datetime) -> Finding:
    """Compare two clocks; a minute is suspicious, a quarter of an hour is refused by the clouds."""
    skew = abs((theirs - ours).total_seconds())
    if skew <= MAX_SKEW_SECONDS:
        return Finding(check, Verdict.OK, f"within {skew:.1f} s of ours")
    advice = "set the clock of this machine, or of the other: NTP does it"
    return Finding(check, Verdict.WARNING, f"{skew:.0f} s away from ours", advice)


def examine_machine(settings: Settings) -> Iterator[Finding]:
    """The directories that are read and written, and what this Python came with."""
    for root in settings.source_roots:
        yield _readable(root)
    if settings.local_dir is not None:
        yield _writable(settings.local_dir)
    opened = "openat2" if has_openat2() else "a walk without links: the kernel has no openat2"
    yield Finding("sources are opened by", Verdict.OK, opened)
    yield _crc64()


def _readable(root: Path) -> Finding:
    check = f"source root {root}"
    if not root.is_dir():
        return Finding(check, Verdict.FAILED, "no such directory", f"mkdir {root}")
    if not os.access(root, os.R_OK | os.X_OK):
        return Finding(check, Verdict.FAILED, "not readable", f"let this user read {root}")
    if root.stat().st_mode & 0o002:
        return Finding(check, Verdict.WARNING, "writable by everybody", f"chmod o-w {root}")
    free = shutil.disk_usage(root).free
    return Finding(check, Verdict.OK, f"readable, {free >> 20} MiB free")


def _writable(directory: Path) -> Finding:
    check = f"local store {directory}"
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding(check, Verdict.FAILED, "not writable", f"let this user write {existing}")
    return Finding(
        check, Verdict.OK, f"writable, {shutil.disk_usage(existing).free >> 20} MiB free"
    )


def _crc64() -> Finding:
    """oss2's own CRC is a hundred times slower without its C part; ours is always compiled."""
    right = digest([b"123456789"]).crc64 == _CRC64_CHECK
    verdict = Verdict.OK if right else Verdict.FAILED
    return Finding("crc64", verdict, "compiled, check value right" if right else "wrong value")


def examine_store(store: Store, content: Body | None = None) -> Iterator[Finding]:
    """Put, prove, look, get, link and delete one small object, or the given content."""
    body: Body = content or Bytes(secrets.token_bytes(1024))
    size = body.size_bytes
    known = digest(body.read_at(at, min(1 << 20, size - at)) for at in range(0, size, 1 << 20))
    key = f"outhaul-doctor/{secrets.token_hex(8)}"
    upload = Upload(key, body, known, _transfer(size))
    steps: list[tuple[str, Callable[[], str]]] = [
        ("put and prove", lambda: _put(store, upload)),
        ("head", lambda: _head(store, upload)),
        ("get", lambda: _get(store, upload)),
        ("download link", lambda: _link(store, upload)),
        ("delete", lambda: _delete(store, upload)),
    ]
    for name, step in steps:
        check = f"{store.name}: {name}"
        try:
            yield Finding(check, Verdict.OK, step())
        except OuthaulError as error:
            code = getattr(error, "code", "")
            yield Finding(
                check, Verdict.FAILED, f"{code} {error.message}".strip(), _ADVICE[store.name]
            )
            if name == "put and prove":
                return


_ADVICE = {
    StoreName.S3: "check AWS_*, S3_BUCKET_NAME and the key's rights on the bucket",
    StoreName.OSS: "check ALICLOUD_OSS_* and the key's rights on the bucket",
    StoreName.LOCAL: "check OUTHAUL_LOCAL_DIR and its file system",
}


def _transfer(size_bytes: int) -> Transfer:
    transfer = Transfer(Budget())
    transfer.sized(size_bytes)
    return transfer


def _put(store: Store, upload: Upload) -> str:
    receipt = store.put(upload)
    evidence = prove(upload.digests, receipt)
    told = f"proven by {evidence}" if evidence else "the answer proves nothing, a HEAD will"
    return f"{upload.body.size_bytes} bytes, {told}"


def _head(store: Store, upload: Upload) -> str:
    held = store.head(upload.key, _transfer(0))
    if held is None:
        raise StoreError("NoSuchKey", "the object is not there")
    return f"proven by {prove(upload.digests, held) or 'size alone'}"


def _get(store: Store, upload: Upload) -> str:
    if digest(store.get(upload.key, _transfer(upload.body.size_bytes))) != upload.digests:
        raise StoreError("BAD_STORE_REPLY", "the object came back with other bytes")
    return "byte-equal"


def _link(store: Store, upload: Upload) -> str:
    if store.name is StoreName.LOCAL:
        return "none: a local directory gives no links"
    store.presign(upload.key, _LINK_SECONDS)
    return f"signed for {_LINK_SECONDS} s, and used by the download above"


def _delete(store: Store, upload: Upload) -> str:
    store.delete(upload.key, _transfer(0))
    if store.head(upload.key, _transfer(0)) is not None:
        raise StoreError("ServiceError", "the object is still there after its delete")
    return "gone"


def open_content(path: Path) -> OpenFile:
    """A file of the operator's own, to be tried on the stores.

    Raises:
        OuthaulError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would block
    except OSError as error:
        raise OuthaulError(f"cannot read {path}: {error.strerror}") from error
    seen = os.fstat(descriptor)
    if not stat.S_ISREG(seen.st_mode):
        os.close(descriptor)
        raise OuthaulError(f"cannot read {path}: not a regular file")
    return OpenFile(descriptor, seen.st_size, seen)
