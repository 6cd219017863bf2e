"""The command line, run in this process: quick enough to drive every command into every trouble."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

from click.testing import CliRunner

from outhaul.cli import cli


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, and its exit code."""

    exit_code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """Standard output as the one JSON object that it must be."""
        envelope: dict[str, Any] = json.loads(self.out)
        assert envelope["ok"] is (self.exit_code == 0)
        assert set(envelope) <= {"ok", "data", "error"}
        assert envelope["ok"] is ("error" not in envelope)
        return envelope

    @property
    def data(self) -> Any:
        """What a command that went well found."""
        assert self.exit_code == 0, self
        return self.envelope["data"]

    @property
    def error(self) -> tuple[str, str]:
        """Code and message of a command that did not."""
        error = self.envelope["error"]
        assert error.keys() == {"code", "message"}
        assert len(error["message"].splitlines()) == 1
        return error["code"], error["message"]


def outhaul(environment: Mapping[str, str], *arguments: str, terminal: bool = False) -> Answer:
    """Run a command line with nothing but this environment.

    Args:
        environment: all that it gets to know.
        arguments: without the program's name.
        terminal: as on a terminal: what would steer one is printed as it is.

    Raises:
        AssertionError: it ended in a traceback.
    """
    with mock.patch.dict(os.environ, environment, clear=True):
        result = CliRunner().invoke(cli, arguments, prog_name="outhaul", color=terminal)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"a traceback from {arguments}") from result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)
