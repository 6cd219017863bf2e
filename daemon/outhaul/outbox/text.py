"""Byte lengths in SQL: keys are limited in bytes, and every dialect counts them its own way."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Integer
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement


class octets(ColumnElement[int]):  # noqa: N801 - reads as the SQL function it is
    """The length of a text column in bytes of UTF-8."""

    inherit_cache = False
    type = Integer()

    def __init__(self, column: str) -> None:
        self.column = column


@compiles(octets)
def _octet_length(element: octets, _compiler: SQLCompiler, **_: Any) -> str:
    return f"octet_length({element.column})"


@compiles(octets, "sqlite")
def _sqlite_octet_length(element: octets, _compiler: SQLCompiler, **_: Any) -> str:
    return f"length(CAST({element.column} AS BLOB))"
