"""Open a file below a directory and nowhere else: openat2, or a walk where the kernel lacks it."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from pathlib import PurePosixPath

#: The same number on every architecture that has the system call (linux/asm-generic/unistd.h).
_SYS_OPENAT2 = 437

#: linux/openat2.h
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08

#: O_NONBLOCK: opening a pipe that nobody writes would block for ever.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY


def open_beneath(root: int, relative: str) -> int:
    """A descriptor of `relative` below the directory descriptor `root`.

    Raises:
        OSError: EXDEV when the path leads out of the root, ELOOP when it ends in a link.
    """
    if has_openat2():
        return _openat2(root, os.fsencode(relative))
    return _walk(root, PurePosixPath(relative).parts)


@functools.cache
def has_openat2() -> bool:
    """Whether the kernel (5.6) and the sandbox let us use it."""
    try:
        descriptor = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.close(_openat2(descriptor, b".", os.O_PATH | os.O_CLOEXEC))
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def _openat2(root: int, relative: bytes, flags: int = _FLAGS) -> int:
    how = struct.pack("QQQ", flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    libc = _libc()
    descriptor = int(libc.syscall(_SYS_OPENAT2, root, relative, how, len(how)))
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return descriptor


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _walk(root: int, parts: tuple[str, ...]) -> int:
    """Stricter than openat2: a link anywhere in the path is refused."""
    if ".." in parts:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    directory = os.dup(root)
    try:
        for part in parts[:-1]:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            following = os.open(part, flags, dir_fd=directory)
            os.close(directory)
            directory = following
        return os.open(parts[-1] if parts else ".", _FLAGS, dir_fd=directory)
    finally:
        os.close(directory)
