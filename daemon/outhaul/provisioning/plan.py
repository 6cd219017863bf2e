"""A plan: the steps, what the host says of each, and the carrying out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outhaul.errors import ProvisioningError
from outhaul.provisioning.steps import Step


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step, and `change`, `unchanged` or `unknown`: what the host said before any change."""

    step: Step
    state: str


def survey(steps: Sequence[Step]) -> list[PlannedStep]:
    """Look at the host once, before the first change: later steps depend on earlier ones."""
    return [PlannedStep(step, _state(step)) for step in steps]


def carry_out(plan: Sequence[PlannedStep]) -> None:
    """Apply what is not `unchanged`, in order.

    Raises:
        ProvisioningError: a step failed; the ones before it stay, and a rerun goes on from there.
    """
    for step in (planned.step for planned in plan if planned.state != "unchanged"):
        try:
            step.apply()
        except OSError as error:
            raise ProvisioningError(f"{step.target}: {error.strerror}") from error


def _state(step: Step) -> str:
    try:
        return "change" if step.needed() else "unchanged"
    except PermissionError:
        return "unknown"
