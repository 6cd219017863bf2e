"""Text from the database on a terminal: inert, whole, in any encoding."""

from __future__ import annotations

import pytest

from tests.support.command import outhaul
from tests.support.deployment import Deployment

#: What steers a terminal, forges a line, or means something to rich or to the shell.
_HOSTILE = "\x1b[2J\x1b]0;owned\x07 [red]x[/red] \r\nroot\u2028\x9b31m%s"


@pytest.mark.parametrize("command", [("jobs", "list"), ("jobs", "show", "1"), ("status",)])
def test_hostile_text_reaches_no_terminal(
    sqlite_deployment: Deployment, command: tuple[str, ...]
) -> None:
    """Keys, paths, errors and worker names from the database steer neither terminal nor table."""

    sqlite_deployment.insert(
        storage_key=_HOSTILE, source_path=_HOSTILE, last_error=_HOSTILE, last_error_code=_HOSTILE
    )
    sqlite_deployment.execute(
        "INSERT INTO upload_daemons (worker, host, pid, version, queues, slots, in_flight,"
        " lease_seconds) VALUES (:text, :text, 1, :text, :text, 1, 0, 3)",
        text=_HOSTILE,
    )
    shown = outhaul(sqlite_deployment.environment(), *command, terminal=True).out

    assert [char for char in shown if not char.isprintable() and char != "\n"] == []
    assert "\\u001b[2J\\u001b]0;owned\\u0007" in shown
    assert "[red]x[/red]" in shown


def test_a_hostile_outcome_reaches_no_terminal(sqlite_deployment: Deployment) -> None:
    """`enqueue --wait` prints what a daemon left in the row, and that may be anybody's text."""

    sqlite_deployment.execute(
        "CREATE TRIGGER settle AFTER INSERT ON upload_outbox BEGIN UPDATE upload_outbox"
        f" SET status = 'failed', last_error_code = 'X', last_error = '{_HOSTILE}'"
        " WHERE id = NEW.id; END"
    )
    line = ("enqueue", str(sqlite_deployment.file("a")), "a", "--wait")
    shown = outhaul(sqlite_deployment.environment(), *line, terminal=True).out

    assert shown.startswith("1 failed X: \\u001b[2J")
    assert "\x1b" not in shown


def test_json_is_ascii_and_whole(sqlite_deployment: Deployment) -> None:
    """Hostile text comes back from `--json` as it was, by way of printable ASCII."""

    sqlite_deployment.insert(storage_key=_HOSTILE, source_path="/spool/é")
    answer = outhaul(sqlite_deployment.environment(), "jobs", "list", "--json", terminal=True)

    assert answer.out.rstrip("\n").isascii()
    assert answer.out.rstrip("\n").isprintable()
    assert [job["storage_key"] for job in answer.data] == [_HOSTILE]


def test_a_long_key_is_shown_whole(sqlite_deployment: Deployment) -> None:
    """A key of 1,023 bytes is folded, never cut: it is what the object is found by."""

    key = "k" * 1000 + "-the-end-of-this-key.xz"
    sqlite_deployment.insert(storage_key=key, source_path="/spool/a")
    shown = outhaul(sqlite_deployment.environment(), "jobs", "show", "1").out

    assert key in "".join(shown.split())


def test_a_terminal_without_unicode_is_served(sqlite_deployment: Deployment) -> None:
    """What its encoding cannot show is escaped, not a traceback."""

    sqlite_deployment.insert(storage_key="größe", source_path="/spool/a")
    done = sqlite_deployment.outhaul("jobs", "list", PYTHONIOENCODING="ascii")

    assert (done.returncode, done.stderr) == (0, "")
    assert "gr\\xf6\\xdfe" in done.stdout
