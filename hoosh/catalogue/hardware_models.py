"""Open models whose weights somebody may run at home: how large they are and how they are built.

    "meta-llama/Llama-3.1-8B-Instruct", "llama3.1:8b-instruct-q4_K_M" ──fold──▶ "llama-3.1-8b" + what says no size

A name stands for itself and for its instructed, dated and quantised versions, never for another size: `deepseek-r1:8b`
is not the model of 671 B.  A name that nobody knows may still say its size: `sizes.py`.

Sources: reference appendix B, the first 26; the rest, all architectures and the exact numbers of parameters from each
model's own page, which the data name.  A test adds the parameters of the dense ones up from their architecture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct

__all__ = [
    "HARDWARE_MODELS_FILE",
    "HardwareModel",
    "find_hardware_model",
    "hardware_model_named",
    "hardware_models",
]

HARDWARE_MODELS_FILE = Path(__file__).with_name("hardware_models.json")
MAX_NAME_CHARS = 256
"""Longer names are nobody's."""
REMEMBERED = 1024

_FAMILY_NUMBER = re.compile(r"^([a-z]+)(?=\d)")
_WORD = re.compile(
    r"instruct|it|chat|base|pt|hf|text|latest|preview|turbo|versatile|instant|gguf|awq|gptq|mlx|ud|bf16|f16|fp16|fp8|f32"
    r"|int[48]|[48]bit|i?q\d[a-z0-9]*|[ksml01]|x{1,2}[sl]|nl|(?:mx|nv)fp4|v\d[\d.]*|\d{4,8}|\d{1,3}k|1m",
    re.ASCII,
)
"""What may follow a name, between hyphens, and makes no other model of it."""


class HardwareModel(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model, as its weights were published."""

    name: str
    family: str
    params_billions: float
    """As people call it."""
    parameters: int
    """All of them; of a mixture, every expert's."""
    active_parameters: int | None = None
    """Those that a token meets, where that is not all."""
    default_dtype: str
    formats: tuple[str, ...]
    context_lengths: tuple[int, ...]
    layers: int | None = None
    """None, as the other three, where it has no attention cache to speak of."""
    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    kv_width: int | None = None
    """Values kept of a token in a layer, where that is not 2 · kv_heads · head_dim."""
    windowed_layers: int = 0
    window_tokens: int | None = None
    """How far back those layers look."""
    names: tuple[str, ...] = ()
    """What else it is called, folded."""
    source: str


class _File(Struct, forbid_unknown_fields=True):
    as_of: str
    source: str
    models: tuple[HardwareModel, ...]


@cache
def hardware_models() -> tuple[HardwareModel, ...]:
    """All of them, in the order of the file.  Raises OSError."""
    return msgspec.json.decode(HARDWARE_MODELS_FILE.read_bytes(), type=_File).models


def hardware_model_named(name: str) -> HardwareModel | None:
    """The one of exactly this catalogue name."""
    return next((model for model in hardware_models() if model.name == name), None)


@lru_cache(maxsize=REMEMBERED)
def find_hardware_model(name: str) -> HardwareModel | None:
    """By its catalogue name, or by any name that a provider may have for it; None where nobody is meant for sure."""
    exact = hardware_model_named(name)
    if exact is not None or len(name) > MAX_NAME_CHARS:
        return exact
    folded = _fold(name)
    names = _names()
    for end in range(len(folded), 0, -1):
        model = names.get(folded[:end])
        if model is not None and _says_no_size(folded[end:]):
            return model
    return None


def _says_no_size(tail: str) -> bool:
    """`-instruct-q4-k-m`, for one."""
    return not tail or (tail[0] == "-" and all(map(_WORD.fullmatch, tail[1:].replace("-bit", "bit").split("-"))))


def _fold(name: str) -> str:
    last = name.casefold().replace("\\", "/").rpartition("/")[2].removesuffix(".gguf")
    return _FAMILY_NUMBER.sub(r"\1-", re.sub(r"[\s:_@]+", "-", last.strip()))


@cache
def _names() -> Mapping[str, HardwareModel]:
    return {_fold(name): model for model in hardware_models() for name in (model.name, *model.names)}
