"""What a test needs of the machine it runs on."""

from __future__ import annotations

import os

import pytest


def need(*, given: bool, missing: str) -> None:
    """Skip the test where its means are missing; where all tests must run, fail instead.

    Raises:
        RuntimeError: the means are missing, and OUTHAUL_TESTS_REQUIRE_ALL=1 forbids to skip.
    """
    if given:
        return
    if os.environ.get("OUTHAUL_TESTS_REQUIRE_ALL") == "1":
        raise RuntimeError(missing)
    pytest.skip(missing)
