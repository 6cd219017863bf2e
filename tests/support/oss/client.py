"""Real oss2 clients for the loopback server, deaf to proxies and ~/.netrc."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import oss2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.oss.server import OssServer

SignatureVersion: TypeAlias = Literal["v1", "v4"]


@contextlib.contextmanager
def open_bucket(
    server: OssServer, version: SignatureVersion = "v4", **mistaken: str
) -> Iterator[Any]:
    """Yield an `oss2.Bucket` on the server's bucket; its connections close at the end.

    Args:
        server: the store to talk to, started.
        version: of the signature.
        **mistaken: members of `OssServer.identity` that this client gets wrong.
    """
    identity = server.identity | mistaken
    auth = (oss2.Auth if version == "v1" else oss2.AuthV4)(
        identity["access_key_id"], identity["access_key_secret"]
    )
    session = oss2.Session()
    session.session.trust_env = False
    with contextlib.closing(session.session):
        yield oss2.Bucket(
            auth, server.url, identity["bucket"], session=session, region=identity["region"]
        )
