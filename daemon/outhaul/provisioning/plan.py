"""A plan: the steps, what the host says of each, and the carrying out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outhaul.provisioning.access import ProvisioningError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outhaul.provisioning.steps import Step


@dataclass(frozen=True)
class PlannedStep:
    """A step and what the host said before anything was changed."""

    step: Step
    state: str

    def __str__(self) -> str:
        return f"{self.state:<9}  {self.step.action} {self.step.target}"

    def as_dict(self) -> dict[str, str]:
        """The shape of `--json`: action, target, state (change, unchanged, unknown)."""
        return {"action": self.step.action, "target": self.step.target, "state": self.state}


def survey(steps: Sequence[Step]) -> list[PlannedStep]:
    """Look at the host once, before the first change: later steps depend on earlier ones."""
    return [PlannedStep(step, _state(step)) for step in steps]


def carry_out(plan: Sequence[PlannedStep]) -> None:
    """Apply what is not `unchanged`, in order.

    Raises:
        ProvisioningError: a step failed; the ones before it stay, and a rerun goes on from there.
    """
    for planned in plan:
        if planned.state != "unchanged":
            try:
                planned.step.apply()
            except OSError as error:
                raise ProvisioningError(f"{planned.step.target}: {error.strerror}") from error


def _state(step: Step) -> str:
    try:
        return "change" if step.needed() else "unchanged"
    except PermissionError:
        return "unknown"
