"""Lies an OSS server may tell; each is a value for `OssServer.before`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.support.oss.message import Reply, Request
    from tests.support.oss.server import Hook, OssServer

CRC64: Final = "x-oss-hash-crc64ecma"
UPLOADS: Final = frozenset({"PUT", "POST"})
"""Methods whose replies prove an upload; HEAD and GET stay honest unless named."""


def wrong_crc64(server: OssServer, methods: Collection[str] = UPLOADS) -> Hook:
    """Do what is asked, then name a CRC that is not that of the stored bytes."""

    def lie(request: Request) -> Reply | None:
        if request.method not in methods:
            return None
        reply = server.serve(request)
        crc64 = reply.header(CRC64)
        return reply if crc64 is None else reply.with_header(CRC64, str(int(crc64) ^ 1))

    return lie


def without_header(server: OssServer, name: str, methods: Collection[str] = UPLOADS) -> Hook:
    """Do what is asked, then leave a header such as ETag out of the reply."""

    def omit(request: Request) -> Reply | None:
        if request.method not in methods:
            return None
        return server.serve(request).without_header(name)

    return omit
