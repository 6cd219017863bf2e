from __future__ import annotations

import pytest

from outhaul.config import load
from outhaul.errors import ConfigError

OSS, S3 = "ALICLOUD_OSS_ENDPOINT", "S3_ENDPOINT_URL"


@pytest.mark.parametrize(
    "host",
    [
        "oss-us-east-1.aliyuncs.com",
        "oss-us-west-1.aliyuncs.com",
        "oss-ap-southeast-1.aliyuncs.com",
        "oss-eu-central-1.aliyuncs.com",
        "oss-cn-hangzhou.aliyuncs.com",
        "oss-cn-north-2-gov-1.aliyuncs.com",
        "oss-rg-china-mainland.aliyuncs.com",
    ],
)
@pytest.mark.parametrize("scheme", ["", "https://"])
def test_regional_oss_endpoints_are_taken(host: str, scheme: str) -> None:
    """Any region's public endpoint will do, and a bare host becomes https."""

    assert load({OSS: f"{scheme}{host}"}).settings.oss_endpoint == f"https://{host}"


@pytest.mark.parametrize(
    "endpoint",
    [
        "oss-us-east-1-internal.aliyuncs.com",
        "oss-cn-hangzhou-internal.aliyuncs.com",
        "oss-accelerate.aliyuncs.com",
        "oss-accelerate-overseas.aliyuncs.com",
        "https://files.example.com",
        "https://oss-us-east-1.aliyuncs.com.example.com",
        "https://bucket.oss-us-east-1.aliyuncs.com",
        "https://aliyuncs.com",
    ],
)
def test_other_oss_endpoints_need_a_word_of_their_own(endpoint: str) -> None:
    """Internal, accelerated and own domains are taken only when they are asked for."""

    with pytest.raises(ConfigError, match=f"{OSS} must be .*OUTHAUL_OSS_ANY_ENDPOINT=true"):
        load({OSS: endpoint})

    settings = load({OSS: endpoint, "OUTHAUL_OSS_ANY_ENDPOINT": "true"}).settings
    assert settings.oss_endpoint == f"https://{endpoint.removeprefix('https://')}"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8333",
        "http://127.0.0.1:8333",
        "http://[::1]:8333",
        "https://s3.example.com",
        "https://s3.example.com/",
        "https://192.0.2.1:9000",
    ],
)
@pytest.mark.parametrize("name", [OSS, S3])
def test_http_is_for_loopback_only(name: str, url: str) -> None:
    """Https everywhere, and http on this machine: for tests and local servers."""

    settings = load({name: url, "OUTHAUL_OSS_ANY_ENDPOINT": "true"}).settings

    taken = settings.oss_endpoint if name == OSS else settings.s3_endpoint_url
    assert taken == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://s3.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://192.0.2.1",
        "ftp://localhost",
        "file:///etc/passwd",
        "https://",
        "https://:9000",
        "https://[broken",
        "https://host:0",
        "https://host:99999",
        "https://host:port",
        "https://user:secret-canary@host",
        "https://secret-canary@host",
        "https://host/?token=secret-canary",
        "https://host/#secret-canary",
    ],
)
@pytest.mark.parametrize("name", [OSS, S3])
def test_other_urls_are_refused(name: str, url: str) -> None:
    """A plain, malformed or credential-carrying URL stops the start, and is not repeated."""

    with pytest.raises(ConfigError, match=f"^{name}: ") as caught:
        load({name: url, "OUTHAUL_OSS_ANY_ENDPOINT": "true"})

    assert "secret-canary" not in caught.value.message


def test_s3_takes_no_bare_host() -> None:
    """A host without a scheme is no URL for S3, where the name says URL."""

    with pytest.raises(ConfigError, match=f"^{S3}: "):
        load({S3: "s3.example.com"})
