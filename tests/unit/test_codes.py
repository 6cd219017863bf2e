from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outhaul.models import Failure
from outhaul.policy import is_retryable
from outhaul.stores.codes import describe, stable_code
from tests.unit.samples import RULES


@pytest.mark.parametrize("code", ["SlowDown", "AccessDenied", "InvalidArgument", "X.Y-Z_1"])
@pytest.mark.parametrize("status", [None, 200, 403, 503])
def test_a_code_of_the_store_is_kept(code: str, status: int | None) -> None:
    """What the store calls it is what operators search for."""

    assert stable_code(code, status) == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (408, "RequestTimeout"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (502, "BadGateway"),
        (503, "ServiceUnavailable"),
        (504, "ServiceError"),
        (404, "HTTP_404"),
        (418, "HTTP_418"),
        (0, "ServiceError"),
        (-1, "ServiceError"),
        (None, "ServiceError"),
    ],
)
@pytest.mark.parametrize("said", [None, "", "503", "<html>", "a b", "x" * 65, "Slow\nDown", "é"])
def test_an_answer_without_a_usable_code_gets_one_from_its_status(
    said: str | None, status: int | None, code: str
) -> None:
    """A HEAD, a proxy's HTML page or a hostile code is named after its status."""

    assert stable_code(said, status) == code


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 0, None])
def test_a_code_made_from_a_passing_trouble_is_retryable(status: int | None) -> None:
    """What the status calls transient stays transient by its code alone."""

    assert is_retryable(Failure(stable_code(None, status), ""), RULES)


@given(st.none() | st.text(), st.none() | st.integers(-1000, 10_000))
def test_a_code_always_fits_its_column(code: str | None, status: int | None) -> None:
    """Whatever a store sends, at most 64 harmless characters end up in the row."""

    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{1,63}", stable_code(code, status))


@pytest.mark.parametrize(
    ("code", "status", "line"),
    [
        ("SlowDown", 503, "put answered 503: SlowDown"),
        ("NetworkError", None, "put failed: NetworkError"),
        (
            "ExpiredToken",
            400,
            "put answered 400: ExpiredToken; renew the session token",
        ),
    ],
)
def test_a_failure_says_what_to_do_where_something_can_be_done(
    code: str, status: int | None, line: str
) -> None:
    """One line for the operator: what was asked, what came, and the next step if there is one."""

    assert describe("put", code, status) == line
