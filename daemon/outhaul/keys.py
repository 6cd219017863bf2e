"""The rule for storage keys: one rule for every store, so that a fallback never renames."""

from __future__ import annotations

import re

from outhaul.errors import RowError

#: The longest key in UTF-8 bytes: OSS takes 1,023, S3 1,024; the smaller one serves both.
MAX_KEY_BYTES = 1023

#: Unicode's category Cc, whole.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BAD_SEGMENT = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")


def check_key(key: str) -> str:
    """Return the key unchanged, or say why no store may have it.

    Raises:
        RowError: `INVALID_KEY`.
    """
    if fault := _fault(key):
        raise RowError("INVALID_KEY", f"storage_key {fault}; choose another key and insert again")
    return key


def _fault(key: str) -> str | None:
    try:
        size = len(key.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if not 1 <= size <= MAX_KEY_BYTES:
        return f"has {size} bytes of UTF-8, where 1 to {MAX_KEY_BYTES} are allowed"
    if key[0] in "/\\":
        return "starts with / or \\"
    if _CONTROL.search(key):
        return "holds a control character"
    # boto3 sends `..` as it is, and a normalising proxy may then reach another bucket.
    if _BAD_SEGMENT.search(key):
        return "has an empty, '.' or '..' segment"
    return None
