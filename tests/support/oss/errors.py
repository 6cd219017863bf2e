"""What the store refuses, and how it says so."""

from __future__ import annotations

import base64
from enum import Enum
from typing import TYPE_CHECKING

from tests.support.oss.documents import document

if TYPE_CHECKING:
    from tests.support.oss.message import Reply, Request


class ErrorCode(Enum):
    """Code, HTTP status and message of each refusal, from the public OSS error reference."""

    ACCESS_DENIED = ("AccessDenied", 403, "You have no right to access this object.")
    EXPIRED = ("AccessDenied", 403, "Request has expired.")
    SIGNATURE_DOES_NOT_MATCH = (
        "SignatureDoesNotMatch",
        403,
        "The request signature we calculated does not match the signature you provided.",
    )
    INVALID_ACCESS_KEY_ID = (
        "InvalidAccessKeyId",
        403,
        "The OSS Access Key Id you provided does not exist in our records.",
    )
    REQUEST_TIME_TOO_SKEWED = (
        "RequestTimeTooSkewed",
        403,
        "The difference between the request time and the current time is too large.",
    )
    NO_SUCH_BUCKET = ("NoSuchBucket", 404, "The specified bucket does not exist.")
    NO_SUCH_KEY = ("NoSuchKey", 404, "The specified key does not exist.")
    NO_SUCH_UPLOAD = ("NoSuchUpload", 404, "The specified upload does not exist.")
    INVALID_OBJECT_NAME = ("InvalidObjectName", 400, "The specified object is not valid.")
    INVALID_DIGEST = ("InvalidDigest", 400, "The Content-MD5 you specified was invalid.")
    INVALID_ARGUMENT = ("InvalidArgument", 400, "A request argument is invalid.")
    INVALID_SCOPE = ("InvalidArgument", 400, "Invalid signing region in Authorization header.")
    ENTITY_TOO_SMALL = ("EntityTooSmall", 400, "A part is smaller than the minimum allowed size.")
    INVALID_PART = ("InvalidPart", 400, "A specified part was not found or its ETag differs.")
    INVALID_PART_ORDER = ("InvalidPartOrder", 400, "The parts were not in ascending order.")
    MALFORMED_XML = ("MalformedXML", 400, "The XML you provided was not well-formed.")
    NOT_IMPLEMENTED = ("NotImplemented", 400, "This test server does not offer that operation.")
    METHOD_NOT_ALLOWED = ("MethodNotAllowed", 405, "The method is not allowed on this resource.")
    FILE_ALREADY_EXISTS = ("FileAlreadyExists", 409, "The object you specified already exists.")
    MISSING_CONTENT_LENGTH = ("MissingContentLength", 411, "You must provide Content-Length.")
    INVALID_RANGE = ("InvalidRange", 416, "The requested range cannot be satisfied.")

    @property
    def status(self) -> int:
        """HTTP status of the refusal."""
        return self.value[1]


class RefusedError(Exception):
    """The store says no; `details` become further elements of the error document."""

    def __init__(self, error: ErrorCode, **details: str) -> None:
        super().__init__(error.value[0])
        self.error = error
        self.details = details

    def reply(self, request: Request, request_id: str) -> Reply:
        """Build the error reply: XML as the body, and for HEAD also in `x-oss-err`.

        A HEAD reply carries no body, so OSS repeats the document in base64 in a header, which is
        where oss2 looks for the code.
        """
        code, status, message = self.error.value
        fields = {"Code": code, "Message": message, "RequestId": request_id}
        fields |= {"HostId": request.headers.get("host", "")} | self.details
        refusal = document("Error", list(fields.items()), status)
        if request.method == "HEAD":
            return refusal.with_header("x-oss-err", base64.b64encode(refusal.body).decode())
        return refusal
