"""What review would otherwise have to look for: promises, sizes, and who may write a status."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

#: Our budget for what a reader takes in at once.
MODULE_LINES, FUNCTION_LINES = 300, 50

#: Who pairs a status with other values: the named transitions and the statements of the outbox.
WRITERS = ("daemon/outhaul/transitions.py", "daemon/outhaul/outbox/")

_SENTENCE = re.compile(r"[^\s].*[.?]")
_WRITTEN_IN_SQL = re.compile(r"(?is)\bupdate\b.*\bset\b.*\bstatus\s*=|\binsert\b.*\bstatus\b")


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module, methods and inner ones included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_one_sentence(text: str | None) -> bool:
    """Whether a docstring is one sentence, on however many lines."""
    told = " ".join((text or "").split())
    return bool(_SENTENCE.fullmatch(told)) and not re.search(r"[.?!] [A-Z]", told)


def unpromised(source: str) -> list[str]:
    """The tests of a module that do not say in one sentence what they promise."""
    return [
        function.name
        for function in functions(ast.parse(source))
        if function.name.startswith("test_") and not is_one_sentence(ast.get_docstring(function))
    ]


def overlong(source: str) -> list[str]:
    """What of a module is longer than our budget."""
    found = [
        function.name
        for function in functions(ast.parse(source))
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES
    ]
    return found + (["the module"] if len(source.splitlines()) > MODULE_LINES else [])


def status_writes(source: str) -> list[int]:
    """The lines on which a module writes the status of a job, in Python or in SQL."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.expr) and (_writes_in_python(node) or _writes_in_sql(node))
    ]


def _writes_in_python(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
    sets_status = any(keyword.arg == "status" for keyword in node.keywords)
    return called == "Settlement" or (called in {"values", "replace"} and sets_status)


def _writes_in_sql(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and bool(_WRITTEN_IN_SQL.search(node.value))
    )


def offences(directory: str, of: Callable[[str], list[Any]]) -> dict[str, list[Any]]:
    """What a check finds in the Python files below a directory of the repository."""
    found = {
        str(path.relative_to(ROOT)): of(path.read_text())
        for path in (ROOT / directory).rglob("*.py")
    }
    return {path: offending for path, offending in found.items() if offending}


def test_every_test_is_a_promise() -> None:
    """A test says in one sentence what users and operators may rely on."""

    assert offences("tests", unpromised) == {}


def test_the_product_is_read_in_small_pieces() -> None:
    """No module is over 300 lines and no function over 50."""

    assert offences("daemon", overlong) == {}


def test_nobody_sets_a_status_by_hand() -> None:
    """Only the named transitions and the outbox's own statements write what a job's status is."""

    writers = offences("daemon", status_writes)

    assert "daemon/outhaul/transitions.py" in writers
    assert [path for path in writers if not path.startswith(WRITERS)] == []


@pytest.mark.parametrize(
    ("docstring", "good"),
    [
        ("One sentence.", True),
        ("A question?", True),
        ("On two\n    lines.", True),
        ("Waits are 2.5 s, e.g. here.", True),
        ("", False),
        ("No full stop", False),
        ("Two. Sentences.", False),
    ],
)
def test_what_counts_as_one_sentence(docstring: str, good: bool) -> None:
    """The check of the promises finds their absence."""

    source = f'def test_it() -> None:\n    """{docstring}"""\n'

    assert unpromised(source) == ([] if good else ["test_it"])


@pytest.mark.parametrize(
    ("lines", "found"), [(49, []), (50, ["long"]), (300, ["long", "the module"])]
)
def test_what_counts_as_too_long(lines: int, found: list[str]) -> None:
    """The check of the sizes counts the line of the definition too."""

    assert overlong("def long() -> None:\n" + "    pass\n" * lines) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("Settlement(attempt, outcome, Status.DONE, store)", True),
        ("transitions.Settlement(attempt, outcome, Status.DONE, store)", True),
        ("replace(settlement, status=Status.DONE)", True),
        ("update(outbox).values(status='done')", True),
        ("text(\"UPDATE upload_outbox SET status = 'done'\")", True),
        ("text('update upload_outbox set fence = 1,\\n status=:s')", True),
        ("text('INSERT INTO upload_outbox (storage_key, status) VALUES (1, 2)')", True),
        ("text(\"SELECT id FROM upload_outbox WHERE status = 'done'\")", False),
        ("log.info('rescued', status=str(rescued.status))", False),
        ("Failure(code, message, http_status=503)", False),
        ("settlement.status is Status.DONE", False),
    ],
)
def test_what_counts_as_writing_a_status(source: str, found: bool) -> None:
    """The check of the writers finds each way of writing, and no way of reading."""

    assert bool(status_writes(source)) is found
