"""Over TLS a stranger gets nothing: not one byte of a body, and no request line either."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import closing
from typing import Final

import pytest

from outhaul.errors import StoreError
from outhaul.stores.exchange import Exchange, Request
from tests.contract.lines import Line, open_line
from tests.contract.stores import content, new_oss, oss_store, s3_store, transfer, upload
from tests.support.fault_proxy import FaultProxy
from tests.support.memory_server import MemoryServer
from tests.support.seaweed import SeaweedServer
from tests.support.tls import Authority

pytest_plugins = ["tests.contract.subjects"]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"))


def expired(authority: Authority, _stranger: Authority) -> ssl.SSLContext:
    """A certificate that was good until yesterday."""
    return authority.issue(expires_in=dt.timedelta(days=-1)).server_context()


def wrong_host(authority: Authority, _stranger: Authority) -> ssl.SSLContext:
    """A certificate for somebody else."""
    return authority.issue(["store.example"]).server_context()


def self_signed(_authority: Authority, stranger: Authority) -> ssl.SSLContext:
    """A certificate from an authority that the client has never heard of."""
    return stranger.issue().server_context()


def outdated(authority: Authority, _stranger: Authority) -> ssl.SSLContext:
    """A good certificate, on a server that speaks TLS 1.1 at best."""
    context = authority.issue().server_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


STRANGERS: Final = (expired, wrong_host, self_signed, outdated)


@pytest.fixture(params=STRANGERS)
def impostor(
    request: pytest.FixtureRequest, authority: Authority, stranger: Authority
) -> Iterator[FaultProxy]:
    """A server that is not who it should be."""
    context = request.param(authority, stranger)
    with MemoryServer() as server, FaultProxy(server.address, context) as proxy:
        yield proxy


def test_an_impostor_gets_no_request(impostor: FaultProxy, authority: Authority) -> None:
    """An expired, foreign or unknown certificate ends in NetworkError before a byte is sent."""

    with closing(Exchange(pool_size=1, ca_bundle=str(authority.ca_file))) as exchange:
        clock = transfer()
        with pytest.raises(StoreError) as caught:
            exchange.send(Request("PUT", f"{impostor.url}/k", {}, b"secret"), clock)

    assert caught.value.code == "NetworkError"
    assert clock.bytes_sent == 0
    assert impostor.requests == []


def test_no_store_trusts_an_impostor(
    impostor: FaultProxy, authority: Authority, seaweed_server: SeaweedServer, parts: Executor
) -> None:
    """Both SDKs go through the same check: neither finds a way around it."""

    with (
        new_oss() as server,
        oss_store(server, parts, url=impostor.url, ca_file=authority.ca_file) as oss,
        s3_store(seaweed_server, parts, url=impostor.url, ca_file=authority.ca_file) as s3,
    ):
        for store in (s3, oss):
            with pytest.raises(StoreError) as caught:
                store.put(upload("k", content(1000)))
            assert caught.value.code == "NetworkError"
            with pytest.raises(StoreError):
                list(store.get("k", transfer()))
    assert impostor.requests == []


def test_the_systems_authorities_know_no_test_server(authority: Authority) -> None:
    """Without a bundle of its own the client trusts the system's authorities, and no other."""

    with open_line(authority) as line, closing(Exchange(pool_size=1)) as exchange:
        with pytest.raises(StoreError) as caught:
            exchange.send(line.request(b"secret"), transfer())
        assert line.proxy.requests == []

    assert caught.value.code == "NetworkError"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_tls_says_unasked_is_no_answer(authority: Authority, version: ssl.TLSVersion) -> None:
    """Session tickets come right after the handshake; a large first body is sent all the same."""

    context = authority.issue().server_context()
    context.maximum_version = version
    with (
        MemoryServer() as server,
        FaultProxy(server.address, context) as proxy,
        closing(Exchange(pool_size=1, ca_bundle=str(authority.ca_file))) as exchange,
    ):
        line = Line(exchange, proxy, server)
        for _ in range(5):
            exchange.close()
            assert line.send(content(4 << 20), seconds=20).status == 200
    assert server.objects["/box/a.bin"] == content(4 << 20)


def test_a_large_first_body_passes_a_real_server(
    seaweed_tls_server: SeaweedServer, parts: Executor
) -> None:
    """Parts on new connections, each of them a first body, arrive at a server written in Go."""

    with s3_store(seaweed_tls_server, parts) as store:
        for _ in range(3):
            store.put(upload("first.bin", content(20 << 20), transfer(20)))
            store.close()
        assert b"".join(store.get("first.bin", transfer())) == content(20 << 20)
