"""In what the generations of Claude differ for a request, as data.

A model's name says its generation: `claude-sonnet-4-5-20250929`, `claude-3-7-sonnet-latest`,
`us.anthropic.claude-opus-4-6-v1:0`, `anthropic/claude-haiku-4.5`.  A name without a number that we know how to read is
taken for a new model where it says `claude`, and for somebody else's where it does not.

Source, August to November 2026: Anthropic's pages on models, extended thinking, adaptive thinking, effort, what is new
in Claude 4.6, 4.7, 4.8 and 5, and mid-conversation system messages.
"""

from __future__ import annotations

import re

from msgspec import Struct

from hoosh.values import Effort

__all__ = ["Generation", "generation_of"]

_number = re.compile(r"claude-(?:([a-z]+)-)?(\d)(?:[-.](\d{1,2})(?!\d))?")

LOW_TO_HIGH = (Effort.LOW, Effort.MEDIUM, Effort.HIGH)
WITH_MAX = (*LOW_TO_HIGH, Effort.MAX)
ALL_EFFORTS = (*LOW_TO_HIGH, Effort.XHIGH, Effort.MAX)


class Generation(Struct, frozen=True):
    since: tuple[int, int]
    usual_max_tokens: int
    """What is asked for where the client names no limit, because the API wants a number: as much as the model may say,
    but where prompt and reply together must fit its context (before 4.5) not so much that long prompts are refused."""
    takes_budget: bool = False
    """`thinking: {type: enabled, budget_tokens}`."""
    is_adaptive: bool = False
    """`thinking: {type: adaptive}`."""
    efforts: tuple[Effort, ...] = ()
    """The words of `output_config.effort`."""
    samplers: int = 2
    """How many of temperature and top_p it takes: both, one of them, or none at all."""
    hides_thoughts: bool = False
    """Unless it is asked to show them (`display: summarized`)."""
    thinks_unasked: bool = False
    system_anywhere: bool = False
    """Takes system messages in the middle of a conversation, after a user's turn."""

    @property
    def thinks(self) -> bool:
        return self.takes_budget or self.is_adaptive


GENERATIONS = (
    Generation((5, 0), 64_000, False, True, ALL_EFFORTS, 0, True, True, True),
    Generation((4, 8), 64_000, False, True, ALL_EFFORTS, 0, True, False, True),
    Generation((4, 7), 64_000, False, True, ALL_EFFORTS, 0, True),
    Generation((4, 6), 64_000, True, True, WITH_MAX, 1),
    Generation((4, 5), 64_000, True, samplers=1),
    Generation((4, 1), 32_000, True, samplers=1),
    Generation((4, 0), 32_000, True),
    Generation((3, 7), 32_000, True),
    Generation((3, 5), 8_192),
    Generation((0, 0), 4_096),
)
"""Newest first."""

OPUS_4_5 = Generation((4, 5), 64_000, True, False, LOW_TO_HIGH, 1)
"""The first to know effort, beside a budget."""
STRANGER = Generation((0, 0), 8_192, True, True, ALL_EFFORTS, system_anywhere=False)
"""Another vendor's model behind a Messages API: nothing is known against it."""

ALWAYS_THINKING = ("fable", "mythos")
"""Families that cannot be told not to think."""


def generation_of(model: str) -> Generation:
    name = model.lower()
    found = _number.search(name)
    if found is None:
        return GENERATIONS[0] if "claude" in name else STRANGER
    family, major, minor = found.groups()
    version = (int(major), int(minor or 0))
    if family == "opus" and version == (4, 5):
        return OPUS_4_5
    return next(generation for generation in GENERATIONS if generation.since <= version)


def cannot_rest(model: str) -> bool:
    """It thinks whatever it is told."""
    return any(family in model.lower() for family in ALWAYS_THINKING)
