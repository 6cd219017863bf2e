"""A loopback server that speaks Alibaba OSS to unmodified clients, for tests and the demo."""

from __future__ import annotations

from tests.support.oss.faults import without_header, wrong_crc64
from tests.support.oss.message import Reply, Request
from tests.support.oss.objects import Part, StoredObject, Upload
from tests.support.oss.server import OssServer, SeenRequest

__all__ = [
    "OssServer",
    "Part",
    "Reply",
    "Request",
    "SeenRequest",
    "StoredObject",
    "Upload",
    "without_header",
    "wrong_crc64",
]
