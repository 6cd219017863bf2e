"""Every error that outhaul raises itself.

OuthaulError
|-- ConfigError            bad or missing settings (exit 78)
|-- SchemaError            the database's schema is not the one this version works with
|-- JobNotFoundError       no such job (exit 4)
|-- RowError               a row that no attempt can serve: BAD_ROW, INVALID_KEY
|-- SourceError            the bytes cannot be read, or are not the bytes: SOURCE_*
|-- StoreError             a store refused, failed, or could not be reached
|   `-- BadStoreReplyError a store said yes and did not prove it
|-- InterruptedAttemptError  we cut the attempt short ourselves
`-- ProvisioningError      the service cannot be installed or removed as planned

The class docstring is the default message, written for the operator.
"""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

#: Longest message kept in a row or a log line, in characters.
MESSAGE_LIMIT = 500


def printable(text: str) -> str:
    """Escape what could forge a line, steer a terminal, or break an UPDATE."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def one_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text as one printable line of limited length."""
    escaped = printable(text)
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"


class OuthaulError(Exception):
    """Something went wrong in outhaul."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(one_line(message or type(self).__doc__ or type(self).__name__))

    @property
    def message(self) -> str:
        """The message as one printable line."""
        return str(self.args[0])


class ConfigError(OuthaulError):
    """The configuration is not usable."""


class SchemaError(OuthaulError):
    """The database schema is not the one this version works with: run `outhaul db upgrade`."""


class JobNotFoundError(OuthaulError):
    """There is no such job."""


class CodedError(OuthaulError):
    """An error with a stable code that ends up in a row."""

    def __init__(self, code: str, message: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class RowError(CodedError):
    """The row cannot be served by any attempt."""


class SourceError(CodedError):
    """The source cannot be read, or is not what it was."""


class StoreError(CodedError):
    """A store refused, failed, or could not be reached."""

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        http_status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.http_status = http_status
        self.request_id = request_id


class BadStoreReplyError(StoreError):
    """The store's answer does not prove that it holds the bytes."""

    def __init__(self, message: str, *, http_status: int | None = None) -> None:
        super().__init__("BAD_STORE_REPLY", message, http_status=http_status)


class InterruptedAttemptError(OuthaulError):
    """The attempt was cut short by outhaul itself."""


class ProvisioningError(OuthaulError):
    """The service cannot be installed or removed as planned."""

    code = "PROVISIONING"
