"""The passage between an ASGI server and Quart: small things that make the two get along.

    Outgoing      `send`: puts the request id in, and knows how far the response has come
    Incoming      `receive`: keeps from Quart the disconnect that only says "your response is over"
    WholeRequest  both: no response ends before its request
    live          the gateway's context around Quart's lifespan

Why `Incoming`: Quart-Trio cancels a request's nursery at `http.disconnect`, and Hypercorn announces one in the middle
of sending the last byte.  The cancellation then hits Hypercorn while it re-arms its idle timer, and the connection is
never closed again (design/stack.md, finding 4).

Why `WholeRequest`: Hypercorn 0.18 forgets an HTTP/2 stream with the last byte of its response, and DATA that comes then
is a KeyError which ends the worker with everybody's requests (`H2Protocol._handle_events`; its issue 329).  A client
that is refused early (401, 413, 429) and goes on sending is no enemy: RFC 9113, section 8.1 lets it.  Over HTTP/1.1 it
closes the connection then and has not said so (RFC 9112, section 9.6): the client's next request finds nobody, and what
has not been read may take the answer with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import trio

from hoosh.api.errors import Answer, unwrap
from hoosh.http.asgi import App, Message, Receive, Scope, Send
from hoosh.values import Outcome, Record, words_of

__all__ = ["Incoming", "Outgoing", "WholeRequest", "drain", "live"]

REST_S = 3600.0
"""How long the rest of a request may take that has its answer.  Short, it would be a risk: see `WholeRequest`."""
REST_ALONE_S = 10.0
"""The same over HTTP/1: at the end of it one connection is closed, and no other harmed."""
ONE_AT_A_TIME = frozenset({"1.0", "1.1"})
"""Versions of HTTP in which a request has its connection for itself."""


class Outgoing:
    """`send` of one request."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self.status: int | None = None
        """Of the head, once it has gone out."""
        self.is_over = False
        """The last message has been handed over."""
        self.sent_bytes = 0
        self.has_failed = False
        """It was no client's leaving that has ended it."""
        self._send = send
        self._started_at = time.time()
        self._started = trio.current_time()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            if not any(name.lower() == b"x-request-id" for name, _ in headers):
                headers.append((b"x-request-id", self.request_id.encode("ascii")))
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
            self.is_over = not message.get("more_body", False)
        await self._send(message)

    async def respond(self, answer: Answer, *, is_head: bool) -> None:
        status, headers, body = answer
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": b"" if is_head else body, "more_body": False})

    def record(self, scope: Scope) -> Record:
        """The account of this request, which has ended one way or another."""
        outcome = Outcome.CUT if self.has_failed and self.status is not None else Outcome.CLIENT_LEFT
        if self.is_over and self.status is not None:
            outcome = Outcome.OK if self.status < 400 else Outcome.ERROR
        return Record(
            request_id=self.request_id,
            method=scope["method"],
            path=scope["path"],
            http_version=scope["http_version"],
            outcome=outcome,
            status=499 if self.status is None else self.status,
            started_at=self._started_at,
            duration_s=trio.current_time() - self._started,
            sent_bytes=self.sent_bytes,
        )


class Incoming:
    """`receive` of one request, for Quart, whose receiving task reads it from beginning to end."""

    def __init__(self, receive: Receive, outgoing: Outgoing) -> None:
        self._receive = receive
        self._outgoing = outgoing

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and self._outgoing.is_over:
            await trio.sleep_forever()  # Quart ends its nursery itself
        return message


class WholeRequest:
    """`receive` and `send` of one request: what an early answer says goes out at once, its end when the request's has
    come.  Until then the rest is read and thrown away, by `finish`, which is to be awaited once the app has returned.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_alone = scope["http_version"] in ONE_AT_A_TIME
        self._rest_s = REST_ALONE_S if is_alone else REST_S
        self._receive = receive
        self._send = send
        self._is_over = is_alone and not _announces_body(scope)
        """The whole request has come, or its client has left."""
        self._last: Message | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        self._is_over = self._is_over or message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if is_last and not self._is_over:
            self._last = {"type": "http.response.body", "body": b"", "more_body": False}
            message = {**message, "more_body": True}
        await self._send(message)

    async def finish(self) -> None:
        """Wait for the end of the request, `rest_s` at most, and end the response."""
        with trio.move_on_after(self._rest_s):
            while not self._is_over:
                await self.receive()
        if self._last is not None:
            await self._send(self._last)


def _announces_body(scope: Scope) -> bool:
    """Of HTTP/1 (RFC 9112, section 6.3)."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


async def drain(receive: Receive) -> None:
    """Read, and throw away, what the client still sends; see `AsgiExchange.watch`."""
    while (await receive())["type"] != "http.disconnect":
        pass
    await trio.sleep_forever()


async def live(
    quart: App,
    context: AbstractAsyncContextManager[object],
    set_running: Callable[[bool], None],
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """A lifespan with `context` around Quart's: entered before startup is confirmed, left before shutdown is.

    A context that cannot be entered fails the startup.  One that ends with an error later (a service that the house
    cannot do without) fails the shutdown unasked, at which Hypercorn stops serving.
    """
    call = await receive()
    replay = [call]
    last_word: list[Message] = []
    is_up = False

    async def receive_again() -> Message:
        return replay.pop() if replay else await receive()

    async def hold_last(message: Message) -> None:
        nonlocal is_up
        if message["type"].startswith("lifespan.shutdown."):
            last_word.append(message)
            return
        is_up = message["type"] == "lifespan.startup.complete"
        set_running(is_up)
        await send(message)

    try:
        async with context:
            try:
                await quart(scope, receive_again, hold_last)
            finally:
                set_running(False)
    except Exception as error:
        cause = unwrap(error)
        phase = "shutdown" if is_up else "startup"
        await send({"type": f"lifespan.{phase}.failed", "message": words_of(cause)})
        return
    for message in last_word:
        await send(message)
