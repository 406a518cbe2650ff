"""The embedded provider `echo`: says the last user message back, word by word, with true counts.

A token here is a word (what stands between white space), an image counts as the one word `[image]`:

    prompt_tokens       the words of all messages
    completion_tokens   the words said back; a limit cuts after so many, and the finish reason is then `length`

White space comes back exactly as it was.  The model has a context of `TEXT_CHARS_MAX` characters and says so with
`context_length_exceeded`: it answers on the event loop, and must not hold it.  Embeddings are unit vectors made from
a hash: equal texts have equal vectors, and that is all they know.

Pure; the wire is OpenAI's, which the gateway reads like any other upstream's.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import sys
from array import array
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from hoosh.dialects.openai.wire import DONE
from hoosh.errors import InvalidRequest
from hoosh.values import Call, CallKind, ModelCard

__all__ = ["CARD", "TEXT_CHARS_MAX", "reply", "stream_chunks"]

CARD = ModelCard("echo", "hoosh")

TEXT_CHARS_MAX = 1 << 20
DIMENSIONS = 64
DIMENSIONS_MAX = 3072
NUMBERS_MAX = 1 << 17
"""How many numbers one answer's vectors may have together."""

_word = re.compile(r"\s*\S+")
_encode = msgspec.json.encode


class _Echo(msgspec.Struct, frozen=True):
    """What will be said: `parts` are words, each with the white space before it; the last may be only that."""

    prompt_tokens: int
    parts: list[str]
    completion_tokens: int
    finish_reason: str

    @property
    def usage(self) -> dict[str, int]:
        return _usage(self.prompt_tokens, self.completion_tokens)


def reply(call: Call, *, request_id: str, created: int) -> bytes:
    """The whole answer.  `created` is Unix seconds.  Raises InvalidRequest."""
    if call.kind is CallKind.EMBEDDING:
        return _embeddings(call)
    echo = _listen(call)
    text = "".join(echo.parts)
    choice: dict[str, Any] = {"index": 0, "finish_reason": echo.finish_reason, "logprobs": None}
    if call.kind is CallKind.CHAT:
        choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        head = _head(call, "chat.completion", request_id, created)
    else:
        choice["text"] = text
        head = _head(call, "text_completion", request_id, created)
    return _encode({**head, "choices": [choice], "usage": echo.usage})


def stream_chunks(call: Call, *, request_id: str, created: int) -> Iterator[bytes]:
    """The answer as events, usage and terminator included.  Raises InvalidRequest before the first."""
    return _events(call, _listen(call), request_id, created)


