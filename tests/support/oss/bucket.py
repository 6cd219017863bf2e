"""The one bucket of the server: a lock, its objects and its open uploads."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

from tests.support.oss.errors import ErrorCode, RefusedError
from tests.support.oss.objects import Upload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.oss.objects import Description, Part, StoredObject


class Bucket:
    """State shared by all connections; each method is one atomic step."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._objects: dict[str, StoredObject] = {}
        self._uploads: dict[str, Upload] = {}

    def objects(self) -> Mapping[str, StoredObject]:
        """Return the objects by key, as they are now."""
        with self._lock:
            return dict(self._objects)

    def uploads(self) -> Mapping[str, Upload]:
        """Return the open uploads by id, as they are now."""
        with self._lock:
            return dict(self._uploads)

    def get(self, key: str) -> StoredObject:
        """Return the object, or raise RefusedError(NoSuchKey)."""
        with self._lock:
            stored = self._objects.get(key)
        if stored is None:
            raise RefusedError(ErrorCode.NO_SUCH_KEY, Key=key)
        return stored

    def put(self, key: str, stored: StoredObject, *, overwrite: bool) -> None:
        """Store the object; RefusedError(FileAlreadyExists) if it may not replace one."""
        with self._lock:
            self._require_absent_unless(overwrite, key)
            self._objects[key] = stored

    def delete(self, key: str) -> None:
        """Forget the object, if there is one."""
        with self._lock:
            self._objects.pop(key, None)

    def open_upload(
        self, key: str, described: Description, now: float, *, overwrite: bool
    ) -> Upload:
        """Start a multipart upload; RefusedError(FileAlreadyExists) as for `put`."""
        upload = Upload(secrets.token_hex(16).upper(), key, described, now)
        with self._lock:
            self._require_absent_unless(overwrite, key)
            self._uploads[upload.upload_id] = upload
        return upload

    def upload(self, key: str, upload_id: str) -> Upload:
        """Return the open upload, or raise RefusedError(NoSuchUpload)."""
        with self._lock:
            return self._require_upload(key, upload_id)

    def add_part(self, key: str, upload_id: str, part: Part) -> None:
        """Keep a part of an open upload, or raise RefusedError(NoSuchUpload)."""
        with self._lock:
            upload = self._require_upload(key, upload_id)
            self._uploads[upload_id] = upload.with_part(part)

    def complete(self, upload: Upload, stored: StoredObject, *, overwrite: bool) -> None:
        """Turn the upload into its object; of two completions at once only one gets through."""
        with self._lock:
            self._require_upload(upload.key, upload.upload_id)
            self._require_absent_unless(overwrite, upload.key)
            del self._uploads[upload.upload_id]
            self._objects[upload.key] = stored

    def abort(self, key: str, upload_id: str) -> None:
        """Drop the upload and its parts, or raise RefusedError(NoSuchUpload)."""
        with self._lock:
            self._require_upload(key, upload_id)
            del self._uploads[upload_id]

    def _require_upload(self, key: str, upload_id: str) -> Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise RefusedError(ErrorCode.NO_SUCH_UPLOAD, UploadId=upload_id)
        return upload

    def _require_absent_unless(self, overwrite: bool, key: str) -> None:
        if not overwrite and key in self._objects:
            raise RefusedError(ErrorCode.FILE_ALREADY_EXISTS)
