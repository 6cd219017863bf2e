from __future__ import annotations

import inspect
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import String

from outhaul import errors
from outhaul.errors import MESSAGE_LIMIT, CodedError, OuthaulError, StoreError, one_line
from outhaul.outbox.tables import attempts, outbox

ERRORS = {
    name: cls
    for name, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, Exception)
}

#: Column in the drawing to name, in order.
DRAWN = [
    (match.start(1), match.group(1))
    for match in (
        re.match(r"[|` -]*(\w+Error)\b", line) for line in (errors.__doc__ or "").splitlines()
    )
    if match
]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("two\nlines", "two\\u000alines"),
        ("\r\n", "\\u000d\\u000a"),
        ("\x1b[2J", "\\u001b[2J"),
        ("nul\0", "nul\\u0000"),
        ("c1\x85\x9b", "c1\\u0085\\u009b"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("\ud800 \udcff", "\\ud800 \\udcff"),
        ("é😀 文", "é😀 文"),
        ("%s%n {key}", "%s%n {key}"),
        ("", ""),
    ],
)
def test_a_message_is_one_printable_line(text: str, line: str) -> None:
    """What could forge a line, steer a terminal or break an UPDATE is escaped, the rest is kept."""

    assert one_line(text) == line


def test_a_message_fits_its_column() -> None:
    """What is cut at our limit is not cut again, or refused, by a database."""

    for column in (outbox.c.last_error, attempts.c.message):
        assert isinstance(column.type, String)
        assert (column.type.length or 0) >= MESSAGE_LIMIT


def test_a_long_message_is_cut() -> None:
    """At the limit nothing is lost; beyond it, the end is marked."""

    assert one_line("a" * MESSAGE_LIMIT) == "a" * MESSAGE_LIMIT
    assert one_line("a" * (MESSAGE_LIMIT + 1)) == "a" * (MESSAGE_LIMIT - 1) + "…"
    assert one_line("\n" * 10, limit=20) == "\\u000a\\u000a\\u000a\\…"


@given(st.text(st.characters() | st.characters(categories=["Cs"])), st.integers(1, 600))
def test_any_text_becomes_a_line(text: str, limit: int) -> None:
    """Whatever comes in, one encodable line within the limit comes out."""

    line = one_line(text, limit)

    assert len(line) <= limit
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(char) for char in line}


def test_every_error_is_drawn_in_the_tree() -> None:
    """The module's docstring shows every error that outhaul raises, under an ancestor."""

    # CodedError is what those with a code have in common: it is never raised itself.
    assert {name for _, name in DRAWN} == set(ERRORS) - {"CodedError"}
    assert DRAWN[0] == (0, "OuthaulError")
    ancestors: list[tuple[int, str]] = []
    for column, name in DRAWN:
        ancestors = [(at, above) for at, above in ancestors if at < column]
        assert issubclass(ERRORS[name], ERRORS[ancestors[-1][1]] if ancestors else Exception)
        ancestors.append((column, name))


@pytest.mark.parametrize(
    "kind",
    [
        OuthaulError,
        errors.ConfigError,
        errors.SchemaError,
        errors.JobNotFoundError,
        errors.InterruptedAttemptError,
    ],
)
def test_the_docstring_is_the_default_message(kind: type[OuthaulError]) -> None:
    """An error without a message says what its class says, worded for the operator."""

    assert kind().message == str(kind()) == kind.__doc__
    assert kind("other\nwords").message == "other\\u000awords"


@pytest.mark.parametrize("kind", [errors.RowError, errors.SourceError, StoreError])
def test_a_coded_error_carries_the_code_of_the_row(kind: type[CodedError]) -> None:
    """The stable code and the message are two things."""

    error = kind("SOME_CODE", "what\nhappened")

    assert (error.code, error.message) == ("SOME_CODE", "what\\u000ahappened")
    assert kind("SOME_CODE").message == kind.__doc__


def test_a_store_error_keeps_what_support_asks_for() -> None:
    """The status and the request id of the answer travel with the error."""

    error = StoreError("SlowDown", "slow", http_status=503, request_id="request-1")

    assert (error.http_status, error.request_id) == (503, "request-1")


def test_an_unproven_answer_has_its_own_code() -> None:
    """A store that says yes and does not prove it failed, and is a store error like others."""

    error = errors.BadStoreReplyError("no checksum", http_status=200)

    assert isinstance(error, StoreError)
    assert (error.code, error.http_status) == ("BAD_STORE_REPLY", 200)
