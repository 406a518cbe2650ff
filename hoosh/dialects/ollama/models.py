"""What Ollama says of its models: `GET /api/tags` lists them, `POST /api/show` tells of one.

How large they are is read in `sizes.py`.

`capabilities` is a full list where it is there: a chat model without `tools` refuses tools, without `vision` images,
without `thinking` a `think: true`.  That a model does not list `embedding` proves nothing: most chat models embed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hoosh.dialects.contract import Outgoing
from hoosh.dialects.ollama.sizes import listed_size, shown_size
from hoosh.dialects.ollama.wire import SHOW_PATH, read_as
from hoosh.values import Capability, ModelCard, ModelFacts

__all__ = ["read_models", "read_show", "show_request"]

LIBRARY = "library"
"""The namespace of models that are named without one."""

MEANING = {
    "completion": Capability.CHAT,
    "tools": Capability.TOOLS,
    "vision": Capability.VISION,
    "thinking": Capability.REASONING,
    "embedding": Capability.EMBEDDINGS,
}
PROVEN_BY_ABSENCE = frozenset(MEANING.values()) - {Capability.EMBEDDINGS}
CONTEXT_TOKENS_MAX = 2**53


class Tags(Struct):
    models: list[Any] | None = None


class Shown(Struct):
    capabilities: Any = None
    model_info: Any = None


_decode_tags = msgspec.json.Decoder(Tags).decode
_decode_shown = msgspec.json.Decoder(Shown).decode


def show_request(model: str) -> Outgoing:
    """How to ask what is known of one model; `read_show` reads the answer."""
    return Outgoing(SHOW_PATH, msgspec.json.encode({"model": model}))


def read_show(body: bytes) -> ModelFacts:
    """What does not read as an answer tells nothing.

    `context_tokens` is what the model was made for; a server with a smaller `num_ctx` cuts the prompt sooner.
    """
    shown = read_as(_decode_shown, body)
    if shown is None:
        return ModelFacts()
    facts = _facts(shown.capabilities, _context_tokens(shown.model_info))
    return replace(facts, size=shown_size(shown.model_info))


def read_models(body: bytes, *, default_owner: str) -> list[ModelCard]:
    """What does not read as a list is an empty one.  A model is owned by its namespace."""
    tags = read_as(_decode_tags, body)
    listed = None if tags is None else tags.models
    cards = [_card(model, default_owner) for model in listed or () if isinstance(model, dict)]
    return [card for card in cards if card.id]


def _card(model: dict[str, Any], default_owner: str) -> ModelCard:
    name = next((value for key in ("name", "model") if isinstance(value := model.get(key), str) and value), "")
    is_remote = bool(model.get("remote_host") or model.get("remote_model"))
    facts = _facts(model.get("capabilities"), None)
    return ModelCard(
        name,
        _namespace(name) or default_owner,
        _created_s(model.get("modified_at")),
        facts if is_remote else replace(facts, size=listed_size(model)),  # the size of a remote one is a stub's
        is_remote=is_remote,
    )


def _namespace(name: str) -> str:
    """`library` of `qwen3:4b`, `someone` of `someone/model` and of `hf.co/someone/model:Q4_K_M`."""
    path = name.split("/")
    return path[-2] if len(path) > 1 else LIBRARY


def _created_s(modified_at: object) -> int:
    """Unix seconds of an RFC 3339 time, whose fraction may have nine digits; 0 where it is none."""
    try:
        return max(0, int(datetime.fromisoformat(str(modified_at)).timestamp()))
    except (ValueError, OverflowError, OSError):
        return 0


def _facts(capabilities: object, context_tokens: int | None) -> ModelFacts:
    if not isinstance(capabilities, list):
        return ModelFacts(context_tokens=context_tokens, source="provider" if context_tokens else "")
    can = {MEANING[word] for word in capabilities if isinstance(word, str) and word in MEANING}
    cannot = PROVEN_BY_ABSENCE - can
    if Capability.CHAT in can:
        can.add(Capability.STREAMING)
    return ModelFacts(frozenset(can), frozenset(cannot), context_tokens, source="provider")


def _context_tokens(model_info: object) -> int | None:
    """`<architecture>.context_length`, whatever the architecture."""
    if not isinstance(model_info, dict):
        return None
    lengths = [value for key, value in model_info.items() if key.endswith(".context_length")]
    return next((n for n in lengths if type(n) is int and 0 < n <= CONTEXT_TOKENS_MAX), None)
