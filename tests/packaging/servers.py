"""`python -m tests.packaging.servers NAME FILE`: a real server, run inside the machine.

Once the server answers, FILE holds the settings that lead a daemon to it, and systemd is told.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from outhaul.notifier import Notifier
from tests.support.oss import OssServer
from tests.support.postgresql import PostgresServer
from tests.support.seaweed import SeaweedServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Runs this module; an instance is a server.
UNIT = """\
[Service]
Type=notify
WorkingDirectory=/opt/repository
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart=/opt/outhaul/bin/python -m tests.packaging.servers %i /var/lib/servers/%i.env
StateDirectory=servers
"""


@contextlib.contextmanager
def s3() -> Iterator[Mapping[str, str]]:
    """SeaweedFS: it refuses a wrong signature."""
    with SeaweedServer() as server:
        yield {
            "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key,
            "AWS_REGION": server.region,
            "S3_BUCKET_NAME": server.bucket,
            "S3_ENDPOINT_URL": server.url,
        }


@contextlib.contextmanager
def oss() -> Iterator[Mapping[str, str]]:
    """Our OSS server: it refuses a wrong signature too."""
    with OssServer("fallback", "oss-id", "oss-secret") as server:
        yield {
            "ALICLOUD_OSS_ACCESS_KEY_ID": "oss-id",
            "ALICLOUD_OSS_ACCESS_KEY_SECRET": "oss-secret",
            "ALICLOUD_OSS_BUCKET_NAME": "fallback",
            "ALICLOUD_OSS_ENDPOINT": server.url,
            "ALICLOUD_OSS_REGION": "us-east-1",
        }


@contextlib.contextmanager
def postgresql() -> Iterator[Mapping[str, str]]:
    """PostgreSQL, with an empty database."""
    with PostgresServer() as server:
        yield {"OUTHAUL_DATABASE_URL": server.create_database()}


def main(name: str, file: str) -> None:
    """Serve until TERM."""
    # Blocked before any thread starts, so that only the wait below receives it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with {"s3": s3, "oss": oss, "postgresql": postgresql}[name]() as settings:
        Path(file).write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        Notifier().ready(f"{name} answers")
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    main(*sys.argv[1:])
