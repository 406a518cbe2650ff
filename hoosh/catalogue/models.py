"""What is publicly known of models by name: context, longest reply, what they can and what they surely cannot.

    "meta-llama/Llama-3.1-8B-Instruct" ──fold──▶ "llama-3.1-8b-instruct" ──longest known beginning──▶ "llama-3.1*"

A name in `models.json` stands for itself and for its dated, numbered and tagged versions (`gpt-4o` for
`gpt-4o-2024-11-20`, `llama3:8b`, but not for `gpt-4o-mini`); one that ends in `*` stands for whatever begins so.  The
longest wins.  Every group of entries says where it is from and as of when.

This is the weakest of three sources: a provider knows its own models better, and the owner's configuration has the last
word; `merge_facts` lays one over the other.  `cannot` is said only where it is sure for the weights or the service
themselves: unknown is better than wrong, since what a model cannot do is refused before anybody is asked.
Of files no chat model is said to be unable: some services (OpenRouter) read them for models that do not.

Sources: reference appendix A, brought up to date from the vendors' pages named in the data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hoosh.catalogue.sizes import merge_sizes
from hoosh.values import Capability, ModelFacts

__all__ = ["CATALOGUE_FILE", "CatalogueModel", "catalogue_models", "load_models", "merge_facts", "model_facts"]

CATALOGUE_FILE = Path(__file__).with_name("models.json")
REMEMBERED = 4096
"""Model names come from clients, too."""

_VERSION = re.compile(
    r"[-@_](?:\d{2,8}(?:-\d\d){0,2}|latest|preview|exp|experimental|beta|v\d)(?:[-.:@_].*)?|:.*", re.DOTALL
)
_CLOUD = re.compile(r"^(?:[a-z]{2,6}\.)?(?:amazon|anthropic|meta|mistral|deepseek|openai|qwen|cohere)\.")
"""How Bedrock writes names: `us.anthropic.claude-…`."""


class CatalogueModel(Struct, frozen=True):
    """One model, or a family that differs in nothing told here."""

    id: str
    vendor: str
    facts: ModelFacts
    source: str
    """Where it is from: an address of the vendor's."""
    as_of: str
    """Year and month in which that was so."""


class _Entry(Struct, forbid_unknown_fields=True):
    id: str
    names: list[str] = []
    context: int | None = None
    output: int | None = None
    can: str = ""
    cannot: str = ""


class _Group(Struct, forbid_unknown_fields=True):
    vendor: str
    as_of: str
    source: str
    models: list[_Entry]


class _Index(Struct, frozen=True):
    models: tuple[CatalogueModel, ...]
    exact: Mapping[str, CatalogueModel]
    """By names that stand for their versions, too."""
    beginnings: Mapping[str, CatalogueModel]
    longest: int


def catalogue_models() -> tuple[CatalogueModel, ...]:
    """Everything the catalogue knows, by vendor."""
    return _index().models


def load_models() -> None:
    """Read the file now, once for all: later there may be no file left to open.  Raises OSError."""
    _index()


@lru_cache(maxsize=REMEMBERED)
def model_facts(model: str) -> ModelFacts:
    """What the catalogue knows of `model`, by whatever name a provider has for it; nothing where it knows nothing."""
    index = _index()
    for name in _names(model):
        found = _look_up(index, name)
        if found is not None:
            return found.facts
    return ModelFacts()


def merge_facts(*sources: ModelFacts) -> ModelFacts:
    """One opinion of several, the weakest first: whoever comes later is right where both say something."""
    merged = ModelFacts()
    for facts in sources:
        if facts == ModelFacts():
            continue
        merged = replace(
            merged,
            can=(merged.can - facts.cannot) | facts.can,
            cannot=(merged.cannot - facts.can) | facts.cannot,
            context_tokens=facts.context_tokens or merged.context_tokens,
            max_output_tokens=facts.max_output_tokens or merged.max_output_tokens,
            source=facts.source or merged.source,
            size=merge_sizes(merged.size, facts.size),
        )
    return merged


def _names(model: str) -> list[str]:
    """The ways to read a model's name, fullest first: with its maker, without, without a tuner's or cloud's prefix."""
    whole = model.casefold().replace("\\", "/")
    last = whole.rpartition("/")[2]
    plain = _CLOUD.sub("", last.removeprefix("ft:"))
    return list(dict.fromkeys((whole, last, plain)))


def _look_up(index: _Index, name: str) -> CatalogueModel | None:
    for end in range(min(len(name), index.longest), 0, -1):
        beginning = name[:end]
        found = index.exact.get(beginning)
        if found is not None and (end == len(name) or _VERSION.fullmatch(name, end)):
            return found
        found = index.beginnings.get(beginning)
        if found is not None:
            return found
    return None


@cache
def _index() -> _Index:
    groups = msgspec.json.decode(CATALOGUE_FILE.read_bytes(), type=list[_Group])
    models: list[CatalogueModel] = []
    exact: dict[str, CatalogueModel] = {}
    beginnings: dict[str, CatalogueModel] = {}
    for group in groups:
        for entry in group.models:
            model = CatalogueModel(entry.id, group.vendor, _facts(entry), group.source, group.as_of)
            models.append(model)
            for name in (entry.id, *entry.names):
                table = beginnings if name.endswith("*") else exact
                table[name.removesuffix("*")] = model
    return _Index(tuple(models), exact, beginnings, max(map(len, (*exact, *beginnings))))


def _facts(entry: _Entry) -> ModelFacts:
    can, cannot = (frozenset(map(Capability, words.split())) for words in (entry.can, entry.cannot))
    return ModelFacts(can, cannot, entry.context, entry.output, source="catalogue")
