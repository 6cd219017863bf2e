"""The three acts: S3 is well, S3 is down, both clouds are down."""

from __future__ import annotations

from collections.abc import Mapping

from demo import stage
from demo.clouds import Clouds
from demo.outbox import Outbox
from demo.spool import Spool

#: Key to file of the spool, for each store that shall hold it in the end.
TO_S3 = {
    "translations/report.docx": "report.docx",
    "photos/photo.jpg": "photo.jpg",
    "empty.txt": "empty.txt",
    "backups/first.bin": "backup.bin",
    "Größe und Maß.txt": "Größe und Maß.txt",
}
TO_OSS = {"second/report.docx": "report.docx", "second/backup.bin": "backup.bin"}
TO_LOCAL = {"third/Größe und Maß.txt": "Größe und Maß.txt"}

#: Key and content of the job that needs no file.
INLINE = ("notes/inline.txt", "These bytes came inside the row.")

#: Key and file of the job whose file is not there.
MISSING = ("lost.pdf", "never-written.pdf")


def s3_is_well(outbox: Outbox, spool: Spool) -> None:
    """Every kind of source goes to S3; a file that is not there fails at once."""
    stage.act("Act one: S3 is well")
    stage.say("An application commits rows. Each row is a complete upload job.")
    stage.say("The last one names a file that does not exist.")
    _insert(outbox, spool, {**TO_S3, MISSING[0]: MISSING[1]})
    stage.say("A small content needs no file: it can be in the row.")
    key, content = INLINE
    outbox.run(
        "INSERT INTO upload_outbox (storage_key, payload) VALUES\n"
        f"  ({_literal(key)}, CAST({_literal(content)} AS BLOB));"
    )
    outbox.wait_until_settled()


def s3_is_down(outbox: Outbox, spool: Spool, clouds: Clouds) -> None:
    """Retries, then the fallback to OSS."""
    stage.act("Act two: S3 answers 503 to everything")
    stage.say("Each job is tried four times on S3, after waits of 0.5, 1 and 2 s, then on OSS.")
    stage.say("(Short waits, for the show: the defaults are 5, 15, 30 s.)")
    clouds.break_s3()
    _insert(outbox, spool, TO_OSS)
    outbox.wait_until_settled()


def both_are_down(outbox: Outbox, spool: Spool, clouds: Clouds) -> None:
    """Retries on both clouds, then the local directory."""
    stage.act("Act three: S3 still answers 503, and OSS refuses connections")
    stage.say("Four tries on S3, four on OSS, then the local directory.")
    clouds.break_oss()
    _insert(outbox, spool, TO_LOCAL)
    outbox.wait_until_settled()


def _insert(outbox: Outbox, spool: Spool, files: Mapping[str, str]) -> None:
    rows = ",\n".join(
        f"  ({_literal(key)}, {_literal(str(spool.path(name)))})" for key, name in files.items()
    )
    outbox.run(f"INSERT INTO upload_outbox (storage_key, source_path) VALUES\n{rows};")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
