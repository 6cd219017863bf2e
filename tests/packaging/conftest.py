"""What several packaging tests start from."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.packaging.image import EXECUTABLE, place_executable
from tests.packaging.means import need

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with outhaul in it, and no accounts yet."""
    need(
        given=shutil.which("systemd-sysusers") is not None,
        missing="needs systemd-sysusers: apt-get install -y --no-install-recommends systemd",
    )
    place_executable(tmp_path, EXECUTABLE, "/usr/local/lib/outhaul/bin/python")
    return tmp_path
