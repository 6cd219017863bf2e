"""Raw answers of object stores, of proxies in between, and of nobody honest."""

from __future__ import annotations

import base64
from email.utils import formatdate
from http.client import responses
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_BLOCK = 64 * 1024


def reply(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer with the headers that every store sends; `headers` override them."""
    fields = {
        "Date": formatdate(usegmt=True),
        "x-amz-request-id": "TESTREQUEST",
        "x-oss-request-id": "TESTREQUEST",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    return _head(status, fields) + body


def store_error(
    status: int, code: str, message: str = "", headers: Mapping[str, str] | None = None
) -> bytes:
    """An error in the form that S3 and OSS share: XML without a namespace."""
    body = error_document(code, message)
    return reply(status, body, {"Content-Type": "application/xml", **(headers or {})})


def for_head(answer: bytes) -> bytes:
    """The same answer to a HEAD: no body, which OSS hides in a header for its client to find."""
    head, end, body = answer.partition(b"\r\n\r\n")
    return head + b"\r\nx-oss-err: " + base64.b64encode(body) + end


def error_document(code: str, message: str) -> bytes:
    """The XML of an error."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        "<RequestId>TESTREQUEST</RequestId><HostId>test</HostId></Error>"
    ).encode()


def html_page(status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """What a captive portal or a load balancer says."""
    page = f"<html><body><h1>{status} {_reason(status)}</h1></body></html>".encode()
    return reply(status, page, {"Content-Type": "text/html", **(headers or {})})


def redirect(status: int, location: str, region: str | None = None) -> bytes:
    """A redirect; with `region` the one that S3 sends for a bucket that lives elsewhere."""
    headers = {"Location": location, **({"x-amz-bucket-region": region} if region else {})}
    return store_error(status, "PermanentRedirect", "use the other endpoint", headers)


def endless_error(status: int, size: int) -> Iterator[bytes]:
    """An error whose body has `size` bytes, made while it is sent."""
    yield _head(status, {"Content-Type": "application/xml", "Content-Length": str(size)})
    for start in range(0, size, _BLOCK):
        yield b"x" * min(_BLOCK, size - start)


def header_flood(count: int) -> Iterator[bytes]:
    """A 200 with `count` headers."""
    yield b"HTTP/1.1 200 OK\r\n"
    for start in range(0, count, 1000):
        numbers = range(start, min(count, start + 1000))
        yield "".join(f"x-amz-meta-{n}: {n}\r\n" for n in numbers).encode()
    yield b"Content-Length: 0\r\n\r\n"


def entity_bomb(status: int) -> bytes:
    """An error whose XML would expand to gigabytes."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    document = (
        f'<?xml version="1.0"?><!DOCTYPE Error [<!ENTITY e0 "ha">{entities}]>'
        "<Error><Code>&e9;</Code></Error>"
    )
    return reply(status, document.encode(), {"Content-Type": "application/xml"})


def _head(status: int, fields: Mapping[str, str]) -> bytes:
    lines: Iterable[str] = (f"{name}: {value}" for name, value in fields.items())
    return "\r\n".join([f"HTTP/1.1 {status} {_reason(status)}", *lines, "", ""]).encode()


def _reason(status: int) -> str:
    return responses.get(status, "Unknown")
