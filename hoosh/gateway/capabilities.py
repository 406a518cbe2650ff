"""Can it do what is asked?  What is known of each model, and who is left to ask.

Three say what a model can: the catalogue, over it the provider's own list, over both the owner's `[[models]]`.  And a
provider's dialect bounds them all: what it cannot carry, no model behind it can do.

    needs ──▶ candidates that are not known to lack something ──▶ the upstream has the last word
         ╲──▶ nobody left: InvalidRequest, before anybody has been asked

Only a known lack refuses.  What nobody has said is let through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from hoosh.catalogue import merge_facts, model_facts
from hoosh.dialects.needs import field_of, needs_of
from hoosh.errors import InvalidRequest
from hoosh.values import Call, Capability, ModelFacts, Target

if TYPE_CHECKING:
    from hoosh.gateway.fleet import Fleet
    from hoosh.gateway.models import ModelLists

__all__ = ["UNSUPPORTED", "FactBook", "able", "require"]

UNSUPPORTED = "unsupported_capability"
"""The `code` of such a refusal."""
REMEMBERED = 4096

Needs = frozenset[Capability]

ASKED_FOR = frozenset(Capability) - {Capability.CHAT, Capability.STREAMING, Capability.PREFILL}
"""What a dialect must be able to carry where it is needed.  Every dialect that chats streams, whatever it says."""

WORDS: Mapping[Capability, str] = {
    Capability.CHAT: "chat",
    Capability.STREAMING: "streaming",
    Capability.TOOLS: "tools",
    Capability.VISION: "images (vision)",
    Capability.AUDIO_INPUT: "audio input (audio_input)",
    Capability.FILES: "files",
    Capability.REASONING: "reasoning",
    Capability.STRUCTURED_OUTPUT: "structured output (structured_output)",
    Capability.EMBEDDINGS: "embeddings",
    Capability.TRANSCRIPTION: "transcription",
    Capability.SPEECH: "speech",
    Capability.PREFILL: "prefill",
}


def require(needs: Needs, facts: ModelFacts, model: str, *, language: str = "openai") -> None:
    """Raises InvalidRequest where `model` is known to lack one of `needs`; names it and the field that asks for it."""
    lacking = needs & facts.cannot
    if lacking:
        raise _refusal(lacking, model, language)


def able(
    candidates: Sequence[Target],
    needs: Needs,
    facts_of: Callable[[Target], ModelFacts],
    *,
    model: str,
    language: str = "openai",
) -> Sequence[Target]:
    """Those of `candidates` that are not known to lack something, in their order.

    Raises InvalidRequest, for the first of them, where none is left.  `model` is the client's word for it.
    """
    lacks = [needs & facts_of(target).cannot for target in candidates]
    left = [target for target, lacking in zip(candidates, lacks, strict=True) if not lacking]
    if not left:
        raise _refusal(lacks[0], model, language)
    return left


def _refusal(lacking: Needs, model: str, language: str) -> InvalidRequest:
    first, *more = [need for need in Capability if need in lacking]  # in the order of the definition
    words = " and ".join(WORDS[need] for need in (first, *more))
    message = f"The model `{model}` does not support {words}, which this request asks for."
    return InvalidRequest(message, param=field_of(first, language), code=UNSUPPORTED)


class FactBook:
    """What is known of every model by everyone, merged and remembered.

    `aliases` is what the owner says of names in `[[models]]` (`Config.alias_facts`).  New lists of the providers are
    noticed.
    """

    def __init__(self, fleet: Fleet, lists: ModelLists, aliases: Mapping[str, ModelFacts]) -> None:
        self._fleet = fleet
        self._lists = lists
        self._aliases = aliases
        self._remembered: dict[tuple[str, str, str], ModelFacts] = {}
        self._unlimited: dict[str, Sequence[Target]] = {}
        """By the name asked for: candidates of whom no lack is known."""
        self._version = -1

    def configure(self, aliases: Mapping[str, ModelFacts]) -> None:
        """The owner says this now, and other upstreams may stand behind the old names."""
        self._aliases = aliases
        self._version = -1

    def of(self, asked: str, target: Target) -> ModelFacts:
        """What is known of `target`, asked for by the name `asked`."""
        if self._version != self._lists.version:
            self._version = self._lists.version
            self._remembered.clear()
            self._unlimited.clear()
        key = (asked, target.provider, target.model)
        facts = self._remembered.get(key)
        if facts is None:
            if len(self._remembered) >= REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
                self._unlimited.clear()
            facts = self._remembered[key] = self._merged(asked, target)
        return facts

    def able(self, call: Call, candidates: Sequence[Target]) -> Sequence[Target]:
        """Those who are not known to lack what `call` needs.  Raises InvalidRequest where that is nobody."""
        if self._unlimited.get(call.model) is candidates and self._version == self._lists.version:
            return candidates  # one look, on every request's way; the route table gives the same tuple again
        needs = needs_of(call)
        facts_of = self.for_call(call.model)
        limits = [facts_of(target).cannot for target in candidates]
        if not any(limits):
            self._unlimited[call.model] = candidates
        elif not all(map(needs.isdisjoint, limits)):
            return able(candidates, needs, facts_of, model=call.model, language=call.language)
        return candidates

    def for_call(self, asked: str) -> Callable[[Target], ModelFacts]:
        """For `able`."""
        return partial(self.of, asked)

    def _merged(self, asked: str, target: Target) -> ModelFacts:
        told = self._lists.facts(target.provider, target.model)
        facts = merge_facts(model_facts(target.model), told)
        upstream = self._fleet.members.get(target.provider)
        if upstream is not None and upstream.dialect.capabilities:
            beyond = ASKED_FOR - upstream.dialect.capabilities
            facts = replace(facts, can=facts.can - beyond, cannot=facts.cannot | beyond)
        owners = self._aliases.get(asked)
        return facts if owners is None else merge_facts(facts, owners)
