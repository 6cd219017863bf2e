from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError, ReadTimeoutError

from tests.support.fault_proxy import FaultProxy
from tests.support.tls import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.seaweed import SeaweedServer

BODY = b"translated\n" * 500
BIG = bytes(6 << 20)


@pytest.fixture
def proxy(seaweed_server: SeaweedServer) -> Iterator[FaultProxy]:
    with FaultProxy(seaweed_server.address) as running:
        yield running


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def client(seaweed_server: SeaweedServer, proxy: FaultProxy) -> Iterator[Any]:
    with contextlib.closing(seaweed_server.client(proxy.url, read_timeout=5)) as through:
        yield through


@pytest.fixture
def where(seaweed_server: SeaweedServer, request: pytest.FixtureRequest) -> dict[str, str]:
    return {"Bucket": seaweed_server.bucket, "Key": f"{request.node.name}.bin"}


def is_stored(server: SeaweedServer, where: dict[str, str]) -> bool:
    try:
        server.client().head_object(**where)
    except ClientError:
        return False
    return True


def test_signatures_stay_right(client: Any, where: dict[str, str], proxy: FaultProxy) -> None:
    """A signed upload and download pass, and the key is on record as it was meant."""
    where["Key"] = "ünï/a b+c.bin"

    client.put_object(**where, Body=BODY)

    assert client.get_object(**where)["Body"].read() == BODY
    assert [seen.key for seen in proxy.requests] == ["ünï/a b+c.bin"] * 2
    assert proxy.requests[0].bucket == where["Bucket"]


def test_https_uploads_pass_in_chunks(
    seaweed_server: SeaweedServer, where: dict[str, str], authority: Authority
) -> None:
    """Behind TLS boto3 sends chunks with a trailer, which pass to a server without TLS."""
    with FaultProxy(seaweed_server.address, authority.issue().server_context()) as proxy:
        client = seaweed_server.client(proxy.url, verify=authority.ca_file)
        client.put_object(**where, Body=BIG)
        sent = proxy.requests[0]

    assert sent.headers["transfer-encoding"] == "chunked"
    assert sent.headers["x-amz-trailer"]
    assert sent.received > len(BIG)
    assert seaweed_server.client().get_object(**where)["Body"].read() == BIG


def test_refusal_before_the_body_arrives(
    seaweed_server: SeaweedServer, proxy: FaultProxy, where: dict[str, str]
) -> None:
    """A server's early refusal of a big body reaches the client as an answer."""
    stranger = seaweed_server.client(proxy.url)
    stranger._request_signer._credentials.access_key = "NOBODY"

    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        stranger.put_object(**where, Body=BIG)


def test_slow_down(client: Any, where: dict[str, str], proxy: FaultProxy) -> None:
    """An injected SlowDown is one to boto3, on PUT and, by its number alone, on HEAD."""
    proxy.fail(503, "SlowDown", times=2)

    with pytest.raises(ClientError, match="SlowDown"):
        client.put_object(**where, Body=BIG)
    with pytest.raises(ClientError, match="503"):
        client.head_object(**where)

    assert [seen.status for seen in proxy.requests] == [503, 503]
    client.put_object(**where, Body=BODY)


def test_a_part_can_fail(client: Any, where: dict[str, str], proxy: FaultProxy) -> None:
    """A fault can be aimed at one part of a multipart upload."""
    proxy.fail(500, "InternalError", query="partNumber=2", method="PUT")
    upload = client.create_multipart_upload(**where)["UploadId"]
    part = {**where, "UploadId": upload, "Body": BODY}

    client.upload_part(**part, PartNumber=1)
    with pytest.raises(ClientError, match="InternalError"):
        client.upload_part(**part, PartNumber=2)

    client.upload_part(**part, PartNumber=2)


def test_lost_reply_is_stored(
    client: Any, where: dict[str, str], proxy: FaultProxy, seaweed_server: SeaweedServer
) -> None:
    """A lost answer hides a stored object."""
    proxy.lose_reply()

    with pytest.raises(HTTPClientError):
        client.put_object(**where, Body=BIG)

    assert is_stored(seaweed_server, where)


def test_reset_body_is_not_stored(
    client: Any, where: dict[str, str], proxy: FaultProxy, seaweed_server: SeaweedServer
) -> None:
    """A body that is cut half-way leaves no object."""
    proxy.reset(after=len(BIG) // 2)

    with pytest.raises(HTTPClientError):
        client.put_object(**where, Body=BIG)

    assert proxy.requests[0].received == len(BIG) // 2
    assert not is_stored(seaweed_server, where)


def test_ghost_write(
    where: dict[str, str], proxy: FaultProxy, seaweed_server: SeaweedServer
) -> None:
    """A client can give up on a request that the server stores afterwards."""
    hold = proxy.hold()
    impatient = seaweed_server.client(proxy.url, read_timeout=0.5)
    with pytest.raises(ReadTimeoutError):
        impatient.put_object(**where, Body=BODY)
    assert hold.arrived.is_set()
    assert not is_stored(seaweed_server, where)

    hold.release()

    assert hold.stored.wait(10)
    assert is_stored(seaweed_server, where)


def test_checksum_can_be_dropped(client: Any, where: dict[str, str], proxy: FaultProxy) -> None:
    """A true answer can be robbed of its proof."""
    proxy.rewrite({"x-amz-checksum-sha256": None, "ETag": None})

    answer = client.put_object(**where, Body=BODY, ChecksumAlgorithm="SHA256")

    assert not {"ETag", "ChecksumSHA256"} & answer.keys()
