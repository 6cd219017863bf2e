"""minio-py. `python -m bench.peers.minio_client URL`."""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from minio import Minio

from bench.account import ACCESS_KEY, BUCKET, REGION, SECRET_KEY
from bench.peers.resident import Clock, serve


def _client() -> Minio:
    where = urlsplit(sys.argv[1]).netloc
    return Minio(where, access_key=ACCESS_KEY, secret_key=SECRET_KEY, secure=False, region=REGION)


def large(clock: Clock, path: str) -> None:
    """`fput_object`, in parts of 16 MiB, ten at once."""
    client = _client()
    with clock.running():
        client.fput_object(BUCKET, "minio/large", path, part_size=16 << 20, num_parallel_uploads=10)


if __name__ == "__main__":
    serve({"large": large})