def _events(call: Call, echo: _Echo, request_id: str, created: int) -> Iterator[bytes]:
    chat = call.kind is CallKind.CHAT
    head = _head(call, "chat.completion.chunk" if chat else "text_completion", request_id, created)

    def event(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
        return b"data: %b\n\n" % _encode({**head, "choices": choices, "usage": usage})

    def said(text: str, finish_reason: str | None = None, **delta: str) -> dict[str, Any]:
        body: dict[str, Any] = {"delta": delta} if chat else {"text": text}
        return {"index": 0, **body, "logprobs": None, "finish_reason": finish_reason}

    if chat:
        yield event([said("", role="assistant", content="")])
    for part in echo.parts:
        yield event([said(part, content=part)])
    yield event([said("", echo.finish_reason)])
    yield event([], echo.usage)
    yield DONE


def _head(call: Call, kind: str, request_id: str, created: int) -> dict[str, Any]:
    prefix = "chatcmpl" if call.kind is CallKind.CHAT else "cmpl"
    return {"id": f"{prefix}-{request_id}", "object": kind, "created": created, "model": call.model}


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _listen(call: Call) -> _Echo:
    texts, last = _messages(call) if call.kind is CallKind.CHAT else _prompt(call)
    _check_length(sum(map(len, texts)), "messages" if call.kind is CallKind.CHAT else "prompt")
    words = (match.group() for match in _word.finditer(last))
    parts = list(words if call.max_tokens is None else islice(words, call.max_tokens))
    count = len(parts)
    said = sum(map(len, parts))
    whole = not last[said:].strip()
    if whole and said < len(last):
        parts.append(last[said:])
    return _Echo(sum(map(_words, texts)), parts, count, "stop" if whole else "length")


def _messages(call: Call) -> tuple[list[str], str]:
    """The text of every message, and that of the last one from a user."""
    messages = _field(call, "messages")
    texts, last = [], ""
    for at, message in enumerate(messages if isinstance(messages, list) else ()):
        if not isinstance(message, Mapping):
            raise _invalid(f"messages[{at}]", "an object")
        text = _content(message.get("content"), f"messages[{at}].content")
        texts.append(text)
        if message.get("role") == "user":
            last = text
    return texts, last


def _content(content: object, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _invalid(where, "a string or an array")
    return "".join(_part(part, f"{where}[{at}]") for at, part in enumerate(content))


def _part(part: object, where: str) -> str:
    if not isinstance(part, Mapping):
        raise _invalid(where, "an object")
    kind = str(part.get("type") or "part")
    if kind in ("text", "input_text", "refusal"):
        text = part.get("refusal" if kind == "refusal" else "text")
        if not isinstance(text, str):
            raise _invalid(f"{where}.text", "a string")
        return text
    return f"[{kind.removeprefix('input_').removesuffix('_url')[:32]}]"


def _prompt(call: Call) -> tuple[list[str], str]:
    texts = [text for text, _ in _inputs(call, "prompt")] if _field(call, "prompt") is not None else [""]
    return texts, "\n".join(texts)


def _inputs(call: Call, where: str) -> list[tuple[str, int]]:
    """Texts and their lengths in tokens: a string, strings, a list of token numbers, or lists of those."""
    raw = call.fields.get(where)
    _check_length(len(bytes(raw)) // 2 if raw is not None else 0, where)  # millions of tokens take their time
    given = _field(call, where)
    if isinstance(given, str):
        return [(given, _words(given))]
    if not isinstance(given, list) or not given:
        raise _invalid(where, "a string or an array that is not empty")
    if all(isinstance(item, str) for item in given):
        return [(item, _words(item)) for item in given]
    lists = [given] if all(_is_token(item) for item in given) else given
    if not all(isinstance(tokens, list) and tokens and all(map(_is_token, tokens)) for tokens in lists):
        raise _invalid(where, "strings, or lists of tokens")
    return [(" ".join(map(str, tokens)), len(tokens)) for tokens in lists]


def _is_token(value: object) -> bool:
    return type(value) is int and value >= 0


def _embeddings(call: Call) -> bytes:
    inputs = _inputs(call, "input")
    _check_length(sum(len(text) for text, _ in inputs), "input")
    dimensions = _dimensions(call)
    if dimensions * len(inputs) > NUMBERS_MAX:
        message = f"Invalid 'input': echo answers with at most {NUMBERS_MAX} numbers; ask for fewer dimensions."
        raise InvalidRequest(message, param="input", code="array_above_max_length")
    encoding = _field(call, "encoding_format")
    if encoding not in (None, "float", "base64"):
        raise InvalidRequest("Invalid 'encoding_format'.", param="encoding_format", code="invalid_value")
    data = []
    for index, (text, _) in enumerate(inputs):
        vector = _vector(text, dimensions)
        shown = _little_endian(vector) if encoding == "base64" else vector.tolist()
        data.append({"object": "embedding", "index": index, "embedding": shown})
    tokens = sum(count for _, count in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encode({"object": "list", "data": data, "model": call.model, "usage": usage})


def _dimensions(call: Call) -> int:
    dimensions = _field(call, "dimensions")
    if dimensions is None:
        return DIMENSIONS
    if type(dimensions) is not int or not 1 <= dimensions <= DIMENSIONS_MAX:
        raise _invalid("dimensions", f"an integer from 1 to {DIMENSIONS_MAX}")
    return dimensions


def _vector(text: str, dimensions: int) -> array[float]:
    """A unit vector from the text's hash.  Its first numbers do not depend on how many there are, before scaling."""
    digest = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    numbers = [int.from_bytes(digest[at : at + 2], "little") - 32767.5 for at in range(0, 2 * dimensions, 2)]
    length = math.hypot(*numbers)  # never 0: no number is
    return array("f", [number / length for number in numbers])


def _little_endian(vector: array[float]) -> str:
    if sys.byteorder == "big":
        vector = array("f", vector)
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()


def _words(text: str) -> int:
    return len(text.split())


def _field(call: Call, name: str) -> Any:
    raw = call.fields.get(name)
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"Invalid '{name}'.", param=name, code="invalid_value") from error


def _check_length(chars: int, where: str) -> None:
    if chars > TEXT_CHARS_MAX:
        message = f"echo listens to at most {TEXT_CHARS_MAX} characters, and got {chars}."
        raise InvalidRequest(message, param=where, code="context_length_exceeded")


def _invalid(where: str, expected: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid type for '{where}': expected {expected}.", param=where, code="invalid_type")
