"""The outbox in random stories, in memory and on real servers."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contract.outbox_machine import OutboxMachine
from tests.contract.outboxes import SLOW_DOWN, STORED, MigratedOutbox, migrated_outbox


def explore(outbox: MigratedOutbox, examples: int, steps: int) -> None:
    """Play that many random stories of that many events."""
    run_state_machine_as_test(
        lambda: OutboxMachine(outbox),  # type: ignore[arg-type]
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_crashes_and_failures_share_the_tries(outbox: MigratedOutbox) -> None:
    """A job whose tries at a store went by in failures and crashes goes on to the next store."""

    story = OutboxMachine(outbox)
    story.begin([SLOW_DOWN])
    for _ in range(3):
        story.try_once_more(0, "a", 0)
    for _ in range(2):
        story.crash_once_more(0, "a")
    story.promises_are_kept()

    story.crash_once_more(0, "a")
    story.promises_are_kept()
    story.try_once_more(0, "a", 0)
    story.promises_are_kept()

    (row,) = outbox.jobs()
    assert (row["current_store"], row["last_error_code"]) == ("oss", "TRIES_SPENT")
    story.weather = [STORED]
    story.try_once_more(0, "a", 0)
    assert outbox.job(row["id"])["storage_type"] == "oss"


def test_whatever_happens_the_outbox_keeps_its_promises() -> None:
    """In any order of events no job is lost, no fence falls, no try is made too often."""

    with migrated_outbox("sqlite://") as outbox:
        explore(outbox, examples=60, steps=50)


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_servers_keep_the_same_promises(outbox: MigratedOutbox) -> None:
    """As in memory: fewer stories, told to real servers."""

    explore(outbox, examples=10, steps=40)
