"""Whom to ask for one model, and who among them is as good as whom.

    targets    a     b     c     d     e          best first
    step_of    └──1──┘     2     └──3──┘          a strategy may put b before a, and never c before b

What makes a step is `table.py`'s to say, who comes first in it is `strategies.py`'s.  A plan stays as it is: whoever is
down, dear or too small is left out of a copy of `targets`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from hoosh.routing.settings import Strategy
from hoosh.values import Target

__all__ = ["FIXED", "NOBODY", "Plan", "Step", "join_plans", "plan_of", "put_behind"]

FIXED: frozenset[Strategy] = frozenset({"priority", "direct"})
"""Strategies that ask in the order in which they find."""


class Step(Struct, frozen=True, eq=False):
    """Candidates that a strategy may choose among; it is only ever compared with `is`."""

    strategy: Strategy | None = None
    """None: the house's."""


class Plan(Struct, frozen=True, eq=False):
    targets: tuple[Target, ...]
    step_of: Mapping[Target, Step]
    is_plain: bool
    """No step has a strategy of its own."""
    only: Step | None = None
    """Where there is but one step, as mostly."""


NOBODY = Plan((), {}, True)


def plan_of(steps: Iterable[tuple[Strategy | None, Iterable[Target]]]) -> Plan:
    """Steps, best first.  A target that is in several belongs to the first of them."""
    step_of: dict[Target, Step] = {}
    for strategy, targets in steps:
        step = Step(strategy)
        for target in targets:
            step_of.setdefault(target, step)
    return _plan(step_of)


def join_plans(plans: Iterable[Plan]) -> Plan:
    """One plan after the other."""
    step_of: dict[Target, Step] = {}
    for plan in plans:
        for target, step in plan.step_of.items():
            step_of.setdefault(target, step)
    return _plan(step_of)


def put_behind(plan: Plan, whom: Collection[Target]) -> Plan:
    """`whom` after all others, among themselves as they were; the same object where that changes nothing.

    What they leave stays a step, and so does what they make up behind: nobody is in one step with who is before him.
    """
    targets = plan.targets
    last = [target for target in targets if target in whom]
    if not last or len(last) == len(targets):
        return plan
    behind: dict[Step, Step] = {}
    step_of = {target: plan.step_of[target] for target in targets if target not in whom}
    for target in last:
        step = plan.step_of[target]
        step_of[target] = behind.setdefault(step, Step(step.strategy))
    return _plan(step_of)


def _plan(step_of: Mapping[Target, Step]) -> Plan:
    steps = set(step_of.values())
    is_plain = all(step.strategy is None for step in steps)
    return Plan(tuple(step_of), step_of, is_plain, steps.pop() if len(steps) == 1 else None)
