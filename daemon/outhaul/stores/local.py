"""A local directory as a store: the last resort of a chain, as durable as its disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from outhaul.digests import digest
from outhaul.errors import OuthaulError, SourceError, StoreError
from outhaul.models import StoreName
from outhaul.stores.base import PART_BYTES, Receipt, Upload
from outhaul.transfer import Transfer

#: Holds half-written files and what a file system has no place for: type and metadata.
#: No key can reach it: the daemon refuses keys that begin with its name.
PRIVATE = ".outhaul"

_BLOCK = 1 << 20


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
            written = self._write_aside(upload)
            try:
                self._note(upload)
                target.parent.mkdir(parents=True, exist_ok=True)
                _publish(written, target, absent=upload.absent)
            finally:
                written.unlink(missing_ok=True)
            _sync_upwards(target.parent, self._root)
            # Read back: a full or failing disk shows here rather than at the first download.
            return self._receipt(upload.key, target)

    def head(self, key: str, transfer: Transfer) -> Receipt | None:
        """What lies under a key, read and hashed."""
        transfer.remaining()
        with _translated("read"):
            path = self._path(key)
            return self._receipt(key, path) if path.is_file() else None

    def get(self, key: str, transfer: Transfer) -> Iterator[bytes]:
        """The file's bytes."""
        transfer.remaining()
        path = self._path(key)
        if not path.is_file():
            raise StoreError("NoSuchKey", "there is no such file")
        yield from _blocks(path)

    def delete(self, key: str, transfer: Transfer) -> None:
        """Unlink the file and what was noted of it."""
        transfer.remaining()
        with _translated("delete"):
            path = self._path(key)
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
        if not path.parent.resolve().is_relative_to(self._root.resolve()):
            raise StoreError("InvalidObjectName", "the key leads out of the directory")
        return path

    def _write_aside(self, upload: Upload) -> Path:
        aside = self._root / PRIVATE / "partial" / secrets.token_hex(16)
        aside.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("xb") as file:
                _copy(upload, file)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        return aside

    def _note_path(self, key: str) -> Path:
        return self._root / PRIVATE / "meta" / hashlib.sha256(key.encode()).hexdigest()

    def _note(self, upload: Upload) -> None:
        path = self._note_path(upload.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        note = {
            "key": upload.key,
            "content_type": upload.content_type,
            "metadata": dict(upload.metadata),
        }
        path.write_text(json.dumps(note), encoding="utf-8")

    def _receipt(self, key: str, path: Path) -> Receipt:
        found = digest(_blocks(path))
        note: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):
            note = json.loads(self._note_path(key).read_text(encoding="utf-8"))
        return Receipt(
            sha256=found.sha256,
            size_bytes=found.size_bytes,
            content_type=note.get("content_type"),
            metadata=note.get("metadata", {}),
        )


def _copy(upload: Upload, file: Any) -> None:
    sha256, size = hashlib.sha256(), upload.body.size_bytes
    for offset in range(0, size, PART_BYTES):
        upload.transfer.remaining()
        block = upload.body.read_at(offset, min(PART_BYTES, size - offset))
        sha256.update(block)
        file.write(block)
        upload.transfer.sent(len(block))
    if sha256.hexdigest() != upload.digests.sha256:
        raise SourceError("SOURCE_CHANGED", "the source changed while it was being copied")


def _publish(written: Path, target: Path, *, absent: bool) -> None:
    if not absent:
        written.replace(target)
        return
    try:
        os.link(written, target)  # unlike rename, it refuses a name that is taken
    except FileExistsError as error:
        raise StoreError("KEY_EXISTS", "the key is taken") from error


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
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
    code = "InvalidObjectName" if isinstance(error, (NotADirectoryError, IsADirectoryError)) else ""
    if error.errno == errno.ENAMETOOLONG:  # a segment over 255 bytes
        code = "InvalidObjectName"
    raise StoreError(
        code or "ServiceError", f"{what} failed: {error.strerror or type(error).__name__}"
    ) from error
