"""Two clouds on loopback, each behind a proxy that can take it away."""

from __future__ import annotations

import math
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.fault_proxy import FaultProxy
from tests.support.oss import OssServer
from tests.support.oss.client import open_bucket
from tests.support.seaweed import SeaweedServer

_LINK_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Clouds:
    """An S3 server and an OSS server, and the proxies through which the daemon reaches them."""

    seaweed: SeaweedServer
    oss: OssServer
    s3_proxy: FaultProxy
    oss_proxy: FaultProxy

    def settings(self) -> dict[str, str]:
        """What the daemon must know, by the names that it has for real clouds too."""
        oss = self.oss.identity
        return {
            "AWS_ACCESS_KEY_ID": self.seaweed.access_key,
            "AWS_SECRET_ACCESS_KEY": self.seaweed.secret_key,
            "AWS_REGION": self.seaweed.region,
            "S3_BUCKET_NAME": self.seaweed.bucket,
            "S3_ENDPOINT_URL": self.s3_proxy.url,
            "ALICLOUD_OSS_ACCESS_KEY_ID": oss["access_key_id"],
            "ALICLOUD_OSS_ACCESS_KEY_SECRET": oss["access_key_secret"],
            "ALICLOUD_OSS_BUCKET_NAME": oss["bucket"],
            "ALICLOUD_OSS_ENDPOINT": self.oss_proxy.url,
            "ALICLOUD_OSS_REGION": oss["region"],
        }

    def break_s3(self) -> None:
        """S3 answers 503 from now on."""
        self.s3_proxy.fail(status=503, code="SlowDown", times=math.inf)

    def break_oss(self) -> None:
        """OSS refuses connections from now on."""
        self.oss_proxy.refuse("closed")

    def heard_of(self, key: str) -> bool:
        """Whether any request for this key has reached either door."""
        seen = (*self.s3_proxy.requests, *self.oss_proxy.requests)
        return any(request.key == key for request in seen)

    def download(self, storage_type: str, key: str) -> bytes:
        """What a store holds, by a link that it signed, without the daemon or its proxies."""
        link = self._s3_link(key) if storage_type == "s3" else self._oss_link(key)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(link, timeout=60) as answer:
            return bytes(answer.read())

    def _s3_link(self, key: str) -> str:
        place = {"Bucket": self.seaweed.bucket, "Key": key}
        client = self.seaweed.client()
        return str(client.generate_presigned_url("get_object", place, ExpiresIn=_LINK_SECONDS))

    def _oss_link(self, key: str) -> str:
        with open_bucket(self.oss) as bucket:
            return str(bucket.sign_url("GET", key, _LINK_SECONDS, slash_safe=True))


@contextmanager
def open_clouds() -> Iterator[Clouds]:
    """Start both clouds; they are gone at the end, with what they hold."""
    oss = OssServer(bucket="demo", access_key_id="demo-id", access_key_secret="demo-secret")  # noqa: S106 - opens nothing else
    with SeaweedServer() as seaweed, oss:
        upstream = urlsplit(oss.url)
        with (
            FaultProxy(seaweed.address) as s3_proxy,
            FaultProxy((str(upstream.hostname), int(upstream.port or 0))) as oss_proxy,
        ):
            yield Clouds(seaweed, oss, s3_proxy, oss_proxy)
