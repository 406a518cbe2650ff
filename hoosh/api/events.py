"""What has happened, for those who ask or listen.  Both need the scope `admin`.

    GET /v1/events/recent     those kept, oldest first: `topic` (a pattern, may be repeated), `after`, `limit`
    GET /v1/events/stream     the same as they happen, as server-sent events; goes on behind `Last-Event-ID`

The stream is a class that Quart iterates over, in the request's own task: a client that leaves cancels that task at
its next wait.  It takes its seat when the first block is asked for, so that a request which never comes so far leaves
none behind; but what happens from the request on is in it.

Source: reference sections 2.13 and 9; WHATWG HTML, section 9.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, Self, cast

import trio
from msgspec import Raw
from quart import Blueprint, Response, request

from hoosh.api.errors import error_event
from hoosh.api.face import json_response, require
from hoosh.errors import HooshError, InvalidRequest, NoSuchEntry

__all__ = ["COMMENT_S", "EventBus", "EventStream", "EventsFace", "Listener", "event_routes"]

LIMIT = 100
LIMIT_MAX = 1000
ID_DIGITS = 16
BLOCK_EVENTS = 64
"""That go out in one piece."""
COMMENT_S = 15.0
"""So long nothing may happen before the client gets a comment."""
HELLO = b"retry: 3000\n: hoosh\n\n"
COMMENT = b": still here\n\n"

Said = Mapping[str, Sequence[str]]
"""A query string."""


class Told(Protocol):
    """An event, or that some are missing."""

    def block(self) -> bytes:
        """As it stands in a stream."""
        ...


class Kept(Protocol):
    """An event that is kept."""

    def json(self) -> bytes: ...


class Page(Protocol):
    @property
    def events(self) -> Sequence[Kept]: ...

    @property
    def lost(self) -> object | None:
        """What is missing before them."""
        ...

    @property
    def last_id(self) -> int: ...


class Listener(Protocol):
    async def wait(self) -> bool:
        """Until there is something to take; False when there never will be."""
        ...

    def take(self, limit: int) -> Sequence[Told]: ...

    def close(self) -> None: ...


class EventBus(Protocol):
    """What the routes ask of the bus.  Patterns that mean nothing raise InvalidRequest."""

    @property
    def enabled(self) -> bool: ...

    @property
    def last_id(self) -> int: ...

    def require_topics(self, patterns: Sequence[str]) -> None: ...

    def require_seat(self) -> None:
        """Raises Unavailable."""
        ...

    def recent(self, *patterns: str, after: int | None, limit: int) -> Page: ...

    def subscribe(self, *patterns: str, after: int, is_guest: bool) -> Listener:
        """Raises Unavailable."""
        ...


class EventsFace(Protocol):
    """The gateway, as far as these routes know it."""

    @property
    def events(self) -> EventBus: ...


class EventsDisabled(NoSuchEntry):
    """There are no events here."""

    code = "events_disabled"


def event_routes(gateway: EventsFace) -> Blueprint:
    routes = Blueprint("events", __name__)

    @routes.get("/v1/events/recent")
    async def recent() -> Response:
        """The last events."""
        require("admin")
        events, said = _enabled(gateway), _said("topic", "after", "limit")
        page = events.recent(*said.get("topic", ()), after=_number(said, "after"), limit=_limit(said))
        return json_response(
            {"events": [Raw(event.json()) for event in page.events], "lost": page.lost, "last_id": page.last_id}
        )

    @routes.get("/v1/events/stream")
    async def stream() -> Response:
        """Events as they happen."""
        require("admin")
        events, said = _enabled(gateway), _said("topic", "last_event_id")
        topics, after = said.get("topic", ()), _last_event_id(said)
        events.require_topics(topics)
        events.require_seat()
        since = events.last_id if after is None else after
        head = {"content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no"}
        if request.method == "HEAD":
            return Response(b"", 200, head)
        return Response(EventStream(lambda: events.subscribe(*topics, after=since, is_guest=True)), 200, head)

    return routes


class EventStream:
    """The body of a stream.  `listen` takes the seat."""

    def __init__(self, listen: Callable[[], Listener]) -> None:
        self._listen = listen
        self._listener: Listener | None = None
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next block.  Waits for something to happen, `COMMENT_S` at most."""
        if self._over:
            raise StopAsyncIteration
        if self._listener is None:
            return self._begin()
        with trio.move_on_after(COMMENT_S):
            if not await self._listener.wait():
                raise StopAsyncIteration
            return b"".join([told.block() for told in self._listener.take(BLOCK_EVENTS)])
        return COMMENT

    def _begin(self) -> bytes:
        try:
            self._listener = self._listen()
        except HooshError as error:  # the seat was taken in between, and the head is on its way
            self._over = True
            return error_event(error)
        return HELLO

    async def aclose(self) -> None:
        """Quart calls it however the stream ends.  Does not wait: it may have been cancelled."""
        self._over = True
        if self._listener is not None:
            self._listener.close()


def _enabled(gateway: EventsFace) -> EventBus:
    if not gateway.events.enabled:
        raise EventsDisabled("Events are disabled. The owner of this gateway enables them with `enabled` in [events].")
    return gateway.events


def _said(*known: str) -> Said:
    """The query string.  A filter that is misspelt would show what was not asked for.  Raises InvalidRequest."""
    said = cast(Said, request.args.to_dict(flat=False))
    for name, values in said.items():
        if name not in known:
            raise InvalidRequest(f"Unknown query parameter: '{name[:64]}'.", param=name[:64], code="unknown_parameter")
        if len(values) > 1 and name != "topic":
            raise InvalidRequest(f"'{name}' may be given once.", param=name, code="invalid_value")
    return said


def _last_event_id(said: Said) -> int | None:
    """By the header, where there is one: a browser that comes back sends it beside the query it began with."""
    header = request.headers.get("Last-Event-ID")
    return _number({"last_event_id": [header]}, "last_event_id") if header else _number(said, "last_event_id")


def _number(said: Said, name: str) -> int | None:
    if name not in said:
        return None
    text = said[name][0]
    if not (text.isascii() and text.isdigit() and len(text) <= ID_DIGITS):
        raise InvalidRequest(f"Invalid '{name}': it must be the id of an event.", param=name, code="invalid_value")
    return int(text)


def _limit(said: Said) -> int:
    text = said.get("limit", [str(LIMIT)])[0]
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LIMIT_MAX:
        return int(text)
    raise InvalidRequest(f"Invalid 'limit': 1 to {LIMIT_MAX}.", param="limit", code="invalid_value")
