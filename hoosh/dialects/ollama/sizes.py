"""How large Ollama says its models are, and which it has in memory.

    GET  /api/tags   size (bytes of the weights), details.parameter_size (`4.0B`, `23M`, a bare number),
                     details.quantization_level
    POST /api/show   model_info: general.parameter_count, <architecture>.block_count, .attention.head_count_kv, …
    GET  /api/ps     of those in memory: size (all that it takes), size_vram (its part on accelerators)

Source: Ollama's API reference (docs.ollama.com/api/tags, /show, /ps); wire notes 2.9.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from hoosh.dialects.ollama.wire import read_as
from hoosh.values import ModelSize

__all__ = ["listed_size", "read_memory", "shown_size"]

BYTES_MAX = 1 << 50
COUNT_MAX = 1 << 50
HEADS_MAX = 1 << 16
UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
WORD_CHARS_MAX = 40

_PARAMETERS = re.compile(r"(\d{1,16}(?:\.\d{1,6})?)\s?([KMBT]?)", re.ASCII)


class Loaded(Struct):
    models: list[Any] | None = None


_decode_loaded = msgspec.json.Decoder(Loaded).decode


def listed_size(model: Mapping[str, Any]) -> ModelSize:
    """Of one entry of the list."""
    details = model.get("details")
    details = details if isinstance(details, dict) else {}
    return ModelSize(
        parameters=_parameters(details.get("parameter_size")),
        weights_bytes=_count(model.get("size"), BYTES_MAX),
        quantisation=_word(details.get("quantization_level")),
    )


def shown_size(model_info: object) -> ModelSize:
    """Of the answer about one model.

    Where heads differ from layer to layer, or keep less than keys and values (multi-head latent attention), the
    architecture is left out: what is left is an estimate without it.
    """
    if not isinstance(model_info, dict):
        return ModelSize()
    architecture = model_info.get("general.architecture")

    def number(name: str) -> int | None:
        return _count(model_info.get(f"{architecture}.{name}"), HEADS_MAX)

    parameters = _count(model_info.get("general.parameter_count"), COUNT_MAX)
    layers, kv_heads, head_dim = (
        number("block_count"),
        number("attention.head_count_kv"),
        number("attention.key_length"),
    )
    width, heads = number("embedding_length"), number("attention.head_count")
    if head_dim is None and width is not None and heads is not None:
        head_dim = width // heads
    if layers is None or kv_heads is None or head_dim is None or number("attention.kv_lora_rank") is not None:
        return ModelSize(parameters=parameters)
    return ModelSize(parameters=parameters, layers=layers, kv_heads=kv_heads, head_dim=head_dim)


def read_memory(body: bytes) -> dict[str, ModelSize]:
    """The answer of `/api/ps`: every model in it is loaded."""
    loaded = read_as(_decode_loaded, body)
    entries = (entry for entry in (loaded.models if loaded is not None else None) or () if isinstance(entry, dict))
    return {name: _held(entry) for entry in entries if isinstance(name := entry.get("name") or entry.get("model"), str)}


def _held(entry: Mapping[str, Any]) -> ModelSize:
    size = _count(entry.get("size"), BYTES_MAX)
    on_accelerators = entry.get("size_vram")
    return ModelSize(
        is_loaded=True,
        held_bytes=size,
        held_accelerator_bytes=0 if on_accelerators == 0 else _count(on_accelerators, BYTES_MAX),
        context_tokens=_count(entry.get("context_length"), COUNT_MAX),
    )


def _parameters(said: object) -> int | None:
    found = _PARAMETERS.fullmatch(said.strip()) if isinstance(said, str) and len(said) <= WORD_CHARS_MAX else None
    return None if found is None else _count(round(float(found[1]) * UNITS[found[2]]), COUNT_MAX)


def _word(said: object) -> str:
    return said if isinstance(said, str) and len(said) <= WORD_CHARS_MAX and said != "unknown" else ""


def _count(value: object, most: int) -> int | None:
    return value if type(value) is int and 0 < value <= most else None
