"""An errand for a process of its own: what its environment holds must make no difference to it.

Reads an order from its input, writes what came of it to its output, both as JSON. It takes its
stores from `app`, as the daemon does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from outhaul import app
from outhaul.errors import OuthaulError
from outhaul.settings import Settings
from outhaul.stores.base import Store
from tests.contract.stores import IN_PARTS, content, transfer, upload

_ROOT = Path(__file__).parents[2]


def send(
    settings: Mapping[str, str], environment: Mapping[str, str], *, links_only: bool = False
) -> dict[str, dict[str, str | None]]:
    """Have a process with this environment put, read and delete objects in every store.

    Returns:
        For each store its `fault`, None if all went well, and a `link` without its signature.
    """
    order = json.dumps({"settings": dict(settings), "links_only": links_only})
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.errand"],
        input=order,
        env=dict(environment),
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    came_of_it: dict[str, dict[str, str | None]] = json.loads(done.stdout)
    return came_of_it


def _fault(store: Store) -> str | None:
    key = "errand.bin"
    try:
        for size in (1000, IN_PARTS):
            store.put(upload(key, content(size)))
            held = store.head(key, transfer())
            got = b"".join(store.get(key, transfer()))
            if held is None or held.size_bytes != size or got != content(size):
                return "another object"
        store.delete(key, transfer())
    except OuthaulError as error:
        return f"{type(error).__name__}: {error.message}"
    return None


def _came_of(store: Store, *, links_only: bool) -> dict[str, str | None]:
    link = store.presign("errand.bin", 60).partition("?")[0]
    return {"fault": None if links_only else _fault(store), "link": link}


def _main() -> None:
    order: dict[str, Any] = json.load(sys.stdin)
    with app.stores(Settings.model_validate(order["settings"])) as stores:
        ends = {
            name: _came_of(store, links_only=order["links_only"]) for name, store in stores.items()
        }
    json.dump(ends, sys.stdout)


if __name__ == "__main__":
    _main()
