"""`outhaul config`: what is in force, and where it came from."""

from __future__ import annotations

import click

from outhaul.cli.reply import Reply, Table, replies


@click.command()
@replies
def config() -> Reply:
    """Show every setting, its value and its source; secrets are masked."""
    from outhaul.config import load  # noqa: PLC0415 - pydantic costs 0.2 s

    loaded = load()
    chain = list(loaded.settings.chain)
    # As in force, not as written: on by itself once all five OSS settings are there.
    in_force = {"USE_OSS_STORAGE": loaded.settings.use_oss}
    rows = [(name, in_force.get(name, value), source) for name, value, source in loaded.effective()]
    data = {
        "chain": chain,
        "settings": {name: {"value": value, "source": source} for name, value, source in rows},
    }
    told = f"stores, in order: {' -> '.join(chain) or 'none'}"
    return Reply(data, [told, Table(("setting", "value", "source"), rows)])
