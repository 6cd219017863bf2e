"""oss2, bare. `python -m bench.peers.oss2_client URL`."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import oss2

from bench.account import ACCESS_KEY, BUCKET, SECRET_KEY
from bench.peers.resident import Clock, files, in_threads, serve


@cache
def _bucket(connections: int) -> Any:
    session = oss2.Session(pool_size=connections)
    # Its default, V1, is also its fastest: V4 costs half a millisecond more per request.
    return oss2.Bucket(oss2.Auth(ACCESS_KEY, SECRET_KEY), sys.argv[1], BUCKET, session)


def small(clock: Clock, directory: str, count: int, threads: int) -> None:
    """`put_object` of each file's bytes."""
    bucket = _bucket(max(threads, 10))

    def put(path: Path) -> None:
        bucket.put_object(f"oss2/{path.name}", path.read_bytes())

    paths = files(directory, count)
    in_threads(put, paths[:threads], threads)
    with clock.running():
        in_threads(put, paths, threads)


if __name__ == "__main__":
    serve({"small": small})
