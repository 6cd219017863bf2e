"""What the exit code says, for scripts and for systemd. They are part of the interface."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    NOT_FOUND = 4
    UNAVAILABLE = 69
    CONFIG = 78
