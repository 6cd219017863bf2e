from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outhaul.models import IfExists, Job, OnSuccess, Operation, StoreName
from outhaul.outbox.rows import MAX_METADATA_BYTES, BadRow, parse
from tests.unit.samples import DIGESTS, LOCAL, OSS, S3

#: A claimed row as every database hands it over.
ROW: dict[str, Any] = {
    "id": 7,
    "fence": 3,
    "operation": "upload",
    "queue": "default",
    "storage_key": "translations/file.pptx",
    "current_store": "s3",
    "s3_attempts": 2,
    "oss_attempts": 1,
    "local_attempts": 0,
    "crash_count": 1,
    "sha256": None,
    "source_path": "/spool/file.pptx",
    "content_type": None,
    "metadata": None,
    "expected_sha256": None,
    "on_success": "keep",
    "if_exists": "overwrite",
}


def read(**columns: Any) -> Job:
    """The job of a row that is good."""
    job = parse(ROW | columns)
    assert isinstance(job, Job)
    return job


def refused(**columns: Any) -> BadRow:
    """The refusal of a row that is bad."""
    bad = parse(ROW | columns)
    assert isinstance(bad, BadRow)
    return bad


def test_a_row_becomes_a_job() -> None:
    """Every column arrives in its own type, and what the client left out has its default."""

    assert read() == Job(
        id=7,
        fence=3,
        operation=Operation.UPLOAD,
        queue="default",
        storage_key="translations/file.pptx",
        store=StoreName.S3,
        attempts={S3: 2, OSS: 1, LOCAL: 0},
        source_path="/spool/file.pptx",
        crash_count=1,
    )


def test_what_a_client_asks_for_is_taken_over() -> None:
    """The optional columns reach the attempt as they are."""

    job = read(
        content_type="text/plain; charset=utf-8",
        metadata='{"Owner": "A. Smith"}',
        expected_sha256=DIGESTS.sha256.upper(),
        on_success="delete",
        if_exists="skip",
        sha256=DIGESTS.sha256,
    )

    assert job.content_type == "text/plain; charset=utf-8"
    assert job.metadata == {"owner": "A. Smith"}
    assert (job.expected_sha256, job.pin_sha256) == (DIGESTS.sha256, DIGESTS.sha256)
    assert (job.on_success, job.if_exists) == (OnSuccess.DELETE, IfExists.SKIP)


def test_a_row_without_a_path_has_its_bytes_in_the_payload() -> None:
    """The claim reads no payload: a job without a path is told to fetch it."""

    assert read(source_path=None).source_path is None


def test_a_path_may_hold_any_bytes() -> None:
    """SQLite lets a blob into a text column: the way to name a file that is not UTF-8."""

    assert read(source_path=b"/spool/caf\xe9").source_path == "/spool/caf\udce9"


def test_a_key_written_as_a_blob_is_the_same_key() -> None:
    """The bytes of a key are the key, however SQLite was given them: nothing is renamed."""

    assert read(storage_key="é.txt".encode()).storage_key == "é.txt"
    assert refused(storage_key=b"caf\xe9").error.code == "INVALID_KEY"


@pytest.mark.parametrize("key", ["/lead", "a//b", "../up", "line\nbreak", "", "a" * 1024])
def test_a_bad_key_refuses_the_row(key: str) -> None:
    """A key that no store may have is INVALID_KEY before any attempt."""

    assert refused(storage_key=key).error.code == "INVALID_KEY"


def test_a_refusal_names_the_row() -> None:
    """A bad row can be settled like any job: its id, fence, store and counts are known."""

    bad = refused(metadata="[1]", sha256=DIGESTS.sha256)

    assert bad.error.code == "BAD_ROW"
    assert (bad.job.id, bad.job.fence, bad.job.store, bad.job.attempt) == (7, 3, S3, 2)
    assert (bad.job.storage_key, bad.job.pin_sha256) == ("translations/file.pptx", DIGESTS.sha256)


def test_a_delete_is_refused_in_plain_words() -> None:
    """This version performs no deletes, and says so in the row rather than do nothing."""

    bad = refused(operation="delete", source_path=None)

    assert (bad.error.code, bad.job.operation) == ("BAD_ROW", Operation.DELETE)
    assert "does not perform deletes" in bad.error.message


