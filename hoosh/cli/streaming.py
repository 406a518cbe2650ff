"""Streams of events, as commands read them that print what comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hoosh.cli.failure import Failure
from hoosh.cli.talk import message_of

if TYPE_CHECKING:
    import httpx

__all__ = ["cut_short", "data_of", "event_in"]

MAX_EVENT_BYTES = 1 << 24


def data_of(response: httpx.Response) -> Iterator[str]:
    """The data of each event, as it arrives."""
    from hoosh.codec.sse import SseDecoder

    decoder = SseDecoder(max_event_bytes=MAX_EVENT_BYTES)
    for chunk in response.iter_bytes():
        for event in decoder.feed(chunk):
            yield event.data


def event_in(data: str, *, of: str) -> dict[str, Any]:
    """What an event says, {} for what is no object.  Raises Failure when it is an error: then `of` has broken off."""
    try:
        event = json.loads(data)
    except ValueError:
        raise Failure("the gateway sent something that cannot be understood; what is above is not all of it") from None
    if not isinstance(event, dict):
        return {}
    if event.get("error"):
        raise Failure(f"the {of} broke off: {message_of(event) or 'the gateway gave no reason'}")
    return event


def cut_short(of: str) -> Failure:
    """The end of the stream is missing."""
    return Failure(f"the {of} was cut short; what is above is not all of it")
