"""What a command could not do: a code for programs, one line for people, an exit code."""

from __future__ import annotations

from dataclasses import dataclass

from outhaul.cli.exit_codes import ExitCode
from outhaul.errors import ConfigError, JobNotFoundError, OuthaulError, SchemaError, one_line

#: Longest message shown, in characters: drivers can be wordy.
_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Failure:
    """`code` is stable; `message` is one printable line."""

    code: str
    message: str
    exit_code: ExitCode


def explain(error: Exception) -> Failure:
    """Put an error into words that hold neither our statements nor their parameters."""
    match error:
        case ConfigError():
            return Failure("CONFIG", error.message, ExitCode.CONFIG)
        case SchemaError():
            return Failure("SCHEMA", error.message, ExitCode.CONFIG)
        case JobNotFoundError():
            return Failure("NOT_FOUND", error.message, ExitCode.NOT_FOUND)
        case OuthaulError():
            return Failure(getattr(error, "code", "FAILED"), error.message, ExitCode.FAILED)
    return _explain_foreign(error)


def _explain_foreign(error: Exception) -> Failure:
    from sqlalchemy import exc  # noqa: PLC0415 - only on the way out

    words = " ".join(str(getattr(error, "orig", None) or error).split())
    if isinstance(error, exc.DataError | exc.IntegrityError):
        message = f"the database refused: {words}"
        return Failure("REFUSED", one_line(message, _LIMIT), ExitCode.FAILED)
    if isinstance(error, exc.SQLAlchemyError):
        message = f"the database of OUTHAUL_DATABASE_URL cannot be used: {words}"
        return Failure("DATABASE", one_line(message, _LIMIT), ExitCode.UNAVAILABLE)
    message = f"unexpected {type(error).__name__}: {words}"
    return Failure("INTERNAL", one_line(message, _LIMIT), ExitCode.FAILED)
