"""A store of parts in memory that records what it is asked, and fails where it is told to."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, Self

from outhaul.digests import Digests, digest
from outhaul.stores.base import Receipt, Upload
from outhaul.stores.multipart import Part
from outhaul.transfer import Budget, Transfer, current_transfer


@dataclass(slots=True)
class PartStore:
    """Keeps parts by number. `events` is the order of what happened.

    `faults` maps an event to what is called instead of it going well.
    """

    faults: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    parts: dict[int, bytes] = field(default_factory=dict)
    completed: list[Part] | None = None
    events: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def create(self, _upload: Upload) -> str:
        """Open the one upload."""
        self._meet("create")
        return "upload-1"

    def put_part(self, _upload: Upload, upload_id: str, number: int, content: bytes) -> Part:
        """Keep a part."""
        assert upload_id == "upload-1"
        self._meet(f"part {number}")
        with self._lock:
            self.parts[number] = bytes(content)
        sha256 = hashlib.sha256(content).digest()
        return Part(number, hashlib.md5(content).hexdigest(), sha256)

    def complete(self, _upload: Upload, upload_id: str, parts: list[Part]) -> Receipt:
        """Make the parts an object."""
        assert upload_id == "upload-1"
        self._meet("complete")
        self.completed = parts
        return Receipt(etag="whole")

    def abort(self, key: str, upload_id: str) -> None:
        """Drop the upload; an abort needs time of its own to be sent in."""
        assert (key, upload_id) == ("key", "upload-1")
        assert current_transfer().remaining() > 0
        self._meet("abort")

    def _meet(self, event: str) -> None:
        self.faults.get(event, lambda: None)()
        with self._lock:
            self.events.append(event)


@dataclass(slots=True)
class Alive:
    """How many contents of one body are in memory, and how many were at most."""

    now: int = 0
    most: int = 0


class Content(bytes):
    """Bytes that are counted while they are alive."""

    def __new__(cls, content: bytes, alive: Alive) -> Self:
        """Bring one to life."""
        created = super().__new__(cls, content)
        created._alive = alive
        alive.now += 1
        alive.most = max(alive.most, alive.now)
        return created

    _alive: Alive

    def __del__(self) -> None:
        self._alive.now -= 1


@dataclass(frozen=True, slots=True)
class PatternBody:
    """Bytes that are made as they are read, and counted as long as somebody holds them."""

    size_bytes: int
    alive: Alive = field(default_factory=Alive)

    def read_at(self, offset: int, size: int) -> bytes:
        """The bytes from `offset`: the same letter throughout, and none beyond the end."""
        assert offset + size <= self.size_bytes
        return Content(b"x" * size, self.alive)

    def digests(self, step: int) -> Digests:
        """What the whole body is, read in steps."""
        return digest(self._blocks(step))

    def _blocks(self, step: int) -> Iterator[bytes]:
        for offset in range(0, self.size_bytes, step):
            yield self.read_at(offset, min(step, self.size_bytes - offset))


class Lazy(Executor):
    """Does nothing until a result is asked for: the executor that holds on longest."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Put a call off."""
        return _Owed(call, args, kwargs)


class _Owed(Future[Any]):
    def __init__(
        self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        super().__init__()
        self._owed: tuple[Any, ...] | None = (call, args, kwargs)

    def result(self, timeout: float | None = None) -> Any:
        """Make the call now, if it was not made yet."""
        if self._owed is not None:
            call, args, kwargs = self._owed
            self._owed = None
            self.set_result(call(*args, **kwargs))
        return super().result(timeout)


def an_upload(body: PatternBody, digests: Digests, transfer: Transfer | None = None) -> Upload:
    """An upload of a body under the key `key`."""
    return Upload("key", body, digests, transfer or Transfer(Budget()))
