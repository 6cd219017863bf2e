"""The command line before it does anything: help, exit codes, usage errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from outhaul import __version__
from outhaul.cli import cli
from outhaul.cli.exit_codes import ExitCode
from tests.support.command import outhaul

#: Each costs a tenth of a second or more: help must not wait for them.
_HEAVY = {"alembic", "boto3", "botocore", "oss2", "pydantic", "rich", "sqlalchemy", "structlog"}

_LOADED = """
import sys
from outhaul.cli import cli
try:
    cli(sys.argv[1:])
finally:
    print("loaded:", *sys.modules, file=sys.stderr)
"""


def _commands(
    group: click.Group, context: click.Context, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    """Every command and group below a group, with its full name."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from _commands(command, context, (*path, name))


_ALL = dict(_commands(cli, click.Context(cli)))


@pytest.mark.parametrize("line", ["--help", "--version", "jobs --help", "enqueue --help"])
def test_help_loads_nothing_heavy(line: str) -> None:
    """Help is there at once: no SDK, no database library, no validation library is imported."""

    command = [sys.executable, "-c", _LOADED, *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    loaded = done.stderr.rpartition("loaded:")[2].split()
    assert done.stdout
    assert "click" in loaded
    assert _HEAVY.isdisjoint(loaded)


@pytest.mark.parametrize("name", _ALL)
def test_everything_explains_itself(name: str) -> None:
    """Every command and every option has a help text, and `--help` shows them."""

    command = _ALL[name]
    shown = outhaul({}, *name.split(), "--help")

    assert shown.exit_code == 0
    assert command.help
    assert command.help.split("\n")[0] in " ".join(shown.out.split())
    assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []


def test_the_overview_is_cut_nowhere() -> None:
    """In 80 columns each command's sentence is read to its end."""

    shown = [outhaul({}, *group, "--help").out for group in ((), ("db",), ("jobs",))]

    assert [text for text in shown if "..." in text.replace("[ARGS]...", "")] == []


def test_the_exit_codes_are_documented() -> None:
    """`outhaul --help` names every exit code."""

    shown = outhaul({}, "--help").out.replace(",", " ").split()

    assert [code.name for code in ExitCode if str(code.value) not in shown] == []


def test_the_version_is_shown() -> None:
    """`--version` names the program and its version."""

    assert outhaul({}, "--version").out == f"outhaul, version {__version__}\n"


def test_the_program_and_the_module_are_one() -> None:
    """`python -m outhaul` is the command line too."""

    done = subprocess.run(
        [sys.executable, "-m", "outhaul", "--version"], capture_output=True, text=True, check=True
    )

    assert done.stdout == f"outhaul, version {__version__}\n"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("unknown", "unknown"),
        ("jobs list --status lost", "lost"),
        ("jobs list --limit 0", "limit"),
        ("jobs list --before 0", "before"),
        ("jobs show", "ID"),
        ("jobs show seven", "seven"),
        ("jobs show 9223372036854775808", "ID"),
        ("retry", "ID"),
        ("cancel 0", "ID"),
        ("enqueue", "FILE"),
        ("enqueue file key --priority 10", "priority"),
        ("enqueue file key --meta colour", "NAME=VALUE"),
        ("enqueue --inline /nowhere/file key", "/nowhere/file"),
        ("doctor --retry local", "local"),
        ("db sql --dialect oracle", "oracle"),
    ],
)
def test_a_wrong_line_is_a_usage_error(line: str, word: str) -> None:
    """Exit code 2 with the wrong word named, on standard error, or in JSON where asked for."""

    told, json = outhaul({}, *line.split()), outhaul({}, *line.split(), "--json")

    assert (told.exit_code, told.out, json.exit_code, json.err) == (2, "", 2, "")
    code, message = json.error
    assert code == "USAGE"
    assert word in message
    assert message in " ".join(told.err.split())


@pytest.mark.parametrize(
    "line", ["enqueue /file\udcff key", "enqueue /file key\udcff", "jobs list --error \udcff"]
)
def test_an_argument_that_is_no_text_is_refused(line: str, tmp_path: object) -> None:
    """Bytes that are not UTF-8 fit into no row: exit code 1 or 2, and no traceback."""

    environment = {"OUTHAUL_DATABASE_URL": f"sqlite:///{tmp_path}/outbox.db"}
    outhaul(environment, "db", "upgrade")
    answer = outhaul(environment, *line.split(" "), "--json")

    assert answer.error[0] in {"USAGE", "INVALID_KEY"}
    assert "UTF-8" in answer.error[1]
