"""Model lists of OpenAI's family, with what they tell of each model.

    {"data": [{"id", "owned_by", "created", …}]}          and a bare list, and `models` beside or instead of `data`

    context          context_length · context_window · max_context_length · max_model_len · meta.n_ctx · …
    modalities       OpenRouter's `architecture`, Groq's and xAI's own fields
    abilities        OpenRouter's `supported_parameters`, Groq's `supported_features`, Mistral's and llama.cpp's
                     `capabilities`, LM Studio's `type`

Where a list names what a model can, what it does not name is something that the model cannot.
Source: wire notes 2.4 to 2.14; the vendors' documentation of their model lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from hoosh.dialects.loose_json import read_loosely
from hoosh.dialects.openai.chunks import text_of
from hoosh.dialects.openai.sizes import listed_size
from hoosh.values import Capability, ModelCard, ModelFacts

__all__ = ["read_model_list"]

ID_CHARS_MAX = 256
MODELS_MAX = 10_000
TOKENS_MAX = 1 << 40

C = Capability
_CHATS = frozenset({C.CHAT, C.STREAMING})

CONTEXT = ("context_length", "context_window", "max_context_length", "max_model_len", "max_input_tokens")
OUTPUT = ("max_completion_tokens", "max_output_length", "max_output_tokens")

INPUTS = {"image": C.VISION, "audio": C.AUDIO_INPUT, "file": C.FILES}
UNSAID = frozenset({C.FILES})
"""Not naming it proves nothing: OpenRouter reads documents for models that cannot."""
OUTPUTS = {
    "text": C.CHAT,
    "embedding": C.EMBEDDINGS,
    "embeddings": C.EMBEDDINGS,
    "transcription": C.TRANSCRIPTION,
    "speech": C.SPEECH,
}
PARAMETERS = {"tools": C.TOOLS, "reasoning": C.REASONING, "structured_outputs": C.STRUCTURED_OUTPUT}
MISTRALS = {
    "completion_chat": C.CHAT,
    "function_calling": C.TOOLS,
    "vision": C.VISION,
    "reasoning": C.REASONING,
    "audio": C.AUDIO_INPUT,
    "audio_transcription": C.TRANSCRIPTION,
    "audio_speech": C.SPEECH,
}
LLAMACPPS = {
    "completion": C.CHAT,
    "multimodal": C.VISION,
    "vision": C.VISION,
    "audio": C.AUDIO_INPUT,
    "embedding": C.EMBEDDINGS,
    "tools": C.TOOLS,
    "tool_use": C.TOOLS,
    "thinking": C.REASONING,
}
TYPES = {"llm": C.CHAT, "vlm": C.VISION, "embeddings": C.EMBEDDINGS, "embedding": C.EMBEDDINGS}

Entry = Mapping[str, Any]


def read_model_list(body: bytes, *, default_owner: str) -> list[ModelCard]:
    """What does not read as a list is an empty one; what does not read as a model is left out."""
    whole = read_loosely(body)
    data = whole.get("data") if isinstance(whole, dict) else whole
    beside = whole.get("models") if isinstance(whole, dict) else None
    told = {entry.get("model") or entry.get("name"): entry for entry in _objects(beside) if _is_plain(entry)}
    cards: dict[str, ModelCard] = {}
    for entry in _objects(data if isinstance(data, list) else beside):
        card = _card(entry, told, default_owner)
        if card is not None:
            cards.setdefault(card.id, card)
    return list(cards.values())


def _objects(data: object) -> list[Entry]:
    return [entry for entry in data[:MODELS_MAX] if isinstance(entry, dict)] if isinstance(data, list) else []


def _is_plain(entry: Entry) -> bool:
    return isinstance(entry.get("model") or entry.get("name"), str)


def _card(entry: Entry, told: Mapping[object, Entry], default_owner: str) -> ModelCard | None:
    model = text_of(entry.get("id")) or text_of(entry.get("model")) or text_of(entry.get("name"))
    if not model or len(model) > ID_CHARS_MAX or not model.isprintable():
        return None
    created = entry.get("created")
    return ModelCard(
        model,
        _owner(entry, model, default_owner),
        created if type(created) is int and 0 <= created < 1 << 53 else 0,
        replace(_facts(entry, told.get(model, {})), size=listed_size(entry)),
    )


def _owner(entry: Entry, model: str, default_owner: str) -> str:
    """Who made it: as the list says, else by the id where that begins with a name (`anthropic/claude-…`)."""
    owner = text_of(entry.get("owned_by")) or text_of(entry.get("publisher"))
    if owner and owner.isprintable() and len(owner) <= ID_CHARS_MAX:
        return owner
    prefix, slash, _ = model.removeprefix("~").partition("/")
    return prefix if slash and prefix and "canonical_slug" in entry else default_owner


def _facts(entry: Entry, beside: Entry) -> ModelFacts:
    can: set[Capability] = set()
    cannot: set[Capability] = set()
    _count_modalities(entry, can, cannot)
    for name, words in (("supported_parameters", PARAMETERS), ("supported_features", PARAMETERS)):
        if isinstance(entry.get(name), list):
            _count_words(entry[name], words, can, cannot)
    _count_abilities(entry.get("capabilities") or beside.get("capabilities"), can, cannot)
    if (kind := TYPES.get(str(entry.get("type")))) is not None:
        can |= {kind, C.CHAT} if kind is C.VISION else {kind}
        if kind is C.EMBEDDINGS:
            cannot.add(C.CHAT)
    if C.CHAT in can:
        can |= _CHATS
    if C.CHAT in cannot:
        cannot.add(C.STREAMING)
    context, output = _context(entry), _tokens(entry, OUTPUT) or _tokens(_inside(entry, "top_provider"), OUTPUT)
    if not (can or cannot or context or output):
        return ModelFacts()
    return ModelFacts(frozenset(can), frozenset(cannot - can), context, output, "provider")


def _count_modalities(entry: Entry, can: set[Capability], cannot: set[Capability]) -> None:
    shape = _inside(entry, "architecture")
    inputs = entry.get("input_modalities") or shape.get("input_modalities")
    outputs = entry.get("output_modalities") or shape.get("output_modalities")
    if isinstance(inputs, list) and inputs:
        _count_words(inputs, INPUTS, can, cannot)
    if isinstance(outputs, list) and outputs:
        _count_words(outputs, OUTPUTS, can, cannot)


def _count_words(
    named: Iterable[object], words: Mapping[str, Capability], can: set[Capability], cannot: set[Capability]
) -> None:
    found = {words[name] for name in named if isinstance(name, str) and name in words}
    can |= found
    cannot |= set(words.values()) - found - UNSAID


def _count_abilities(abilities: object, can: set[Capability], cannot: set[Capability]) -> None:
    """Mistral's switches say yes and no; llama.cpp's words say only what there is."""
    if isinstance(abilities, dict):
        for name, capability in MISTRALS.items():
            if abilities.get(name) is True:
                can.add(capability)
            elif abilities.get(name) is False:
                cannot.add(capability)
    elif isinstance(abilities, list):
        can |= {LLAMACPPS[name] for name in abilities if isinstance(name, str) and name in LLAMACPPS}


def _context(entry: Entry) -> int | None:
    meta = _inside(entry, "meta")
    return (
        _tokens(entry, ("loaded_context_length",))
        or _tokens(entry, CONTEXT)
        or _tokens(_inside(entry, "top_provider"), CONTEXT)
        or _tokens(meta, ("n_ctx", "n_ctx_train"))
    )


def _tokens(entry: Entry, names: Iterable[str]) -> int | None:
    counts = (entry.get(name) for name in names)
    return next((count for count in counts if type(count) is int and 0 < count < TOKENS_MAX), None)


def _inside(entry: Entry, name: str) -> Entry:
    inner = entry.get(name)
    return inner if isinstance(inner, dict) else {}
