from __future__ import annotations

import dataclasses
from enum import StrEnum

import pytest

from outhaul import models
from tests.unit.samples import LOCAL, OSS, S3, SLOW_DOWN, STORED, a_job, an_attempt


def test_the_attempt_is_counted_on_the_store_whose_turn_it_is() -> None:
    """A job's attempt number is that of its store, 0 where none was ever charged."""

    assert a_job(store=S3, attempts={S3: 4, OSS: 2}).attempt == 4
    assert a_job(store=OSS, attempts={S3: 4, OSS: 2}).attempt == 2
    assert a_job(store=LOCAL, attempts={S3: 4, OSS: 2}).attempt == 0


@pytest.mark.parametrize(
    "value",
    [a_job(), SLOW_DOWN, STORED, an_attempt(STORED)],
    ids=lambda value: type(value).__name__,
)
def test_values_do_not_change(value: object) -> None:
    """What one thread hands to another is frozen."""

    field = dataclasses.fields(value)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)


@pytest.mark.parametrize(
    ("enum", "words"),
    [
        (models.Operation, "upload delete"),
        (models.Status, "pending running done failed cancelled"),
        (models.StoreName, "s3 oss local"),
        (models.OnSuccess, "keep delete"),
        (models.IfExists, "overwrite skip fail"),
        (models.Outcome, "succeeded retryable permanent lost interrupted fenced"),
    ],
)
def test_the_words_of_the_columns(enum: type[StrEnum], words: str) -> None:
    """These spellings are in people's SQL and may not change."""

    assert [str(member) for member in enum] == words.split()
