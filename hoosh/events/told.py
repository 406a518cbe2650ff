"""What the end of a request tells: that it is over, whether its upstream has answered, and who asked for patience.

Most requests are answered at the first attempt and nobody listens.  Of those the record itself is kept, as `Answered`,
until somebody asks what it tells: to put each into words at once would cost 4.5 µs, and this costs 1.2.

Text that strangers may have chosen is bounded here.  Errors are told by their code: an upstream's words may repeat an
address, a key or the prompt.
"""

from __future__ import annotations

from msgspec import Struct

from hoosh.events.event import Event
from hoosh.events.news import InferenceCompleted, InferenceFailed, News, RateLimited, RequestFinished
from hoosh.values import Outcome, Record, plain_code

__all__ = ["Answered", "is_plain", "news_of"]

NAME_CHARS = 200
TOO_MANY = "429"
FAILED = (Outcome.ERROR, Outcome.CUT)
OK = Outcome.OK
"""By this name it is found in half the time."""


class Answered(Struct, frozen=True, gc=False):
    """Two events, that an upstream has answered and that a request is over, which nobody has asked for yet."""

    id: int
    """Of the second."""
    at_s: float
    record: Record

    def events(self) -> list[Event]:
        answered, finished = news_of(self.record)
        return [Event(self.id - 1, self.at_s, answered), Event(self.id, self.at_s, finished)]


def is_plain(record: Record) -> bool:
    """It tells just these two, and holds no long text."""
    model = record.model
    return (
        record.outcome is OK
        and record.attempts > 0
        and not record.tried
        and record.provider is not None
        and record.kind is not None
        and model is not None
        and len(model) <= NAME_CHARS
    )


def news_of(record: Record) -> list[News]:
    """In the order in which they are to be told.  Requests that ask for no inference tell nothing."""
    if record.kind is None:
        return []
    news: list[News] = []
    if record.tried:
        limited = [each.provider for each in record.tried if each.reason == TOO_MANY]
        news += [RateLimited(provider) for provider in dict.fromkeys(limited)]
    if record.attempts and record.provider is not None:
        model = _name(record.served_model) or ""
        if record.outcome is OK:
            duration_ms = round(record.duration_s * 1000, 3)
            news.append(InferenceCompleted(record.provider, model, duration_ms, _tokens(record)))
        elif record.outcome in FAILED:
            news.append(InferenceFailed(record.provider, model, plain_code(record.error_code) or "error"))
    news.append(_finished(record, record.kind))
    return news


def _finished(record: Record, kind: str) -> RequestFinished:
    first_s, usage = record.first_token_s, record.usage
    return RequestFinished(
        record.request_id,
        kind,
        record.outcome.value,
        record.status,
        record.caller,
        record.pool and _name(record.pool),
        _name(record.model),
        _name(record.served_model),
        record.provider,
        record.stream,
        record.cache,
        record.attempts,
        round(record.duration_s * 1000, 3),
        None if first_s is None else round(first_s * 1000, 3),
        None if usage is None else usage.prompt_tokens,
        None if usage is None else usage.completion_tokens,
        record.cost_micro_usd,
        plain_code(record.error_code),
    )


def _tokens(record: Record) -> int:
    usage = record.usage
    return record.chunks if usage is None else usage.prompt_tokens + usage.completion_tokens


def _name(name: str | None) -> str | None:
    if name is None or (len(name) <= NAME_CHARS and name.isascii()):
        return name
    return name[:NAME_CHARS].encode("utf-8", "replace").decode()
