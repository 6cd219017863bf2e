"""What stores raise: a stable code, the status, the request id, and nothing of the SDK's."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from typing import Any, Final

import pytest

from outhaul.errors import StoreError
from outhaul.stores.base import Store
from tests.contract.stores import (
    IN_PARTS,
    OPERATIONS,
    Front,
    content,
    new_oss,
    oss_store,
    s3_store,
    transfer,
    upload,
)
from tests.support.seaweed import SeaweedServer

pytest_plugins = ["tests.contract.subjects"]

#: Words of a store's message that no log and no row may ever hold.
SECRET: Final = "AWS4-HMAC-SHA256 20260301T000000Z SECURITYTOKEN"


def fault_of(front: Front, key: str, size: int = 1) -> StoreError:
    """What a put raises."""
    with pytest.raises(StoreError) as caught:
        front.subject.store.put(upload(key, content(size)))
    return caught.value


#: What a store answers to a PUT, and the code that comes of it.
ANSWERS: Final = {
    **{
        (status, code): code
        for status, code in [
            (403, "AccessDenied"),
            (403, "InvalidAccessKeyId"),
            (403, "SignatureDoesNotMatch"),
            (403, "RequestTimeTooSkewed"),
            (404, "NoSuchBucket"),
            (400, "RequestTimeout"),
            (400, "EntityTooLarge"),
            (400, "BadDigest"),
            (500, "InternalError"),
            (503, "SlowDown"),
            (503, "ServiceUnavailable"),
            (503, "TotalQpsLimitExceeded"),
            (429, "TooManyRequests"),
        ]
    },
    # a gateway's page, or an answer without a code: the status speaks
    (408, ""): "RequestTimeout",
    (429, ""): "TooManyRequests",
    (500, ""): "InternalError",
    (502, ""): "BadGateway",
    (503, ""): "ServiceUnavailable",
    (504, ""): "ServiceError",
    (403, ""): "HTTP_403",
    (404, ""): "HTTP_404",
    (418, ""): "HTTP_418",
    # no code at all, but something that would be one in a log
    (403, "two words"): "HTTP_403",
    (500, "x" * 65): "InternalError",
    (403, "a\nb"): "HTTP_403",
}


@pytest.mark.parametrize(("status", "code", "stable"), [(*k, v) for k, v in ANSWERS.items()])
def test_an_answer_becomes_a_stable_code(front: Front, status: int, code: str, stable: str) -> None:
    """Each answer has one code, whichever store gave it, with its status and request id."""

    front.proxy.fail(status, code, "a message")

    error = fault_of(front, front.subject.key("a.bin"))

    assert (error.code, error.http_status) == (stable, status)
    assert error.request_id == "TESTREQUEST"
    assert [seen.status for seen in front.requests] == [status]


@pytest.mark.parametrize("status", [403, 500, 502, 503])
def test_a_gateways_page_becomes_a_stable_code(front: Front, status: int) -> None:
    """An HTML page in place of a store's answer is told by its status."""

    front.proxy.fail(status, html=True)

    error = fault_of(front, front.subject.key("a.bin"))

    expected = {403: "HTTP_403", 500: "InternalError", 502: "BadGateway"}
    assert error.code == expected.get(status, "ServiceUnavailable")


@pytest.mark.parametrize("size", [1, IN_PARTS], ids=["one", "parts"])
def test_a_message_never_repeats_the_stores(front: Front, size: int) -> None:
    """A store's message can echo what was signed, or a token: none of it is passed on."""

    front.proxy.fail(403, "SignatureDoesNotMatch", f"StringToSign: {SECRET}", times=math.inf)

    error = fault_of(front, front.subject.key("a.bin"), size)

    assert error.code == "SignatureDoesNotMatch"
    assert "check the secret key" in error.message
    for word in ("StringToSign", *SECRET.split(), "a message", "<"):
        assert word not in error.message
        assert word not in repr(error)


WRONG: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "s3": {
        "SignatureDoesNotMatch": {"secret_access_key": "wrong"},
        "InvalidAccessKeyId": {"access_key_id": "NOBODY"},
        "NoSuchBucket": {"bucket": "nowhere"},
    },
    "oss": {
        "SignatureDoesNotMatch": {"access_key_secret": "wrong"},
        "InvalidAccessKeyId": {"access_key_id": "NOBODY"},
        "NoSuchBucket": {"bucket": "nowhere"},
        "InvalidArgument": {"region": "eu-central-1"},
    },
}


@pytest.mark.parametrize("size", [1, IN_PARTS], ids=["one", "parts"])
@pytest.mark.parametrize(
    ("kind", "code"), [(kind, code) for kind, codes in WRONG.items() for code in codes]
)
def test_a_wrong_setting_is_named(
    request: pytest.FixtureRequest, parts: Executor, kind: str, code: str, size: int
) -> None:
    """A wrong secret, key id or bucket is the server's own code, never a success."""

    with ExitStack() as stack:
        store: Store
        if kind == "s3":
            seaweed: SeaweedServer = request.getfixturevalue("seaweed_server")
            store = stack.enter_context(s3_store(seaweed, parts, **WRONG[kind][code]))
        else:
            oss = stack.enter_context(new_oss())
            store = stack.enter_context(oss_store(oss, parts, **WRONG[kind][code]))
        with pytest.raises(StoreError) as caught:
            store.put(upload("a.bin", content(size)))
        with pytest.raises(StoreError) as deleting:
            store.delete("a.bin", transfer())

    assert caught.value.code == deleting.value.code == code
    assert caught.value.http_status in {400, 403, 404}
    assert caught.value.request_id


def sdk_of(store: Store) -> str:
    """Where a store keeps its SDK."""
    return "_client" if hasattr(store, "_client") else "_oss"


class Broken:
    """An SDK in which every call fails."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __getattr__(self, _name: str) -> Callable[..., Any]:
        def fail(*_: object, **__: object) -> None:
            raise self._error

        return fail


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("error", [ValueError, RecursionError, RuntimeError, KeyError, OSError])
def test_what_an_sdk_raises_stays_inside(
    front: Front, monkeypatch: pytest.MonkeyPatch, error: type[Exception], operation: str
) -> None:
    """Whatever an SDK raises, a store raises a StoreError that says nothing of the message."""

    store = front.subject.store
    monkeypatch.setattr(store, sdk_of(store), Broken(error(SECRET)))

    with pytest.raises(StoreError) as caught:
        OPERATIONS[operation](store)

    assert caught.value.code in {"ServiceError", "BAD_STORE_REPLY"}
    assert SECRET not in caught.value.message
    assert type(caught.value.__cause__) is error
