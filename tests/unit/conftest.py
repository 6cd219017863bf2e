"""Unit tests reach no server: what they examine is one module, and values."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from outhaul import beneath
from tests.unit.log import Log
from tests.unit.spool import Spool

# A loaded machine is no bug, so nothing is said about how long one example may take.
hypothesis.settings.register_profile("outhaul", deadline=None)
hypothesis.settings.load_profile("outhaul")


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in root.manager.loggerDict}
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in root.manager.loggerDict:
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))


@pytest.fixture(params=["json", "console"])
def log(request: pytest.FixtureRequest, restored_logging: None) -> Log:  # noqa: ARG001
    """A fresh log in either style."""
    return Log(request.param)


@pytest.fixture
def json_log(restored_logging: None) -> Log:  # noqa: ARG001
    """A fresh log for programs."""
    return Log("json")


@pytest.fixture
def console_log(restored_logging: None) -> Log:  # noqa: ARG001
    """A fresh log for people."""
    return Log("console")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool directory of one test."""
    return Spool(tmp_path)


@pytest.fixture(params=["openat2", "walk"])
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either way of opening a file below a root; an old kernel has only the second."""
    name: str = request.param
    if name == "walk" or not beneath.has_openat2():
        monkeypatch.setattr(beneath, "has_openat2", lambda: False)
        return "walk"
    return name
