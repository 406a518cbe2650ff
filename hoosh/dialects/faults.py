"""An upstream's error, in whichever of its shapes, as one `UpstreamError`.  Nothing here raises.

    {"error": {"message", "type", "param", "code"}}      OpenAI and most others; code may be a number
    {"error": "text", "code": …}                         xAI, LM Studio, Ollama's native API
    {"object": "error", "message", "type", "code"}       Mistral, older vLLM
    {"detail": "text"} or {"detail": [{"loc", "msg"}]}   Mistral's gateway, FastAPI
    text, HTML, nothing                                  Ifran, proxies in between

The vendor's own words are kept, but for two verdicts that every client knows by OpenAI's code (`verdicts.py`); the
vendor's code for them is its `kind` then, unless it has one.  A number as code only repeats the HTTP status, where
there is one: inside a stream it is all there is, and kept as text.  Retry-After is read from the header (seconds or a
date), else from Google's `retryDelay` or a `retry_after`, else from the "Please try again in 6m0s" that OpenAI and Groq
write.

Source: wire notes 2.1 to 2.17; RFC 9110, section 10.2.3.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from hoosh.dialects.verdicts import verdict_in
from hoosh.errors import UpstreamError

__all__ = ["MESSAGE_CHARS_MAX", "decode_error", "error_in", "retry_after_s"]

MESSAGE_CHARS_MAX = 2000
WORD_CHARS_MAX = 200
DOCUMENT_BYTES_MAX = 1 << 20
RETRY_AFTER_MAX_S = 30 * 86400.0
"""Longer waits are nonsense, or a clock that is wrong."""

_try_again = re.compile(
    r"(?:try again|retry|wait)(?: in| after)? "
    r"(?:(\d{1,4}) ?h)?(?:(\d{1,4}) ?m(?!s|illi))?(?:(\d{1,9}(?:\.\d{1,12})?) ?(ms|milli|s))?",
    re.IGNORECASE,
)


def decode_error(status: int, retry_after: str | None, body: bytes, *, provider: str, now_s: float) -> UpstreamError:
    """An answer with an error status.  `now_s` is Unix time, for a Retry-After that is a date."""
    try:
        answer = _decoded(body)
    except (ValueError, RecursionError):
        answer = _text_of(body) or f"The upstream answered with status {status} and no explanation."
    error = error_in(answer, provider=provider, status=status)
    waited_s = retry_after_s(retry_after, now_s)
    if waited_s is not None:
        error.retry_after_s = waited_s
    return error


def _decoded(body: bytes) -> object:
    """JSON, also with bare line ends in its strings: proxies write such."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        return json.loads(body[:DOCUMENT_BYTES_MAX].decode("utf-8", "replace"), strict=False)


def error_in(answer: object, *, provider: str, status: int | None = None) -> UpstreamError:
    """The error that a decoded JSON value tells of: an error body, or the error event of a stream.

    Without a `status` of its own (the HTTP status was 200) the one inside the error counts, where it names one.
    """
    outer = answer if isinstance(answer, Mapping) else {}
    inner = outer.get("error")
    error = inner if isinstance(inner, Mapping) else outer
    message = _message_of(outer, inner) or _text(answer) or "The upstream reported an error without a message."
    code = _word(error.get("code"), outer.get("code"), error.get("status"))
    kind = _word(error.get("type"))
    named = _status_in(error) if status is None else status
    verdict = verdict_in(named, code, kind or _kind_below(error), message + _words_below(error))
    if verdict is not None and verdict != code:
        code, kind = verdict, kind or code
    return UpstreamError(
        message[:MESSAGE_CHARS_MAX],
        provider=provider,
        status=named,
        code=code or _number(error.get("code"), in_stream=status is None),
        kind=kind,
        param=_word(error.get("param")),
        retry_after_s=_wait_in(outer, error, message),
    )


