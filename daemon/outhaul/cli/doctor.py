"""`outhaul doctor`: test the setup, and watch the retries at work."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from outhaul.cli.exit_codes import ExitCode
from outhaul.cli.reply import Reply, Table, replies
from outhaul.errors import ConfigError

if TYPE_CHECKING:
    from outhaul.doctor import Finding
    from outhaul.settings import Settings


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--retry",
    type=click.Choice(["s3", "oss"]),
    help="Instead: show the retry schedule live, against a store that is made to fail.",
)
@replies
def doctor(file: Path | None, retry: str | None) -> Reply:
    """Test the database and every configured store.

    A small object, or FILE, is stored, proven, read back and deleted again.
    """
    from outhaul.config import load  # noqa: PLC0415 - pydantic costs 0.2 s

    settings = load().settings
    return _rehearsal(settings, retry) if retry else _examination(settings, file)


def _examination(settings: Settings, file: Path | None) -> Reply:
    from outhaul.doctor import Verdict  # noqa: PLC0415 - loads sqlalchemy

    findings = list(_findings(settings, file))
    bad = [finding for finding in findings if finding.verdict is Verdict.FAILED]
    doubtful = [finding for finding in findings if finding.verdict is Verdict.WARNING]
    rows = [(f.verdict, f.check, f.found, f.advice) for f in findings]
    told = f"{len(bad)} of {len(findings)} checks failed" if bad else "everything works"
    if doubtful:
        told += f"; {len(doubtful)} of {len(findings)} ask for a look"
    data = [
        {"check": f.check, "verdict": f.verdict, "found": f.found, "advice": f.advice}
        for f in findings
    ]
    code = ExitCode.FAILED if bad else ExitCode.OK
    return Reply(data, [Table(("", "check", "found", "what to do"), rows), told], code)


def _findings(settings: Settings, file: Path | None) -> Iterator[Finding]:
    from outhaul import app  # noqa: PLC0415 - loads sqlalchemy
    from outhaul import doctor as examiner  # noqa: PLC0415

    try:
        with app.database(settings) as engine:
            yield from examiner.examine_database(engine, settings)
    except ConfigError as error:
        yield examiner.Finding("database", examiner.Verdict.FAILED, error.message)
    yield from examiner.examine_machine(settings)
    content = examiner.open_content(file) if file else None
    with app.stores(settings) as stores:
        if not stores:
            advice = "set the AWS_*, ALICLOUD_OSS_* or OUTHAUL_LOCAL_DIR settings"
            yield examiner.Finding("stores", examiner.Verdict.FAILED, "none configured", advice)
        for store in stores.values():
            yield from examiner.examine_store(store, content)


def _rehearsal(settings: Settings, which: str) -> Reply:
    from outhaul import app  # noqa: PLC0415 - loads sqlalchemy
    from outhaul.models import StoreName  # noqa: PLC0415
    from outhaul.rehearsal import failing_server, rehearse  # noqa: PLC0415

    name, steps = StoreName(which), []
    with failing_server() as url, app.stores(_against(settings, url)) as stores:
        draw = random.random()  # noqa: S311 - jitter, not a secret
        for step in rehearse(stores[name], settings.rules, draw):
            then = f", {step.then}" + (
                f" in {step.wait_seconds:.1f} s" if step.wait_seconds else ""
            )
            click.echo(f"{name} attempt {step.attempt}: {step.code}{then}", err=True)
            steps.append({"attempt": step.attempt, "code": step.code, "wait": step.wait_seconds})
            threading.Event().wait(step.wait_seconds or 0)
    return Reply({"store": which, "steps": steps}, _summary(steps))


def _summary(steps: Sequence[dict[str, Any]]) -> list[str]:
    waited = sum(step["wait"] or 0 for step in steps)
    return [f"{len(steps)} attempts, {waited:.1f} s of waiting"]


def _against(settings: Settings, url: str) -> Settings:
    """The same settings, with both clouds at the failing server and credentials of no worth."""
    from pydantic import SecretStr  # noqa: PLC0415 - pydantic costs 0.2 s

    nobody = SecretStr("rehearsal")
    return settings.model_copy(
        update={
            "aws_access_key_id": nobody,
            "aws_secret_access_key": nobody,
            "s3_bucket_name": "rehearsal",
            "s3_endpoint_url": url,
            "oss_access_key_id": nobody,
            "oss_access_key_secret": nobody,
            "oss_bucket_name": "rehearsal",
            "oss_endpoint": url,
            "oss_region": "us-east-1",
            "use_oss_storage": True,
        }
    )
