"""What is in the environment, or in the home directory, steers no request."""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.contract import errand
from tests.contract.stores import new_oss
from tests.support.oss import OssServer
from tests.support.seaweed import SeaweedServer

pytest_plugins = ["tests.contract.subjects"]

#: What variables point elsewhere: `{url}` and `{host}` are a listener's, `{home}` is a directory.
POISON: Final = {
    **{
        name: "{url}"
        for base in ("http_proxy", "https_proxy", "all_proxy")
        for name in (base, base.upper())
    },
    "no_proxy": "",
    "AWS_ENDPOINT_URL": "{url}",
    "AWS_ENDPOINT_URL_S3": "{url}",
    "AWS_PROFILE": "ghost",
    "AWS_DEFAULT_PROFILE": "ghost",
    "AWS_CONFIG_FILE": "{home}/.aws/config",
    "AWS_SHARED_CREDENTIALS_FILE": "{home}/.aws/credentials",
    "AWS_ACCESS_KEY_ID": "STRANGER",
    "AWS_SECRET_ACCESS_KEY": "of a stranger",
    "AWS_SESSION_TOKEN": "of a stranger",
    "AWS_DEFAULT_REGION": "eu-north-1",
    "AWS_REGION": "eu-north-1",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "legacy",
    "AWS_MAX_ATTEMPTS": "7",
    "AWS_RETRY_MODE": "adaptive",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": "{url}",
    "AWS_CA_BUNDLE": "{home}/nothing.pem",
    "REQUESTS_CA_BUNDLE": "{home}/nothing.pem",
    "CURL_CA_BUNDLE": "{home}/nothing.pem",
    "NETRC": "{home}/.netrc",
    "HOME": "{home}",
}

CONFIG: Final = """
[default]
endpoint_url = {url}
region = eu-north-1
credential_process = {home}/process
s3 =
  addressing_style = virtual
  use_accelerate_endpoint = true
[profile ghost]
endpoint_url = {url}
credential_process = {home}/process
"""


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """A listener that nobody should turn to."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener


@pytest.fixture
def poison(elsewhere: socket.socket, tmp_path: Path) -> dict[str, str]:
    """An environment in which everything points elsewhere."""
    host, port = elsewhere.getsockname()
    place = {"url": f"http://{host}:{port}", "host": host, "home": str(tmp_path)}
    (tmp_path / ".aws").mkdir()
    for name in ("config", "credentials"):
        (tmp_path / ".aws" / name).write_text(CONFIG.format(**place))
    netrc = tmp_path / ".netrc"
    netrc.write_text(
        "machine 127.0.0.1 login stranger password stranger\ndefault login a password b"
    )
    netrc.chmod(stat.S_IRUSR | stat.S_IWUSR)
    process = tmp_path / "process"
    process.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    process.chmod(stat.S_IRWXU)
    return {"PATH": os.environ["PATH"]} | {
        name: value.format(**place) for name, value in POISON.items()
    }


@pytest.fixture
def oss() -> Iterator[OssServer]:
    """An OSS server."""
    with new_oss() as server:
        yield server


def settings(seaweed: SeaweedServer, oss: OssServer) -> dict[str, str]:
    """What the operator has configured."""
    identity = oss.identity
    return {
        "AWS_ACCESS_KEY_ID": seaweed.access_key,
        "AWS_SECRET_ACCESS_KEY": seaweed.secret_key,
        "AWS_REGION": seaweed.region,
        "S3_BUCKET_NAME": seaweed.bucket,
        "S3_ENDPOINT_URL": seaweed.url,
        "ALICLOUD_OSS_ACCESS_KEY_ID": identity["access_key_id"],
        "ALICLOUD_OSS_ACCESS_KEY_SECRET": identity["access_key_secret"],
        "ALICLOUD_OSS_BUCKET_NAME": identity["bucket"],
        "ALICLOUD_OSS_ENDPOINT": oss.url,
        "ALICLOUD_OSS_REGION": identity["region"],
    }


def is_untouched(listener: socket.socket) -> bool:
    """Whether nobody has so much as connected."""
    poller = select.poll()
    poller.register(listener, select.POLLIN)
    return not poller.poll(0)


def test_a_poisoned_environment_changes_nothing(
    seaweed_server: SeaweedServer,
    oss: OssServer,
    poison: dict[str, str],
    elsewhere: socket.socket,
    tmp_path: Path,
) -> None:
    """Proxies, endpoints, profiles and .netrc: both clouds are reached, nobody else is."""

    ends = errand.send(settings(seaweed_server, oss), poison)

    assert {name: end["fault"] for name, end in ends.items()} == {"s3": None, "oss": None}
    assert ends["s3"]["link"] == f"{seaweed_server.url}/{seaweed_server.bucket}/errand.bin"
    assert ends["oss"]["link"] == f"{oss.url}/{oss.identity['bucket']}/errand.bin"
    assert is_untouched(elsewhere)
    assert not (tmp_path / "ran").exists()


def test_links_of_the_real_clouds_stay_theirs(
    seaweed_server: SeaweedServer, oss: OssServer, poison: dict[str, str]
) -> None:
    """Without an endpoint of its own S3 is AWS, in the region of the settings, over https."""

    real = settings(seaweed_server, oss) | {
        "AWS_REGION": "eu-central-1",
        "ALICLOUD_OSS_ENDPOINT": "oss-eu-central-1.aliyuncs.com",
    }
    del real["S3_ENDPOINT_URL"]

    ends = errand.send(real, poison, links_only=True)

    assert ends["s3"]["link"] in {
        "https://outhaul-test.s3.eu-central-1.amazonaws.com/errand.bin",
        "https://outhaul-test.s3.amazonaws.com/errand.bin",
    }
    assert ends["oss"]["link"] == "https://outhaul-test.oss-eu-central-1.aliyuncs.com/errand.bin"
