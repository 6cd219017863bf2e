"""`outhaul config`: what is in force, and where it came from."""

from __future__ import annotations

from typing import Any

import click

from outhaul.cli.reply import Reply, Table, replies


@click.command()
@replies
def config() -> Reply:
    """Show every setting, its value and its source; secrets are masked."""
    from outhaul.config import load  # noqa: PLC0415 - pydantic costs 0.2 s

    loaded = load()
    chain = list(loaded.settings.chain)
    rows = loaded.effective()
    data = {
        "chain": chain,
        "settings": {name: {"value": value, "source": source} for name, value, source in rows},
    }
    told = f"stores, in order: {' -> '.join(chain) or 'none'}"
    written = [(name, _as_written(name, value), source) for name, value, source in rows]
    return Reply(data, [told, Table(("setting", "value", "source"), written)])


def _as_written(name: str, value: Any) -> Any:
    """A value as the environment would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, list):
        separator = ":" if name == "OUTHAUL_SOURCE_ROOTS" else ","
        return separator.join(str(_as_written(name, item)) for item in value)
    return value
