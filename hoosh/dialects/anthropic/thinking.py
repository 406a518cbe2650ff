"""How hard a model is to think, in the words of its generation.

    the client says       a model with budgets            an adaptive model
    effort                enabled, a budget for it        adaptive, output_config.effort (the nearest word it knows)
    budget_tokens         enabled, that budget            adaptive, the effort that such a budget is worth
    enabled               enabled, a middling budget      adaptive
    effort none           nothing, or disabled where a model thinks unasked

A budget has at least 1024 tokens and leaves room below `max_tokens`: it shrinks to fit, and only where even the least
budget does not fit is `max_tokens` raised.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from hoosh.dialects.anthropic.extension import AnthropicExtension
from hoosh.dialects.anthropic.generations import Generation, cannot_rest
from hoosh.dialects.anthropic.wire import ABSENT, ThinkingConfig
from hoosh.errors import InvalidRequest
from hoosh.values import Effort, Reasoning

__all__ = ["BUDGET_TOKENS_MIN", "Thinking", "thinking_of"]

BUDGET_TOKENS_MIN = 1024

BUDGET_TOKENS = {
    Effort.MINIMAL: BUDGET_TOKENS_MIN,
    Effort.LOW: 4_096,
    Effort.MEDIUM: 10_240,
    Effort.HIGH: 24_576,
    Effort.XHIGH: 32_768,
    Effort.MAX: 49_152,
}

STRENGTH = tuple(Effort)


class Thinking(Struct, frozen=True):
    config: ThinkingConfig | None = None
    effort: str | None = None
    max_tokens: int | None = None
    """Where it had to be raised."""

    @property
    def is_on(self) -> bool:
        return self.config is not None and self.config.type not in ("", "disabled")


def thinking_of(
    reasoning: Reasoning | None, extension: AnthropicExtension | None, model: str, generation: Generation, limit: int
) -> Thinking:
    """`limit` is `max_tokens` as it will be asked for.  Raises InvalidRequest."""
    thinking = _asked(reasoning, extension, model, generation, limit)
    if extension is None or extension.thinking_binding is ABSENT or not generation.thinks:
        return thinking
    config = thinking.config or ThinkingConfig()
    return replace(thinking, config=replace(config, block_binding=extension.thinking_binding))


def _asked(
    reasoning: Reasoning | None, extension: AnthropicExtension | None, model: str, generation: Generation, limit: int
) -> Thinking:
    if reasoning is None:
        return Thinking()
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if effort is Effort.NONE or reasoning.enabled is False:
        return _rest(reasoning, extension, model, generation)
    if effort is None and budget is None and not reasoning.enabled:
        return Thinking()
    if extension is not None and extension.thinking_type == "":
        return Thinking(effort=_word(effort, generation) or (effort.value if effort else None))
    if not generation.thinks:
        message = f"The model `{model}` does not reason."
        raise InvalidRequest(message, param="reasoning_effort", code="unsupported_parameter")
    display = _display(extension, generation)
    if generation.takes_budget and (budget is not None or not generation.is_adaptive):
        wanted = budget if budget is not None else BUDGET_TOKENS[effort or Effort.MEDIUM]
        fitting, raised = _fit(wanted, limit)
        word = _word(effort, generation) if budget is not None else None
        return Thinking(ThinkingConfig("enabled", fitting, display), word, raised)
    if effort is None and budget is not None:
        effort = _worth(budget)
    kind = extension.thinking_type if extension is not None else "adaptive"
    return Thinking(
        ThinkingConfig("adaptive" if kind == "enabled" else kind, display=display), _word(effort, generation)
    )


def _rest(reasoning: Reasoning, extension: AnthropicExtension | None, model: str, generation: Generation) -> Thinking:
    if cannot_rest(model):
        message = f"The model `{model}` cannot be told not to think."
        raise InvalidRequest(message, param="reasoning_effort", code="unsupported_value")
    said = extension is not None and extension.thinking_type == "disabled"
    effort = None if reasoning.effort in (None, Effort.NONE) else _word(reasoning.effort, generation)
    return Thinking(ThinkingConfig("disabled") if said or generation.thinks_unasked else None, effort)


def _display(extension: AnthropicExtension | None, generation: Generation) -> str | None:
    """Other languages show thoughts where there are any; Anthropic's own clients say what they want."""
    if extension is not None:
        return extension.thinking_display
    return "summarized" if generation.hides_thoughts else None


def _fit(budget: int, limit: int) -> tuple[int, int | None]:
    """(budget, raised max_tokens)."""
    fitting = max(BUDGET_TOKENS_MIN, budget)
    if fitting >= limit:
        fitting = max(BUDGET_TOKENS_MIN, limit - BUDGET_TOKENS_MIN)
    return fitting, None if fitting < limit else fitting + limit


def _word(effort: Effort | None, generation: Generation) -> str | None:
    """The strongest word of the generation that is not stronger than `effort`, or its weakest."""
    if effort is None or not generation.efforts:
        return None
    wanted = STRENGTH.index(effort)
    known = [word for word in generation.efforts if STRENGTH.index(word) <= wanted]
    return (known[-1] if known else generation.efforts[0]).value


def _worth(budget: int) -> Effort:
    """The effort whose own budget is the nearest from above."""
    return next((effort for effort, tokens in BUDGET_TOKENS.items() if budget <= tokens), Effort.MAX)
