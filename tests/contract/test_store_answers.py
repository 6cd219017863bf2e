"""Answers that nobody foresaw: a store survives them all."""

from __future__ import annotations

from http.client import HTTPMessage
from typing import Any, Final

import hypothesis
import pytest
from hypothesis import strategies as st

from outhaul.errors import StoreError
from outhaul.stores.base import Receipt
from outhaul.stores.exchange import Answer, Request
from outhaul.transfer import Transfer
from tests.contract.stores import OPERATIONS, Front
from tests.support.proxy import replies

pytest_plugins = ["tests.contract.subjects"]

#: Bodies that are nearly what an operation waits for.
BODIES: Final = (
    b"",
    b"<",
    b"<Error/>",
    b"<Error><Code>InternalError</Code></Error>",
    b"<InitiateMultipartUploadResult/>",
    b"<InitiateMultipartUploadResult><UploadId/></InitiateMultipartUploadResult>",
    b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
    b"<ListMultipartUploadsResult><Upload/></ListMultipartUploadsResult>",
    b"<ListMultipartUploadsResult><Upload><Key>%ff</Key></Upload></ListMultipartUploadsResult>",
    b"<CompleteMultipartUploadResult><ETag>&quot;e&quot;</ETag></CompleteMultipartUploadResult>",
    b"<html><body>welcome to the hotel</body></html>",
    b"{}",
    b"<a>" * 3000,
    replies.entity_bomb(200).partition(b"\r\n\r\n")[2],
)

#: Headers that stores believe in, with values that they should not.
HEADERS: Final = st.dictionaries(
    st.sampled_from(
        [
            "ETag",
            "Content-Length",
            "Last-Modified",
            "x-amz-checksum-sha256",
            "x-amz-version-id",
            "x-amz-meta-a",
            "x-amz-missing-meta",
            "x-oss-hash-crc64ecma",
            "x-oss-err",
            "x-oss-delete-marker",
            "x-oss-meta-a",
            "Date",
        ]
    ),
    st.one_of(
        st.text(st.characters(max_codepoint=255), max_size=20),
        st.integers().map(str),
        st.sampled_from(["9" * 5000, '"', "-1", "AAAA", "²", "a-b"]),
    ),
)

STATUSES: Final = (200, 204, 404, 412, 500)


def attempted(
    front: Front, operation: str, status: int, fields: dict[str, str], body: bytes
) -> Any:
    """What an operation makes of an answer: a result, or a StoreError and no other."""

    def answer(request: Request, _transfer: Transfer) -> Answer:
        headers = HTTPMessage()
        for name, value in fields.items():
            headers[name] = value
        return Answer(status, headers, body, request.url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(front.subject.store._exchange, "send", answer)  # type: ignore[attr-defined]
        try:
            return OPERATIONS[operation](front.subject.store)
        except StoreError as error:
            return error


ASKING: Final = pytest.mark.parametrize("operation", sorted(OPERATIONS.keys() - {"get", "presign"}))


@ASKING
@pytest.mark.parametrize("status", STATUSES)
def test_no_body_breaks_a_store(front: Front, operation: str, status: int) -> None:
    """Whatever the body of an answer, a store returns what it promises or raises a StoreError."""

    for body in BODIES:
        found = attempted(front, operation, status, {}, body)
        assert found is None or isinstance(found, StoreError | Receipt | list), body


@ASKING
@hypothesis.settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(fields=HEADERS)
def test_no_header_breaks_a_store(front: Front, operation: str, fields: dict[str, str]) -> None:
    """Whatever the headers of an answer, a store returns what it promises or raises StoreError."""

    found = attempted(front, operation, 200, fields, b"")

    assert found is None or isinstance(found, StoreError | Receipt | list)
