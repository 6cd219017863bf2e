"""One HTTP exchange with the store, free of sockets: what came in and what goes out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Request:
    """A path-style request, percent-decoded.

    `key` is empty for a request on the bucket itself. A key that is not UTF-8 keeps its bytes as
    surrogates. Header names are lower-case, values latin-1 as on the wire.
    """

    method: str
    bucket: str
    key: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def parse(cls, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
        """Split `target`, the raw `/bucket/key?query` of the request line."""
        path, _, query = target.partition("?")
        # Split before decoding: oss2 sends each "/" of the key as %2F, presigned URLs may not.
        bucket, _, key = path.removeprefix("/").partition("/")
        return cls(
            method=method,
            bucket=unquote(bucket),
            key=unquote(key, errors="surrogateescape"),
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers={name.lower(): value.strip() for name, value in headers.items()},
            body=body,
        )

    @property
    def resource(self) -> bytes:
        """`/bucket/key` as both signature versions see it, before any encoding."""
        path = f"/{self.bucket}/{self.key}" if self.bucket else "/"
        return path.encode(errors="surrogateescape")


@dataclass(frozen=True)
class Reply:
    """Status, headers and body. The body of a reply to HEAD counts, but is not sent."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def with_header(self, name: str, value: str) -> Reply:
        """Return this reply with the header set, whatever it was."""
        return replace(self, headers={**self.without_header(name).headers, name: value})

    def with_default(self, name: str, value: str) -> Reply:
        """Return this reply with the header set if it was not."""
        return self if self.header(name) is not None else self.with_header(name, value)

    def without_header(self, name: str) -> Reply:
        """Return this reply with the header gone."""
        kept = {n: v for n, v in self.headers.items() if n.lower() != name.lower()}
        return replace(self, headers=kept)

    def header(self, name: str) -> str | None:
        """Return the header's value, or None; names compare without case."""
        return next((v for n, v in self.headers.items() if n.lower() == name.lower()), None)
