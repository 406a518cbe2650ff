"""What travels in Ollama's language, as far as both directions share it.

    {"model", "created_at", "message": {"role", "content", "thinking"?, "tool_calls"?, "images"?}, "done": false}
    {"model", "created_at", "message": {…}, "done": true, "done_reason", "prompt_eval_count"?, "eval_count", …}

A whole reply is the last of these with everything in its message.  `/api/generate` says `response` and `thinking` at
the top instead of `message`.  Texts are typed, because an answer with a hole in it must not look whole; counts and
words are `Any`, because a count that is a string must not end a stream.

Source: wire notes 2.9 and 2.17; Ollama's API documentation and Modelfile reference for the options.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import Raw, Struct

from hoosh.dialects.loose_json import UNREADABLE, mended_text, read_count
from hoosh.values import Extension, Usage

__all__ = ["CHAT_PATH", "EMBED_PATH", "GENERATE_PATH", "LEGACY_EMBED_PATH", "PS_PATH", "SHOW_PATH", "TAGS_PATH"]
__all__ += ["Line", "ModelOptions", "OllamaExtension", "Said", "WireCall"]
__all__ += ["clean_up", "is_legacy_embedding", "read_as", "read_line", "read_usage", "timestamp"]
__all__ += ["usage_of"]

T = TypeVar("T")

CHAT_PATH = "/api/chat"
GENERATE_PATH = "/api/generate"
EMBED_PATH = "/api/embed"
LEGACY_EMBED_PATH = "/api/embeddings"
TAGS_PATH = "/api/tags"
SHOW_PATH = "/api/show"
PS_PATH = "/api/ps"


# -- a line of a reply -------------------------------------------------------------------------------------------


class WireFunction(Struct, gc=False):
    """`arguments` is an object; a string of JSON text from old servers."""

    name: str
    arguments: Raw = Raw(b"{}")


class WireCall(Struct, gc=False):
    """A whole call.  Old servers give no id, and `index` counts what is in order anyway."""

    function: WireFunction
    id: str | None = None


class Said(Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[WireCall] | None = None
    images: list[str] | None = None


class Line(Struct, gc=False):
    """A line of a stream, or a whole reply."""

    model: Any = None
    message: Said | None = None
    response: str | None = None
    thinking: str | None = None
    tool_calls: list[WireCall] | None = None
    image: str | None = None
    """Made by an image model on `/api/generate`."""
    done: Any = None
    done_reason: Any = None
    prompt_eval_count: Any = None
    prompt_eval_cached_count: Any = None
    eval_count: Any = None
    error: Any = None


_decode_line = msgspec.json.Decoder(Line).decode


def read_line(line: bytes) -> Line | None:
    """One line; None when it is not an object of this dialect."""
    return read_as(_decode_line, line)


def read_as(decode: Callable[[bytes], T], data: bytes) -> T | None:
    """What `decode` makes of `data`, as it is or cleaned up; None where it makes nothing of either."""
    try:
        return decode(data)
    except UNREADABLE:
        pass
    try:
        return decode(clean_up(data))
    except UNREADABLE:
        return None


def clean_up(data: bytes) -> bytes:
    """JSON as Python's own reader takes it, which is more than msgspec takes: NaN becomes null, what is not UTF-8 and
    half surrogate pairs become U+FFFD.  Raises one of UNREADABLE where it is no JSON for either."""
    value = json.loads(data.decode("utf-8", "replace"), parse_constant=lambda _: None)
    return mended_text(json.dumps(value, ensure_ascii=False)).encode()


def read_usage(line: Line) -> Usage | None:
    """What a last line counts."""
    return usage_of(line.prompt_eval_count, line.prompt_eval_cached_count, line.eval_count)


def usage_of(prompt_eval: object, cached: object, evaluated: object) -> Usage | None:
    """The counts of a reply, whatever is in them.  Of older servers a prompt that was wholly in the cache has no count;
    newer ones count all of it, and how much of that was cached."""
    prompt, completion = read_count(prompt_eval), read_count(evaluated)
    if not (prompt or completion):
        return None
    return Usage(prompt, completion, cached_tokens=min(read_count(cached), prompt))


def timestamp(created_s: int) -> str:
    """RFC 3339, as `created_at` and `modified_at` are written."""
    return datetime.fromtimestamp(created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_legacy_embedding(fields: Mapping[str, Raw]) -> bool:
    """Fields of the older `/api/embeddings`, which takes one `prompt` and answers with one `embedding`."""
    return "prompt" in fields and "input" not in fields


# -- what only Ollama has ----------------------------------------------------------------------------------------


class ModelOptions(Struct, frozen=True, omit_defaults=True):
    """`options` of a request.  None is not sent: the model's own default counts."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] | str | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    num_predict: int | None = None
    """-1: no limit, -2: until the context is full."""
    num_ctx: int | None = None
    num_keep: int | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    num_thread: int | None = None
    numa: bool | None = None
    low_vram: bool | None = None
    use_mmap: bool | None = None
    use_mlock: bool | None = None
    typical_p: float | None = None
    tfs_z: float | None = None
    repeat_last_n: int | None = None
    repeat_penalty: float | None = None
    penalize_newline: bool | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None


NO_OPTIONS = ModelOptions()


class OllamaExtension(Extension, frozen=True):
    """What Ollama's language can say of a chat and the others cannot."""

    home: ClassVar[str] = "ollama"

    keep_alive: int | float | str | None = None
    """Seconds, or a duration such as `5m`; 0 unloads the model, a negative one keeps it."""
    options: ModelOptions = NO_OPTIONS
    """Without those that Sampling has a place for."""
    truncate: bool | None = None
    shift: bool | None = None
    only_here: tuple[str, ...] = ()
    """Fields of `/api/generate` that shape its answer and that no chat can say: `suffix`, `template`, `raw`, …"""

    @property
    def demands(self) -> tuple[str, ...]:
        return self.only_here
