"""The main job for real: rows in, files out, with S3 well, with S3 down, with both clouds down.

Everything runs on loopback and in `.demo`, below the current directory. Exit code 0 means that
everything was as promised, 1 that something was not, 130 that it was interrupted.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from tests.support.seaweed import SeaweedServer

from demo import acts, stage, verdict
from demo.clouds import Clouds, open_clouds
from demo.daemon import Daemon
from demo.outbox import Outbox
from demo.spool import Spool

_INHERITED = ("PATH", "LANG", "TMPDIR")


def main() -> int:
    """Run the demo; returns the exit code."""
    if command := SeaweedServer.missing():
        stage.say(f"The demo needs an S3 server. Run this, then try again: {command}")
        return 1
    # A proxy for the world outside must not get the requests to loopback.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        _play(_fresh_directory())
    except KeyboardInterrupt:
        stage.say("\nInterrupted. The daemon and the servers are stopped.")
        return 130
    except (stage.BrokenPromiseError, TimeoutError) as broken:
        stage.say(f"\nNOT AS PROMISED: {broken}")
        return 1
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Unwind once; an impatient second Ctrl-C must not leave servers behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _fresh_directory() -> Path:
    directory = Path(".demo").absolute()
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir()
    return directory


def _play(directory: Path) -> None:
    start = time.monotonic()
    spool, outbox = Spool(directory / "spool"), Outbox(directory / "outbox.db")
    spool.fill()
    stage.act("outhaul: commit a row, and the file gets stored, verified, and accounted for")
    stage.say("An S3 server, an OSS server and the daemon start, on this machine only.")
    stage.say(f"SQL is run by {outbox.client or 'the sqlite3 of Python'} on {outbox.file}")
    with open_clouds() as clouds:
        environment = _environment(directory, clouds)
        with Daemon(environment) as daemon:
            daemon.wait_ready()
            acts.s3_is_well(outbox, spool)
            acts.s3_is_down(outbox, spool, clouds)
            acts.both_are_down(outbox, spool, clouds)
            _show_results(outbox, clouds, environment)
            stage.act("The daemon stops in order: SIGTERM")
            code = daemon.stop()
        stage.promise(code == 0, f"the daemon ends with exit code 0, not {code}")
        count = verdict.download_all(outbox, spool, clouds, directory / "local")
    stage.act("As promised")
    stage.say(f"{count} objects in three stores, all equal to their sources; one job failed, for")
    stage.say(f"want of its file. {time.monotonic() - start:.0f} s. Look around in {directory}")


def _show_results(outbox: Outbox, clouds: Clouds, environment: dict[str, str]) -> None:
    verdict.show_outcomes(outbox)
    verdict.show_the_missing_file(outbox, clouds)
    verdict.show_a_fallback(outbox)
    stage.act("The same at a glance: outhaul status")
    command = [sys.executable, "-m", "outhaul", "status"]
    told = subprocess.run(  # noqa: S603 - no outside input
        command, env=environment, capture_output=True, text=True, check=True
    )
    stage.quote(told.stdout, "")


def _environment(directory: Path, clouds: Clouds) -> dict[str, str]:
    """The whole environment of the daemon: what the user's own may hold must not matter."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return (
        inherited
        | clouds.settings()
        | {
            "HOME": str(directory),
            "OUTHAUL_DATABASE_URL": f"sqlite:///{directory}/outbox.db",
            "OUTHAUL_SOURCE_ROOTS": str(directory / "spool"),
            "OUTHAUL_LOCAL_DIR": str(directory / "local"),
            "OUTHAUL_UPLOAD_RETRY_DELAYS": "0.5,1,2",
        }
    )


if __name__ == "__main__":
    sys.exit(main())
