"""One daemon for the cases of a module: each has keys of its own, and faults that name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.deployment import Deployment, deploy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.daemon import DaemonProcess
    from tests.support.seaweed import SeaweedServer


@pytest.fixture(scope="module")
def daemon_settings() -> dict[str, str]:
    """Settings of the module's daemon, beside those of every deployment."""
    return {}


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, seaweed_server: SeaweedServer
) -> Iterator[Deployment]:
    """An outbox in SQLite with `daemon` at work on it."""
    directory = tmp_path_factory.mktemp("served")
    with deploy(f"sqlite:///{directory}/outbox.db", directory, seaweed_server) as deployed:
        yield deployed


@pytest.fixture(scope="module")
def daemon(served: Deployment, daemon_settings: dict[str, str]) -> Iterator[DaemonProcess]:
    """The daemon at work on `served`, for a whole module."""
    with served.daemon(**daemon_settings) as process:
        yield process
