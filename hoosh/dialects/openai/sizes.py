"""How large engines of OpenAI's family say their models are, and which they have in memory.

    llama.cpp    /v1/models: meta.n_params, meta.size (bytes of the weights); a server of one model has it in memory, a
                 router says `status.value`
    vLLM         /v1/models: what is on the list is in memory, and nothing tells how large it is
    LM Studio    /api/v0/models: `quantization`, `state` (loaded, not-loaded), loaded_context_length

Source: wire notes 2.10 to 2.12; llama.cpp, tools/server/README.md; LM Studio's REST API v0; vLLM's OpenAI-compatible
server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hoosh.dialects.loose_json import read_loosely
from hoosh.values import ModelSize

__all__ = ["listed_size", "read_lmstudio"]

BYTES_MAX = 1 << 50
COUNT_MAX = 1 << 50
MODELS_MAX = 10_000
WORD_CHARS_MAX = 40
SERVES_WHAT_IT_HAS = frozenset({"vllm", "sglang"})
"""As they sign their models: nothing is on their lists that is not in memory."""

Entry = Mapping[str, Any]


def listed_size(entry: Entry) -> ModelSize:
    """Of one entry of `/v1/models`."""
    meta = entry.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    return ModelSize(
        parameters=_count(meta.get("n_params"), COUNT_MAX),
        weights_bytes=_count(meta.get("size"), BYTES_MAX),
        is_loaded=_is_loaded(entry, meta),
    )


def _is_loaded(entry: Entry, meta: Entry) -> bool:
    status = entry.get("status")
    if isinstance(status, dict):
        return status.get("value") == "loaded"
    # While llama.cpp still loads its one model, `meta` is null.
    owner = entry.get("owned_by")
    return isinstance(owner, str) and (owner in SERVES_WHAT_IT_HAS or (owner == "llamacpp" and bool(meta)))


def read_lmstudio(body: bytes) -> dict[str, ModelSize]:
    """The answer of `/api/v0/models`: all that are on disk."""
    whole = read_loosely(body)
    data = whole.get("data") if isinstance(whole, dict) else None
    entries = [entry for entry in data[:MODELS_MAX] if isinstance(entry, dict)] if isinstance(data, list) else []
    return {name: _lmstudios(entry) for entry in entries if isinstance(name := entry.get("id"), str)}


def _lmstudios(entry: Entry) -> ModelSize:
    quantisation = entry.get("quantization")
    return ModelSize(
        quantisation=quantisation if isinstance(quantisation, str) and len(quantisation) <= WORD_CHARS_MAX else "",
        context_tokens=_count(entry.get("loaded_context_length"), COUNT_MAX),
        is_loaded=entry.get("state") == "loaded",
    )


def _count(value: object, most: int) -> int | None:
    return value if type(value) is int and 0 < value <= most else None
