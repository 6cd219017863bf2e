"""Where the bytes come from: a file below an allowed root, opened once, or the row's payload."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from outhaul.beneath import open_beneath
from outhaul.digests import Digests, digest
from outhaul.errors import SourceError
from outhaul.models import Job
from outhaul.stores.base import PART_BYTES, Body
from outhaul.transfer import Transfer

_BLOCK = 1 << 20

#: What openat2 and fstat say, in the words of the row. The rest is SOURCE_IO.
_CODES = {
    errno.ENOENT: "SOURCE_MISSING",
    errno.ENOTDIR: "SOURCE_MISSING",
    errno.ENAMETOOLONG: "SOURCE_MISSING",  # no file can have that name
    errno.EXDEV: "SOURCE_OUTSIDE_ROOTS",
    errno.ELOOP: "SOURCE_NOT_REGULAR",
    errno.ENXIO: "SOURCE_NOT_REGULAR",  # a socket
    errno.EISDIR: "SOURCE_NOT_REGULAR",
    errno.ENODEV: "SOURCE_NOT_REGULAR",
}


class Source(Protocol):
    """The bytes of one attempt, with their digests; the same bytes however often they are read."""

    @property
    def body(self) -> Body:
        """The bytes."""
        ...

    @property
    def digests(self) -> Digests:
        """What they are."""
        ...

    def confirm(self) -> None:
        """Check that nothing has changed since the source was opened.

        Raises:
            SourceError: `SOURCE_CHANGED`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Bytes:
    """A body in memory."""

    content: bytes

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return len(self.content)

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`."""
        if offset == 0 and size >= len(self.content):
            return self.content
        return self.content[offset : offset + size]


@dataclass(frozen=True, slots=True)
class Payload:
    """The bytes of a row."""

    body: Bytes
    digests: Digests

    def confirm(self) -> None:
        """A row's bytes do not change under us."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file by its descriptor, never by its name again; the body of a large upload.

    `size_bytes` is what fstat said when it was opened: a growing file must not spill over.
    """

    descriptor: int
    size_bytes: int
    seen: os.stat_result

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`.

        Raises:
            SourceError: `SOURCE_CHANGED` when the file shrank, `SOURCE_IO`.
        """
        blocks = []
        while size > 0:
            block = self._read(offset, size)
            blocks.append(block)
            offset, size = offset + len(block), size - len(block)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def _read(self, offset: int, size: int) -> bytes:
        try:
            block = os.pread(self.descriptor, size, offset)
        except OSError as error:
            raise _refusal(error) from error
        if not block:
            raise SourceError("SOURCE_CHANGED", "the source shrank while it was being read")
        return block

    def blocks(self) -> Iterator[bytes]:
        """The whole body."""
        for offset in range(0, self.size_bytes, _BLOCK):
            yield self.read_at(offset, min(_BLOCK, self.size_bytes - offset))

    def confirm(self) -> None:
        """Size and modification time must be those of the opening.

        A link count or ctime alone is no change: an unlinked open file is still whole.
        """
        now = _stat(self.descriptor)
        if (now.st_size, now.st_mtime_ns) != (self.seen.st_size, self.seen.st_mtime_ns):
            raise SourceError("SOURCE_CHANGED", "the source changed while it was being read")


@dataclass(frozen=True, slots=True)
class File:
    """A source file: small ones are held whole, so that what was hashed is what is sent."""

    body: Body
    digests: Digests
    file: OpenFile

    def confirm(self) -> None:
        """See `OpenFile.confirm`."""
        self.file.confirm()


@dataclass(frozen=True, slots=True)
class Sources:
    """Opens what jobs name.

    Args:
        roots: absolute directories; nothing outside them is ever read.
        max_bytes: the largest source that is taken.
        payload: fetches the bytes of a row that has no path.
    """

    roots: Sequence[Path]
    max_bytes: int
    payload: Callable[[int], bytes | None]

    @contextlib.contextmanager
    def opened(self, job: Job, transfer: Transfer) -> Iterator[Source]:
        """The job's bytes, read and hashed once, within the transfer's time.

        Raises:
            SourceError: with the code that ends up in the row.
        """
        if job.source_path is None:
            yield self._from_row(job)
            return
        with _open(self.roots, job.source_path) as file:
            if file.size_bytes > self.max_bytes:
                raise SourceError(
                    "SOURCE_TOO_LARGE",
                    f"{file.size_bytes} bytes, where {self.max_bytes} are allowed",
                )
            transfer.sized(file.size_bytes)
            yield _hashed(file, transfer)

    def _from_row(self, job: Job) -> Source:
        content = self.payload(job.id)
        if content is None:
            raise SourceError("SOURCE_MISSING", "the row has neither a source path nor a payload")
        return Payload(Bytes(content), digest([content]))

    def remove(self, path: str, sha256: str) -> bool:
        """Unlink a source, if the name still holds the bytes that were stored.

        Returns:
            Whether it is gone. A name that now holds other bytes is somebody's new work.
        """
        try:
            with _open(self.roots, path) as file:
                if digest(file.blocks()).sha256 != sha256:
                    return False
                file.confirm()
                # Hashing takes a while: by now the name may lead to another file.
                if not os.path.samestat(os.lstat(path), file.seen):
                    return False
                Path(path).unlink()
        except SourceError as error:
            return error.code == "SOURCE_MISSING"
        except OSError as error:
            return isinstance(error, FileNotFoundError)
        return True


def _hashed(file: OpenFile, transfer: Transfer) -> Source:
    body: Body = file
    if file.size_bytes <= PART_BYTES:
        body = Bytes(file.read_at(0, file.size_bytes))
        digests = digest([body.content])
    else:
        digests = digest(_timed(file.blocks(), transfer))
    file.confirm()
    return File(body, digests, file)


def _timed(blocks: Iterator[bytes], transfer: Transfer) -> Iterator[bytes]:
    """Reading a large file takes minutes: it must end when the attempt does."""
    for block in blocks:
        transfer.remaining()
        yield block


@contextlib.contextmanager
def _open(roots: Sequence[Path], path: str) -> Iterator[OpenFile]:
    root, relative = _split(roots, path)
    try:
        directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor = open_beneath(directory, relative)
        finally:
            os.close(directory)
    except OSError as error:
        raise _refusal(error) from error
    try:
        yield _regular(descriptor)
    finally:
        os.close(descriptor)


def _stat(descriptor: int) -> os.stat_result:
    try:
        return os.fstat(descriptor)
    except OSError as error:  # a network file system that went away
        raise _refusal(error) from error


def _regular(descriptor: int) -> OpenFile:
    seen = _stat(descriptor)
    if not stat.S_ISREG(seen.st_mode):
        raise SourceError("SOURCE_NOT_REGULAR", "the source is not a regular file")
    # A hard link into a root is a way to name a file that its maker may not read.
    if seen.st_nlink > 1:
        raise SourceError("SOURCE_NOT_REGULAR", f"the source has {seen.st_nlink} hard links")
    return OpenFile(descriptor, seen.st_size, seen)


def _split(roots: Sequence[Path], path: str) -> tuple[Path, str]:
    """The longest root above a path, and the rest. Lexical: the kernel checks the rest."""
    if "\0" in path:
        raise SourceError("SOURCE_MISSING", "the source path holds a NUL, as no file name can")
    above = [root for root in roots if path.startswith(f"{str(root).rstrip('/')}/")]
    if not above:
        raise SourceError(
            "SOURCE_OUTSIDE_ROOTS",
            "the source path is below none of OUTHAUL_SOURCE_ROOTS; move the file or add its root",
        )
    root = max(above, key=lambda candidate: len(str(candidate)))
    return root, path[len(str(root).rstrip("/")) :].lstrip("/") or "."


def _refusal(error: OSError) -> SourceError:
    code = _CODES.get(error.errno or 0, "SOURCE_IO")
    return SourceError(code, error.strerror or type(error).__name__)