def retry_after_s(header: str | None, now_s: float) -> float | None:
    """Seconds to wait by a Retry-After header; None when it is missing or makes no sense."""
    text = (header or "").strip()
    if not text or len(text) > 64:
        return None
    try:
        wait_s = float(text)
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(text).timestamp() - now_s
        except (ValueError, OverflowError, OSError):
            return None
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S) if math.isfinite(wait_s) else None


def _message_of(outer: Mapping[Any, Any], inner: object) -> str | None:
    if isinstance(inner, str) and inner.strip():
        return inner
    if isinstance(inner, Mapping):
        return _text(inner.get("message")) or _text(inner.get("msg"))
    return _text(outer.get("message")) or _details(outer.get("detail"))


def _details(detail: object) -> str | None:
    """FastAPI's list of mistakes as one line: `body.messages: field required; …`."""
    if not isinstance(detail, list):
        return _text(detail) or (_text(detail.get("message")) if isinstance(detail, Mapping) else None)
    lines = []
    for mistake in detail[:10]:
        if isinstance(mistake, Mapping) and (said := _text(mistake.get("msg"))):
            where = mistake.get("loc")
            place = ".".join(map(str, where)) if isinstance(where, list) else ""
            lines.append(f"{place}: {said}" if place else said)
        elif said := _text(mistake):
            lines.append(said)
    return "; ".join(lines) or None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _word(*values: object) -> str | None:
    """The first that is text, shortened."""
    return next((value[:WORD_CHARS_MAX] for value in values if isinstance(value, str) and value.strip()), None)


def _words_below(error: Mapping[Any, Any]) -> str:
    """What a vendor behind the vendor said (OpenRouter's `metadata`, Azure's `innererror`), only to be recognised."""
    below = [error.get("metadata"), error.get("innererror")]
    said = [inner.get(name) for inner in below if isinstance(inner, Mapping) for name in ("raw", "code")]
    return "".join([f"\n{words}" for words in said if isinstance(words, str)])


def _kind_below(error: Mapping[Any, Any]) -> str | None:
    """OpenRouter's own word for the kind of an error, only to be recognised."""
    below = error.get("metadata")
    return _word(below.get("error_type")) if isinstance(below, Mapping) else None


def _number(code: object, *, in_stream: bool) -> str | None:
    """A code that is a number, as text, where it says more than the HTTP status."""
    if type(code) is not int or not 0 < code < 1 << 31:
        return None
    return str(code) if in_stream or not 100 <= code <= 599 else None


def _status_in(error: Mapping[Any, Any]) -> int | None:
    for name in ("status_code", "raw_status_code", "code", "status"):
        value = error.get(name)
        if type(value) is int and 400 <= value <= 599:
            return value
    return None


def _wait_in(outer: Mapping[Any, Any], error: Mapping[Any, Any], message: str) -> float | None:
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, Mapping) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return retry_after_s(delay[:-1], 0.0)
    for holder in (error, outer, error.get("metadata")):
        wait = holder.get("retry_after", holder.get("retry_after_seconds")) if isinstance(holder, Mapping) else None
        if type(wait) in (int, float):
            return retry_after_s(str(wait), 0.0)
    found = next((each for each in _try_again.finditer(message, 0, MESSAGE_CHARS_MAX) if any(each.groups())), None)
    if found is None:
        return None
    hours, minutes, seconds, unit = found.groups()
    unit_s = 0.001 if unit and unit[0] in "mM" else 1.0
    wait_s = int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0) * unit_s
    return min(wait_s, RETRY_AFTER_MAX_S)


def _text_of(body: bytes) -> str | None:
    """A body that is not JSON, if a person is meant to read it; a page of HTML is not worth relaying."""
    text = body[: 4 * MESSAGE_CHARS_MAX].decode("utf-8", "replace").strip()
    if text[:1] == "<":
        return None
    clean = "".join(sign if sign.isprintable() or sign in "\n\t" else "�" for sign in text)
    return clean[:MESSAGE_CHARS_MAX]