@pytest.mark.parametrize(
    "value",
    [
        "",
        "text/plain\r\nX-Evil: 1",
        "text/plain\n",
        "tab\there",
        "café/plain",
        "nul\0",
        b"text/plain",
    ],
)
def test_a_content_type_is_printable_ascii(value: object) -> None:
    """A type that would break its header, or add another, refuses the row."""

    assert refused(content_type=value).error.code == "BAD_ROW"


@pytest.mark.parametrize(
    "value", ["", "abc", DIGESTS.sha256[:-1], DIGESTS.sha256 + "0", "g" * 64, " " * 64, b"\0" * 32]
)
def test_an_expected_sha256_is_64_hexadecimal_digits(value: object) -> None:
    """A digest that nothing can ever equal refuses the row."""

    bad = refused(expected_sha256=value)

    assert bad.error.code == "BAD_ROW"
    assert "64 hexadecimal digits" in bad.error.message


@pytest.mark.parametrize(
    ("value", "metadata"),
    [
        (None, {}),
        ("{}", {}),
        ('{"a": ""}', {"a": ""}),
        ('{"Trace-Id": "x y/z=1;"}', {"trace-id": "x y/z=1;"}),
        (b'{"a": "b"}', {"a": "b"}),
        ({"a": "b"}, {"a": "b"}),
        ('{"a": "1", "a": "2"}', {"a": "2"}),  # as JSONB reads it
        (json.dumps({"n": "v" * (MAX_METADATA_BYTES - 1)}), {"n": "v" * (MAX_METADATA_BYTES - 1)}),
    ],
)
def test_metadata_is_an_object_of_strings(value: object, metadata: dict[str, str]) -> None:
    """Text, bytes or already parsed: the same object comes out, names in lower case."""

    assert read(metadata=value).metadata == metadata


@pytest.mark.parametrize(
    "value",
    [
        "",
        "[1]",
        "{not json",
        "null",
        "true",
        '"text"',
        "1e999",
        "NaN",
        '{"a": 1}',
        '{"a": null}',
        '{"a": ["b"]}',
        '{"a": {"b": "c"}}',
        '{"a": ' + "1" * 5000 + "}",
        [1],
        {"a": 1},
        {1: "a"},
        b"\xff\xfe",
        "[" * 200_000,
        '{"a":' * 200_000,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_metadata_of_another_shape_is_refused(value: object) -> None:
    """Anything but an object of strings, however deep or broken, is one BAD_ROW."""

    assert refused(metadata=value).error.code == "BAD_ROW"


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "é"},
        {"name": "😀"},
        {"name": "\ud800"},
        {"name": "a\r\nX-Evil: 1"},
        {"name": "a\nb"},
        {"name": "nul\0"},
        {"name": " outer"},
        {"name": "outer "},
        {"": "v"},
        {"-dash": "v"},
        {"under_score": "v"},
        {"näme": "v"},
        {"a b": "v"},
        {"a:b": "v"},
        {"a\r\nb": "v"},
        {"Name": "1", "name": "2"},
        {"n": "v" * MAX_METADATA_BYTES},
        {f"name-{number}": "v" * 100 for number in range(20)},
    ],
    ids=lambda value: repr(value)[:30],
)
def test_metadata_that_no_header_can_carry_is_refused(metadata: dict[str, str]) -> None:
    """What a store would drop, change or take for another header refuses the row beforehand."""

    assert refused(metadata=json.dumps(metadata)).error.code == "BAD_ROW"


@given(
    st.none() | st.text() | st.binary() | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(json.dumps)
)  # fmt: skip
def test_no_metadata_breaks_its_batch(value: object) -> None:
    """Whatever stands in the column, parsing ends in a job with safe headers, or in a refusal."""

    parsed = parse(ROW | {"metadata": value})

    if isinstance(parsed, BadRow):
        assert parsed.error.code == "BAD_ROW"
    else:
        headers = "".join([*parsed.metadata, *parsed.metadata.values()])
        assert headers.isascii()
        assert headers.isprintable()
