"""obstore, the Rust client. `python -m bench.peers.obstore_client URL`."""

from __future__ import annotations

import sys
from pathlib import Path

import obstore
from obstore.store import S3Store

from bench.account import ACCESS_KEY, BUCKET, REGION, SECRET_KEY
from bench.peers.resident import Clock, files, in_threads, serve

_STORE = S3Store(
    BUCKET,
    endpoint=sys.argv[1],
    region=REGION,
    access_key_id=ACCESS_KEY,
    secret_access_key=SECRET_KEY,
    virtual_hosted_style_request=False,
    client_options={"allow_http": True},
)


def _put(path: Path) -> None:
    obstore.put(_STORE, f"obstore/{path.name}", path.read_bytes(), use_multipart=False)


def small(clock: Clock, directory: str, count: int, threads: int) -> None:
    """`put` of each file's bytes; it releases the interpreter meanwhile."""
    paths = files(directory, count)
    in_threads(_put, paths[:threads], threads)
    with clock.running():
        in_threads(_put, paths, threads)


def large(clock: Clock, path: str) -> None:
    """`put` of a path, in parts of 16 MiB, ten at once."""
    with clock.running():
        obstore.put(_STORE, "obstore/large", Path(path), chunk_size=16 << 20, max_concurrency=10)


if __name__ == "__main__":
    serve({"small": small, "large": large})
