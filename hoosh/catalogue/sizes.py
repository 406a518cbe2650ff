"""How large is a model, by its name?  Known names first; then what a careful reader finds in the name; else nothing.

    "hf.co/maker/Qwen3-30B-A3B-GGUF:Q4_K_M" ──words──▶ qwen3 30b a3b gguf q4 k m
        known          by `hardware_models.py`, also inside of a longer name (`dolphin-mixtral:8x7b`), or a run of words
                       that `sizes.json` lists.  All parameters: of a mixture those of every expert
        size tag       one word that is a size and nothing else: 70b, 1.5b, 135m
        neither        8x7b and 16e tell of experts, a3b of active parameters, e4b of effective ones: none is the size;
                       two sizes in one name are no size

An engine knows its own models better: this is for those of whom it says nothing.  Unknown is better than wrong, since
a model that is taken for too large is not asked first any more.

Sources: the model cards that the data name (`safetensors` metadata); wire names as in Ollama's library and in GGUF's
naming convention (ggml-org/ggml, docs/gguf.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hoosh.catalogue.hardware_models import HardwareModel, find_hardware_model, hardware_models
from hoosh.values import ModelSize

__all__ = ["SIZES_FILE", "load_sizes", "merge_sizes", "named_size"]

SIZES_FILE = Path(__file__).with_name("sizes.json")
REMEMBERED = 4096
NAME_CHARS_MAX = 512

NO_SIZE = ModelSize()
FIELDS = ModelSize.__struct_fields__

BILLION = 1_000_000_000
MILLION = 1_000_000
BILLIONS_MAX = 10_000
MILLIONS_MIN = 20
"""Below, an `m` counts tokens of context: `1m`, `10m`."""

_BETWEEN = re.compile(r"[-_:@+,\s]+")
_FILE_END = re.compile(r"\.(?:gguf|bin|safetensors)$")
_SIZE = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)([bm])")
_EXPERTS = re.compile(r"\d+x\d+(?:\.\d+)?[bm]|\d+e")
_QUANTISATION = re.compile(
    r"(?<![a-z0-9.])(i?q[1-8](?:_[a-z0-9]+){1,2}|tq[12]_0|bf16|fp?16|fp?32|fp8|mxfp4|int[48]|awq|gptq|[2-8]bit)(?![a-z0-9])"
)
RUN_MAX = 6
"""Words in a name of `sizes.json`, at most."""
SMALL_AS_PUBLISHED = frozenset({"mxfp4"})
"""What is published so is hardly served otherwise; of other models smaller steps are made."""
_DERIVED = frozenset({"distill", "distilled", "draft", "eagle"})
"""Named after a model, of another size."""


class _Entry(Struct, forbid_unknown_fields=True):
    parameters: int
    names: list[str]
    """Runs of words, also inside of longer names."""


class _Group(Struct, forbid_unknown_fields=True):
    as_of: str
    source: str
    models: list[_Entry]


def load_sizes() -> None:
    """Read the files now, once for all.  Raises OSError."""
    _runs()
    hardware_models()


def merge_sizes(weak: ModelSize, strong: ModelSize) -> ModelSize:
    """`strong` is right where both say something; that it is not loaded nobody says."""
    if strong == NO_SIZE or weak == NO_SIZE:
        return strong if weak == NO_SIZE else weak
    said = {name: value for name in FIELDS if _is_said(value := getattr(strong, name))}
    return replace(weak, **said)


def _is_said(value: object) -> bool:
    return value is not None and value is not False and value != ""


@lru_cache(maxsize=REMEMBERED)
def named_size(model: str) -> ModelSize:
    """Parameters, architecture and quantisation of a model called so, as far as that is known."""
    name = _FILE_END.sub("", model[:NAME_CHARS_MAX].casefold().replace("\\", "/").rpartition("/")[2])
    words = tuple(word for word in _BETWEEN.split(name) if word)
    known = NO_SIZE if _DERIVED.intersection(words) else _known(words)
    if known.parameters is None:
        known = ModelSize(parameters=_tagged(words))
    quantisation = _QUANTISATION.search(name)
    return known if quantisation is None else replace(known, quantisation=quantisation[1])


def _known(words: tuple[str, ...]) -> ModelSize:
    for start in range(len(words)):
        rest = words[start:]
        # A part of a name must say a size: `my-phi-4` may be anybody's.  A size alone is nobody's name.
        if start and (_is_size(rest[0]) or not any(map(_is_size, rest))):
            continue
        found = find_hardware_model("-".join(rest))
        if found is not None:
            return _as_size(found)
    runs = _runs()
    for count in range(min(len(words), RUN_MAX), 0, -1):
        for start in range(len(words) - count + 1):
            if (parameters := runs.get(words[start : start + count])) is not None:
                return ModelSize(parameters=parameters)
    return NO_SIZE


def _is_size(word: str) -> bool:
    return _SIZE.fullmatch(word) is not None or _EXPERTS.fullmatch(word) is not None


def _as_size(model: HardwareModel) -> ModelSize:
    return ModelSize(
        parameters=model.parameters,
        quantisation=model.default_dtype if model.default_dtype in SMALL_AS_PUBLISHED else "",
        layers=model.layers,
        kv_heads=model.kv_heads,
        head_dim=model.head_dim,
        kv_width=model.kv_width,
        windowed_layers=model.windowed_layers or None,
        window_tokens=model.window_tokens,
    )


def _tagged(words: tuple[str, ...]) -> int | None:
    if any(_EXPERTS.fullmatch(word) for word in words):
        return None
    tags = {(float(found[1]), found[2]) for word in words if (found := _SIZE.fullmatch(word))}
    billions = {number for number, unit in tags if unit == "b"}
    millions = {number for number, unit in tags if unit == "m" and number >= MILLIONS_MIN}
    if len(billions) == 1 and 0 < (number := billions.pop()) < BILLIONS_MAX:
        return round(number * BILLION)
    if not billions and len(millions) == 1:
        return round(millions.pop() * MILLION)
    return None


@cache
def _runs() -> Mapping[tuple[str, ...], int]:
    groups = msgspec.json.decode(SIZES_FILE.read_bytes(), type=list[_Group])
    return {
        tuple(name.split("-")): entry.parameters for group in groups for entry in group.models for name in entry.names
    }
