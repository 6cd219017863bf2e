"""An outbox in a PostgreSQL schema of its own, beside one in `public`."""

from __future__ import annotations

import pytest

from tests.support.deployment import Deployment
from tests.support.waiting import wait_for

SCHEMA = {"OUTHAUL_DATABASE_SCHEMA": "Uploads"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_schema_of_its_own_is_served_alone(deployment: Deployment) -> None:
    """Made by `db upgrade`, served by a daemon that names it; the outbox in `public` is not."""

    public = deployment.insert_file("public.bin")
    upgraded = deployment.outhaul("db", "upgrade", **SCHEMA)
    assert upgraded.returncode == 0, upgraded.stderr
    with deployment.daemon(**SCHEMA):
        deployment.execute(
            'INSERT INTO "Uploads".upload_outbox (storage_key, source_path) VALUES (:key, :path)',
            key=deployment.key("own.bin"),
            path=str(deployment.file("own.bin", b"own")),
        )
        wait_for(lambda: _statuses(deployment) == ["done"], 30, "the upload")

    assert deployment.s3_content("own.bin") == b"own"
    assert deployment.query('SELECT outcome FROM "Uploads".upload_attempts') == [
        {"outcome": "succeeded"}
    ]
    assert deployment.job(public)["fence"] == 0
    assert not deployment.query("SELECT worker FROM upload_daemons")


def _statuses(deployment: Deployment) -> list[str]:
    found = deployment.query('SELECT status FROM "Uploads".upload_outbox')
    return [row["status"] for row in found]
