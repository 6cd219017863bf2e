"""One outbox, its stores and its daemons, set up as a user would set them up."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine, text

from outhaul import migrate
from outhaul.outbox.engine import open_engine
from tests.support.daemon import DaemonProcess
from tests.support.fault_proxy import FaultProxy
from tests.support.oss import OssServer
from tests.support.seaweed import SeaweedServer
from tests.support.waiting import wait_for

#: What a daemon gets of this process's environment: tests must not lean on the rest.
_INHERITED = ("PATH", "LANG", "TMPDIR")

_FINAL = {"done", "failed", "cancelled"}


class Deployment:
    """A fresh outbox in front of a real S3 server, an OSS server, and a local directory.

    Both clouds are reached through a fault proxy: `s3` and `oss_front`. Keys carry a prefix of
    this deployment, since the S3 bucket is shared.
    """

    def __init__(
        self, database_url: str, directory: Path, *, seaweed: SeaweedServer, s3: FaultProxy,
        oss: OssServer, oss_front: FaultProxy,
    ) -> None:  # fmt: skip
        self.database_url, self.directory = database_url, directory
        self.seaweed, self.s3, self.oss, self.oss_front = seaweed, s3, oss, oss_front
        self.prefix = f"t{secrets.token_hex(4)}"
        self.spool, self.local = directory / "spool", directory / "local"
        self.spool.mkdir()
        self.engine: Engine = open_engine(database_url)
        migrate.upgrade(self.engine)

    def environment(self, **overrides: str) -> dict[str, str]:
        """The environment of a daemon: quick retries, short leases, S3 then OSS."""
        oss = self.oss.identity
        base = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return (
            base
            | {
                "HOME": str(self.directory),
                "OUTHAUL_DATABASE_URL": self.database_url,
                "OUTHAUL_SOURCE_ROOTS": str(self.spool),
                "OUTHAUL_UPLOAD_RETRY_DELAYS": "0.1,0.2,0.3",
                "OUTHAUL_LEASE_SECONDS": "3",
                "OUTHAUL_ATTEMPT_TIMEOUT_SECONDS": "10",
                "OUTHAUL_LOG_FORMAT": "json",
                "AWS_ACCESS_KEY_ID": self.seaweed.access_key,
                "AWS_SECRET_ACCESS_KEY": self.seaweed.secret_key,
                "AWS_REGION": self.seaweed.region,
                "S3_BUCKET_NAME": self.seaweed.bucket,
                "S3_ENDPOINT_URL": self.s3.url,
                "ALICLOUD_OSS_ACCESS_KEY_ID": oss["access_key_id"],
                "ALICLOUD_OSS_ACCESS_KEY_SECRET": oss["access_key_secret"],
                "ALICLOUD_OSS_BUCKET_NAME": oss["bucket"],
                "ALICLOUD_OSS_ENDPOINT": self.oss_front.url,
                "ALICLOUD_OSS_REGION": "us-east-1",
            }
            | overrides
        )

    def daemon(self, name: str = "daemon", **overrides: str) -> DaemonProcess:
        """A daemon, not yet started: use it as a context manager."""
        return DaemonProcess(self.environment(**overrides), self.directory / f"{name}.log")

    def outhaul(self, *arguments: str, **overrides: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line."""
        return subprocess.run(
            [sys.executable, "-m", "outhaul", *arguments],
            env=self.environment(**overrides),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def key(self, name: str) -> str:
        """A key of this deployment's own."""
        return f"{self.prefix}/{name}"

    def file(self, name: str, content: bytes = b"content") -> Path:
        """A file in the spool."""
        path = self.spool / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def insert(self, **columns: Any) -> int:
        """Insert a row by plain SQL, as a client would; returns its id."""
        names = ", ".join(columns)
        values = ", ".join(f":{name}" for name in columns)
        with self.engine.begin() as connection:
            connection.execute(
                text(f"INSERT INTO upload_outbox ({names}) VALUES ({values})"), columns
            )
            return int(connection.execute(text("SELECT max(id) FROM upload_outbox")).scalar_one())

    def insert_file(self, name: str, content: bytes = b"content", **columns: Any) -> int:
        """A file in the spool, and a row that asks for it under the key of the same name."""
        return self.insert(
            storage_key=self.key(name), source_path=str(self.file(name, content)), **columns
        )

    def execute(self, statement: str, **values: Any) -> None:
        """Change the database behind the daemon's back."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def query(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Ask the database."""
        with self.engine.begin() as connection:
            return [dict(row) for row in connection.execute(text(statement), values).mappings()]

    def job(self, job_id: int) -> dict[str, Any]:
        """A row of the outbox."""
        return self.query("SELECT * FROM upload_outbox WHERE id = :id", id=job_id)[0]

    def attempts(self, job_id: int) -> list[dict[str, Any]]:
        """A job's attempt rows, oldest first."""
        return self.query(
            "SELECT * FROM upload_attempts WHERE job_id = :id ORDER BY fence", id=job_id
        )

    def wait_final(self, *job_ids: int, seconds: float = 30.0) -> list[dict[str, Any]]:
        """The rows of jobs, once each has reached its end."""
        wait_for(
            lambda: all(self.job(job_id)["status"] in _FINAL for job_id in job_ids),
            seconds,
            f"jobs {job_ids} to end; they are {[self.job(i)['status'] for i in job_ids]}",
        )
        return [self.job(job_id) for job_id in job_ids]

    def s3_content(self, name: str) -> bytes:
        """What the S3 server holds under this deployment's key."""
        answer = self.seaweed.client().get_object(Bucket=self.seaweed.bucket, Key=self.key(name))
        return bytes(answer["Body"].read())

    def oss_content(self, name: str) -> bytes:
        """What the OSS server holds under this deployment's key."""
        return bytes(self.oss.objects[self.key(name)].data)

    def puts(self, name: str | None = None) -> list[Any]:
        """The PUT requests that reached the S3 proxy, all or those of one key."""
        return [
            request
            for request in self.s3.requests
            if request.method == "PUT" and (name is None or request.key == self.key(name))
        ]


@contextmanager
def deploy(database_url: str, directory: Path, seaweed: SeaweedServer) -> Iterator[Deployment]:
    """A deployment, and its end."""
    oss = OssServer(bucket="outhaul-test", access_key_id="oss-id", access_key_secret="oss-secret")
    with oss, FaultProxy(seaweed.address) as s3, FaultProxy(_address(oss.url)) as oss_front:
        deployment = Deployment(
            database_url, directory, seaweed=seaweed, s3=s3, oss=oss, oss_front=oss_front
        )
        try:
            yield deployment
        finally:
            deployment.engine.dispose()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0
