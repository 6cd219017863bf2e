"""rclone and s5cmd, as whole processes: their start is part of what their users wait for."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench.account import BUCKET, ENVIRONMENT
from bench.figures import PeerError
from bench.fleet import peer_program
from bench.processes import peak_memory

#: All of rclone's own checks off: the fastest it can be, and no record of what was proven.
_RCLONE = (
    "--config=",
    "--s3-provider=Other",
    "--s3-env-auth",
    "--s3-force-path-style",
    "--s3-no-check-bucket",
    "--s3-no-head",
    "--s3-disable-checksum",
    "--s3-use-multipart-etag=false",
    "--no-check-dest",
    "--ignore-checksum",
    "--s3-chunk-size=16M",
    "--s3-upload-concurrency=10",
    "--buffer-size=0",
    # Else it looks for the finished object, which the sink does not keep.
    "--multi-thread-streams=0",
)


class Finished:
    """What one run of a program took."""

    def __init__(self, command: Sequence[str]) -> None:
        # HOME must not lend it a configuration of the user's.
        environment = ENVIRONMENT | {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
        begun = time.monotonic()
        child = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        # Not its ru_maxrss: that begins with the size of the process that forked it.
        with peak_memory(child.pid) as peak:
            output = child.stdout.read() if child.stdout else b""
            _, status, usage = os.wait4(child.pid, 0)
            self.seconds = time.monotonic() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.peak_bytes = peak.bytes
        if child.returncode:
            words = output.decode(errors="replace")[-500:]
            raise PeerError(f"{command[0]} ended with {child.returncode}: {words}")


def rclone(source: Path, url: str, transfers: int) -> Finished:
    """Copy a file or a directory by rclone.

    Raises:
        PeerError: it is not there, or it failed.
    """
    command = [
        peer_program("rclone"),
        "copy",
        str(source),
        f":s3:{BUCKET}/rclone",
        f"--s3-endpoint={url}",
        f"--transfers={transfers}",
        *_RCLONE,
    ]
    return Finished(command)


def s5cmd(source: Path, url: str, workers: int) -> Finished:
    """Copy a file or a directory by s5cmd.

    Raises:
        PeerError: it is not there, or it failed.
    """
    what = f"{source}/" if source.is_dir() else str(source)
    command = [
        peer_program("s5cmd"),
        f"--endpoint-url={url}",
        f"--numworkers={workers}",
        "--log=error",
        "cp",
        "--part-size=16",
        "--concurrency=10",
        what,
        f"s3://{BUCKET}/s5cmd/",
    ]
    return Finished(command)
