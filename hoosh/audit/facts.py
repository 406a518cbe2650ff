"""What happened, as the chain will say it: facts, before they are sealed.

    a request was answered           inference.response     info
    … failed before any reply        inference.error        error
    … broke off within the reply     inference.cut          error
    … its client left                inference.client_left  info
    … was refused, its caller known  limit.exceeded, budget.exceeded   warn, counted
    … or not known                   auth.failed, inference.refused    warn, counted

An entry says who, what, how it ended and what it cost.  It holds no prompt and no reply unless that is asked for, and
never what an upstream said: its words may repeat an address, a key or the prompt.  Text of strangers is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, Struct

from hoosh.audit.entry import NOTHING, Level
from hoosh.audit.tally import Tallied
from hoosh.values import AttemptRecord, Outcome, Record, Usage, plain_code

__all__ = ["Details", "Fact", "fact", "fact_of_record", "fact_of_tally", "tallied_as"]

TEXT_CHARS = 1000
NAME_CHARS = 200
TRIED_TOLD = 16
METADATA_BYTES = 16 * 1024
CONTENT_CHARS = 256 * 1024

WORDS: dict[Outcome, tuple[str, Level, str]] = {
    Outcome.OK: ("inference.response", "info", "The request was answered."),
    Outcome.ERROR: ("inference.error", "error", "The request failed."),
    Outcome.CUT: ("inference.cut", "error", "The reply broke off."),
    Outcome.CLIENT_LEFT: ("inference.client_left", "info", "The client left before the end."),
}
TALLIED_WORDS = {
    "auth.failed": "Someone without a valid key asked.",
    "inference.refused": "A request failed before its caller was known.",
    "limit.exceeded": "A limit refused a request.",
    "budget.exceeded": "A budget refused a request.",
}
_encode = msgspec.json.Encoder(order="sorted").encode


class Details(Struct, frozen=True, gc=False):
    """What the record of a request does not hold.  The digests are SHA-256, in hex."""

    request_sha256: str | None = None
    reply_sha256: str | None = None
    request: str | None = None
    """The prompt itself: only where `[audit].content` says so."""
    reply: str | None = None


class Fact(Struct, frozen=True, gc=False):
    """One thing that happened, fit to be sealed."""

    at_ms: int
    event: str
    level: Level
    message: str
    provider: str | None = None
    model: str | None = None
    metadata: Raw = NOTHING


class _Request(Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The metadata of a request's entry."""

    asked_model: str | None = None
    """Where the upstream was asked by another name."""
    attempts: int
    cache: str
    caller: str | None = None
    charge: int = 0
    cost_micro_usd: int | None = None
    error_code: str | None = None
    kind: str | None
    outcome: Outcome
    pool: str | None = None
    reply: str | None = None
    reply_sha256: str | None = None
    request: str | None = None
    request_id: str
    request_sha256: str | None = None
    status: int
    stream: bool
    tried: tuple[tuple[str | None, str | None, str | None], ...] = ()
    """Provider, model and reason of the attempts that failed."""
    usage: Usage | None = None


def fact(
    at_ms: int,
    event: str,
    level: Level,
    message: str,
    metadata: Mapping[str, Any],
    *,
    provider: str | None = None,
    model: str | None = None,
) -> Fact:
    """A fact in somebody's words.  Never raises: what cannot be written is left out."""
    return Fact(
        at_ms,
        event,
        level,
        _text(message, TEXT_CHARS),
        _name(provider),
        _name(model),
        _metadata(metadata),
    )


def fact_of_record(
    record: Record, tallied: tuple[str, str] | None, details: Details | None = None, *, with_content: bool = False
) -> Fact:
    """What is told of a request that is over; `tallied` is what `tallied_as` says of it."""
    event, level, message = WORDS[record.outcome]
    if tallied is not None:
        event, level, message = tallied[0], "warn", TALLIED_WORDS[tallied[0]]
    model = record.served_model or record.model
    asked = record.model if record.model != model else None
    said = details or _NO_DETAILS
    metadata = _Request(
        asked_model=_name(asked),
        attempts=record.attempts,
        cache=record.cache,
        caller=_name(record.caller),
        charge=record.charge,
        cost_micro_usd=record.cost_micro_usd,
        error_code=plain_code(record.error_code),
        kind=record.kind,
        outcome=record.outcome,
        pool=_name(record.pool),
        reply=_content(said.reply) if with_content else None,
        reply_sha256=said.reply_sha256,
        request=_content(said.request) if with_content else None,
        request_id=record.request_id,
        request_sha256=said.request_sha256,
        status=record.status,
        stream=record.stream,
        tried=_tried(record.tried) if record.tried else (),
        usage=record.usage,
    )
    at_ms = int((record.started_at + record.duration_s) * 1000)
    return Fact(at_ms, event, level, message, _name(record.provider), _name(model), Raw(_encode(metadata)))


_NO_DETAILS = Details()


def tallied_as(record: Record) -> tuple[str, str] | None:
    """The event and subject under which a refused request is counted; None gives it an entry of its own.

    Whoever has no key, or has spent what it had, can be refused as often as it likes: that must not fill the log.
    """
    if record.outcome is not Outcome.ERROR:
        return None
    if record.caller is None:
        return ("auth.failed", "") if record.status == 401 else ("inference.refused", "")
    if record.attempts == 0:
        if record.error_code == "budget_exceeded":
            return "budget.exceeded", _text(record.pool or "")
        if record.error_code == "rate_limit_exceeded":
            return "limit.exceeded", _text(record.caller)
    return None


def fact_of_tally(tallied: Tallied, at_ms: int) -> Fact:
    """How often it has happened again."""
    metadata: dict[str, Any] = {"count": tallied.count, "from": tallied.from_ms}
    if tallied.subject:
        metadata["subject"] = tallied.subject
    return fact(at_ms, tallied.event, "warn", "This happened again.", metadata)


def _text(text: str, chars: int = NAME_CHARS) -> str:
    if len(text) > chars:
        text = text[:chars]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


@lru_cache(maxsize=1024)
def _name(name: str | None) -> str | None:
    return None if name is None else _text(name)


def _tried(attempts: Sequence[AttemptRecord]) -> tuple[tuple[str | None, str | None, str | None], ...]:
    """Of too many the last ones."""
    return tuple(
        [(_name(each.provider), _name(each.model), plain_code(each.reason)) for each in attempts[-TRIED_TOLD:]]
    )


def _content(text: str | None) -> str | None:
    return None if text is None else _text(text, CONTENT_CHARS)


def _metadata(metadata: Mapping[str, Any]) -> Raw:
    if not metadata:
        return NOTHING
    try:
        data = _encode(metadata)
    except (TypeError, ValueError, RecursionError):  # half a surrogate pair, or what is no JSON: never a reason to fail
        data = _encode({name: _plain(value) for name, value in metadata.items()})
    return Raw(data if len(data) <= METADATA_BYTES else _encode({"omitted_bytes": len(data)}))


def _plain(value: object) -> object:
    if isinstance(value, str):
        return _text(value, TEXT_CHARS)
    return value if isinstance(value, bool | int | float | None) else type(value).__name__
