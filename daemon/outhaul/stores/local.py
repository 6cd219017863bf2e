"""A local directory as a store: the last resort of a chain, as durable as its disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from outhaul.digests import digest
from outhaul.errors import OuthaulError, SourceError, StoreError
from outhaul.models import StoreName
from outhaul.stores.base import PART_BYTES, Receipt, Upload
from outhaul.transfer import Transfer

#: Holds half-written files and what a file system has no place for: type and metadata.
#: No key can reach it: the daemon refuses keys that begin with its name.
PRIVATE = ".outhaul"

_BLOCK = 1 << 20

#: A key that runs through another key's file, or the reverse; a segment over 255 bytes.
_NO_FILE_NAME = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}


class LocalStore:
    """Objects as files below one directory, under their keys.

    Args:
        root: the directory; it is made if it is missing.
    """

    name = StoreName.LOCAL

    def __init__(self, root: Path) -> None:
        self.bucket = str(root)
        self._root = root

    def put(self, upload: Upload) -> Receipt:
        """Write aside, fsync, rename, fsync the directory. See `Store.put`."""
        with _translated("write"):
            target = self._path(upload.key)
            self._publish(partial(_copy, upload), target, absent=upload.absent)
            # Not before: a refused upload must leave the note of what is there alone.
            note = self._note_path(upload.key)
            self._publish(partial(_write_note, upload), note, absent=False)
            # Read back: a full or failing disk shows here rather than at the first download.
            return self._receipt(upload.key, target, upload.transfer)

    def head(self, key: str, transfer: Transfer) -> Receipt | None:
        """What lies under a key, read and hashed."""
        transfer.remaining()
        with _translated("read"):
            path = self._path(key)
            return self._receipt(key, path, transfer) if _is_object(path) else None

    def get(self, key: str, transfer: Transfer) -> Iterator[bytes]:
        """The file's bytes."""
        transfer.remaining()
        with _translated("read"):
            path = self._path(key)
            if not _is_object(path):
                raise StoreError("NoSuchKey", "there is no such file")
            yield from _blocks(path, transfer)

    def delete(self, key: str, transfer: Transfer) -> None:
        """Unlink the file and what was noted of it."""
        transfer.remaining()
        with _translated("delete"):
            path = self._path(key)
            if _is_object(path):
                path.unlink(missing_ok=True)
            self._note_path(key).unlink(missing_ok=True)
            if path.parent.is_dir():
                _sync(path.parent)

    def presign(self, key: str, expires_seconds: int) -> str:
        """A local file has no link of its own."""
        raise StoreError(
            "NO_DOWNLOAD_URL",
            f"{key} lies in a local directory, which gives no links ({expires_seconds} s asked)",
        )

    def open_multiparts(self, transfer: Transfer) -> list[str]:
        """Half-written files, left by a crash."""
        transfer.remaining()
        aside = self._root / PRIVATE / "partial"
        return sorted(path.name for path in aside.iterdir()) if aside.is_dir() else []

    def close(self) -> None:
        """Nothing to release."""

    def _path(self, key: str) -> Path:
        if key.split("/", 1)[0] == PRIVATE:
            raise StoreError("InvalidObjectName", f"keys below {PRIVATE}/ are the store's own")
        path = self._root / key
        # A link planted inside must not lead the daemon out of its directory.
        if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(self._root)):
            raise StoreError("InvalidObjectName", "the key leads out of the directory")
        return path

    def _publish(self, write: Callable[[BinaryIO], None], target: Path, *, absent: bool) -> None:
        """Make a whole file appear under a name, durably; or none, if `write` fails."""
        written = self._write_aside(write)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _rename(written, target, absent=absent)
        finally:
            written.unlink(missing_ok=True)
        _sync_upwards(target.parent, self._root)

    def _write_aside(self, write: Callable[[BinaryIO], None]) -> Path:
        aside = self._root / PRIVATE / "partial" / secrets.token_hex(16)
        aside.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        return aside

    def _note_path(self, key: str) -> Path:
        return self._root / PRIVATE / "meta" / hashlib.sha256(key.encode()).hexdigest()

    def _receipt(self, key: str, path: Path, transfer: Transfer) -> Receipt:
        found = digest(_blocks(path, transfer))
        note: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):
            note = json.loads(self._note_path(key).read_text(encoding="utf-8"))
        return Receipt(
            sha256=found.sha256,
            size_bytes=found.size_bytes,
            content_type=note.get("content_type"),
            metadata=note.get("metadata", {}),
        )


def _copy(upload: Upload, file: BinaryIO) -> None:
    sha256, size = hashlib.sha256(), upload.body.size_bytes
    for offset in range(0, size, PART_BYTES):
        upload.transfer.remaining()
        block = upload.body.read_at(offset, min(PART_BYTES, size - offset))
        sha256.update(block)
        file.write(block)
        upload.transfer.sent(len(block))
    if sha256.hexdigest() != upload.digests.sha256:
        raise SourceError("SOURCE_CHANGED", "the source changed while it was being copied")


def _write_note(upload: Upload, file: BinaryIO) -> None:
    note = {
        "key": upload.key,
        "content_type": upload.content_type,
        "metadata": dict(upload.metadata),
    }
    file.write(json.dumps(note).encode())


def _rename(written: Path, target: Path, *, absent: bool) -> None:
    if not absent:
        written.replace(target)
        return
    try:
        os.link(written, target)  # unlike rename, it refuses a name that is taken
    except FileExistsError as error:
        if target.is_dir():  # made for keys that begin with this one: it is no object
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from error
        raise StoreError("KEY_EXISTS", "the key is taken") from error


def _is_object(path: Path) -> bool:
    """A link planted under a key could name any file that the daemon may read."""
    return path.is_file() and not path.is_symlink()


def _blocks(path: Path, transfer: Transfer) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            transfer.remaining()
            yield block


def _sync_upwards(directory: Path, root: Path) -> None:
    """Make the new name durable, and the names of directories that were just made."""
    for parent in (directory, *directory.parents):
        _sync(parent)
        if parent == root:
            return


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OuthaulError:
        raise
    except OSError as error:
        _refuse(what, error)


def _refuse(what: str, error: OSError) -> NoReturn:
    """A full disk may have room later; a key that is no possible file name never will."""
    code = "InvalidObjectName" if error.errno in _NO_FILE_NAME else "ServiceError"
    raise StoreError(code, f"{what} failed: {error.strerror or type(error).__name__}") from error
