"""boto3, bare: the loop that people write. `python -m bench.peers.boto3_client URL`."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import boto3.session
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from bench.account import ACCESS_KEY, BUCKET, REGION, SECRET_KEY
from bench.peers.resident import Clock, files, in_threads, serve

#: The best that was found for one large file: larger parts, fewer threads, no second checksum.
_TUNED = TransferConfig(
    multipart_threshold=64 << 20, multipart_chunksize=64 << 20, max_concurrency=4
)


@cache
def _client(connections: int, checksum: str = "when_supported") -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=sys.argv[1],
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(
            max_pool_connections=connections,
            s3={"addressing_style": "path"},
            request_checksum_calculation=checksum,
        ),
    )


def small(clock: Clock, directory: str, count: int, threads: int) -> None:
    """`put_object` of each file's bytes, from one shared client."""
    client = _client(max(threads, 10))

    def put(path: Path) -> None:
        client.put_object(Bucket=BUCKET, Key=f"boto3/{path.name}", Body=path.read_bytes())

    paths = files(directory, count)
    in_threads(put, paths[:threads], threads)
    with clock.running():
        in_threads(put, paths, threads)


def large(clock: Clock, path: str, *, tuned: bool) -> None:
    """`upload_file`, as it comes or at its best."""
    client = _client(10, "when_required" if tuned else "when_supported")
    with clock.running():
        client.upload_file(path, BUCKET, "boto3/large", Config=_TUNED if tuned else None)


if __name__ == "__main__":
    serve({"small": small, "large": large})
