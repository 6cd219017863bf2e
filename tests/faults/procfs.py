"""What the kernel says of a process: its descriptors, threads and memory."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path


def descriptors(pid: int) -> int:
    """How many descriptors are open."""
    return len(_targets(pid))


def sockets(pid: int) -> int:
    """How many of the descriptors are sockets."""
    return sum(target.startswith("socket:") for target in _targets(pid))


def threads(pid: int) -> int:
    """How many threads there are."""
    return _status(pid, "Threads")


def resident_bytes(pid: int) -> int:
    """Memory in use now."""
    return _status(pid, "VmRSS") * 1024


def peak_bytes(pid: int) -> int:
    """The most memory that was in use at any time."""
    return _status(pid, "VmHWM") * 1024


def _targets(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            found.append(str(link.readlink()))
    return found


def _status(pid: int, field: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    match = re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE)
    if match is None:
        raise AssertionError(f"/proc/{pid}/status has no {field}")
    return int(match[1])
