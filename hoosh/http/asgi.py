"""Both ways between our Exchange and ASGI 3: an app behind our listener, our handlers inside somebody's server.

    our listener ──Exchange──▶ AsgiHost ──scope, receive, send──▶ any ASGI app (the Quart-Trio app)
    any ASGI server ──scope, receive, send──▶ run_handler ──AsgiExchange──▶ a Handler

Leaving.  An ASGI server does not cancel an app whose client has gone: it says `http.disconnect`, to whoever reads.
So one task per request, the watcher, is the only reader of `receive`, from the first moment to the last: it collects
the body *and* hears the disconnect, which no body loop can swallow then, and cancels the request's nursery.

A disconnect that follows our own last byte is not a client leaving (servers announce it to end the watching): from
the moment the last message is handed over nothing is cancelled, so that accounts are settled in peace, and so that
Hypercorn is not cancelled inside its own bookkeeping (its idle timer is lost then: design/stack.md, finding 4).

Broken responses.  ASGI has no word for "this response is not whole"; an app that raises after the head is the only
way.  Hypercorn 0.18 then closes an HTTP/1.1 connection without the last chunk, as we want; on HTTP/2 it forgets the
stream without RST_STREAM, and the client waits until the connection goes idle (finding 3).

Source: ASGI specification 3.0, HTTP & WebSocket message format 2.4, lifespan protocol 2.0.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

import trio

from hoosh.errors import BodyTooLarge, RequestTimeout
from hoosh.http.exchange import Exchange, Handler
from hoosh.http.message import Header, HeaderList, Headers, Limits

__all__ = ["App", "AsgiExchange", "AsgiHost", "Message", "OnError", "Receive", "ResponseBroken", "Scope", "Send"]
__all__ += ["run_handler", "run_lifespan"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
OnError = Callable[[BaseException, Exchange], tuple[int, HeaderList, bytes]]
"""What an app let escape, and where → the answer in its place.  Also the place to log it."""

UNREAD_BYTES = 256 * 1024
"""Of a body that no handler has asked for yet."""
NOT_THE_APPS = frozenset({b"connection", b"content-length", b"date", b"keep-alive", b"transfer-encoding"})
"""Response headers that belong to the connection: whoever carries the exchange writes them."""


class ResponseBroken(Exception):
    """Tells the ASGI server that the response which has begun is not whole.  Not an error of its own."""


# -- our handlers inside somebody's ASGI server -------------------------------------------------------------------


async def run_handler(
    handler: Handler, scope: Scope, receive: Receive, send: Send, *, limits: Limits | None = None
) -> None:
    """Answer one `http` scope with `handler`, in a nursery that is cancelled when the client leaves.

    Raises ResponseBroken when a response was begun and is not whole; what the handler raises comes in a group.
    """
    exchange = AsgiExchange(scope, receive, send, limits or Limits())
    async with trio.open_nursery() as nursery:
        exchange.nursery = nursery
        nursery.start_soon(exchange.watch)
        await handler(exchange)
        nursery.cancel_scope.cancel(reason="request answered")
    if exchange.ended or exchange.client_left:
        return
    if not exchange.started:
        raise RuntimeError("the handler gave no answer")
    raise ResponseBroken("the response is not whole")


class AsgiExchange:
    """One request of an ASGI server; see `exchange.Exchange`.  `date` is left to the server, which adds its own."""

    __slots__ = (
        "_body_bytes",
        "_complete",
        "_head",
        "_limits",
        "_pieces",
        "_progress",
        "_receive",
        "_room",
        "_send",
        "_wanted_bytes",
        "arrived_at",
        "client_left",
        "ended",
        "headers",
        "method",
        "nursery",
        "path",
        "peer",
        "query",
        "scheme",
        "started",
        "version",
    )
    nursery: trio.Nursery

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        client = scope.get("client")
        raw_path: bytes | None = scope.get("raw_path")
        self.method: str = scope["method"]
        self.path: str = scope["path"] if raw_path is None else raw_path.decode("latin-1")
        self.query: str = scope["query_string"].decode("latin-1")
        self.headers = Headers([(name.lower(), value) for name, value in scope["headers"]])
        self.version: str = scope["http_version"]
        self.peer: str = client[0] if client else "unix"
        self.scheme: str = scope.get("scheme", "http")
        self.arrived_at = trio.current_time()
        self.started = False
        self.ended = False
        self.client_left = False
        self._receive = receive
        self._send = send
        self._limits = limits
        self._head: Message | None = None
        self._pieces: list[bytes] = []
        self._body_bytes = self._wanted_bytes = 0
        self._complete = False
        self._progress = trio.Event()
        self._room = trio.Event()

    # -- the watcher task ------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Collect the body, and hear the client leave.  The only reader of `receive`.

        It reads on while the last message is being sent: Hypercorn puts its disconnect behind what the client has
        uploaded, into a queue with an end, and a reader that has stopped would hold up both for ever.
        """
        while True:
            while self._is_ahead():
                self._room = trio.Event()
                await self._room.wait()
            message = await self._receive()
            if message["type"] == "http.disconnect":
                break
            if message["type"] == "http.request":
                self._take(message.get("body", b""), more=message.get("more_body", False))
        if not self.ended:
            self.client_left = True
            self.nursery.cancel_scope.cancel(reason="client left")

    def _is_ahead(self) -> bool:
        return not self.ended and self._body_bytes > max(UNREAD_BYTES, self._wanted_bytes)

    def _take(self, body: bytes, *, more: bool) -> None:
        self._complete = not more
        if not self.ended:  # else nobody will read it
            self._pieces.append(body)
            self._body_bytes += len(body)
        self._progress.set()

    # -- the handler's side ----------------------------------------------------------------------------------------

    async def body(self, max_bytes: int) -> bytes:
        length = self.headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > max_bytes:
            raise BodyTooLarge(max_bytes)
        await self._collect(max_bytes)
        if self._body_bytes > max_bytes:
            raise BodyTooLarge(max_bytes)
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    async def receive(self) -> bytes:
        if not self._body_bytes:
            await self._collect(0)
        piece = b"".join(self._pieces)
        self._pieces, self._body_bytes = [], 0
        self._room.set()
        return piece

    async def _collect(self, max_bytes: int) -> None:
        """Until the body is whole, or longer than `max_bytes`."""
        self._wanted_bytes = max_bytes
        self._room.set()
        while not self._complete and self._body_bytes <= max_bytes:
            self._progress = trio.Event()
            with trio.move_on_after(self._limits.body_idle_s) as patience:
                await self._progress.wait()
            if patience.cancelled_caught:
                raise RequestTimeout("The request body stopped arriving.")

    async def respond(self, status: int, headers: HeaderList, body: bytes) -> None:
        length: Header = (b"content-length", b"%d" % len(body))
        await self.start(status, headers if status in (204, 304) else [*headers, length])
        await self._send_last(b"" if self.method == "HEAD" else body)

    async def start(self, status: int, headers: HeaderList) -> None:
        self.started = True
        self._head = {"type": "http.response.start", "status": status, "headers": list(headers)}

    async def send(self, chunk: bytes) -> None:
        await self._send_head()
        if chunk and self.method != "HEAD":
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, final: bytes = b"", *, broken: bool = False) -> None:
        if broken:
            await self.send(final)  # then `run_handler` raises
        else:
            await self._send_last(b"" if self.method == "HEAD" else final)

    async def _send_last(self, body: bytes) -> None:
        self.ended = True
        self._room.set()
        await self._send_head()
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _send_head(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            await self._send(head)


# -- an ASGI app behind our listener ------------------------------------------------------------------------------


class AsgiHost:
    """A Handler that lets an ASGI app answer.

    The body is read before the app runs, up to `max_body_bytes`: the routes behind this are small, and so only one
    task ever uses the exchange.  `on_error` gives the answer for whatever the app lets escape.  `state` is what the
    app's lifespan left for its requests: give the same mapping to `run_lifespan`.
    """

    def __init__(
        self,
        app: App,
        *,
        on_error: OnError,
        max_body_bytes: int = 10 * 1024 * 1024,
        server: tuple[str, int] | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        self._app = app
        self._on_error = on_error
        self.max_body_bytes = max_body_bytes
        self._server = server
        self._state: dict[str, Any] = {} if state is None else state

    async def __call__(self, exchange: Exchange) -> None:
        talk = _Conversation(exchange)
        failure: BaseException | None = None
        try:
            talk.body = await exchange.body(self.max_body_bytes)
            await self._app(self._scope(exchange), talk.receive, talk.send)
        except Exception as error:
            failure = error
        except BaseExceptionGroup as group:  # Cancelled among others goes on its way
            leaving, failure = group.split(trio.Cancelled)
            if leaving is not None:
                if failure is not None:
                    self._on_error(failure, exchange)
                raise leaving from None
        if failure is not None or not talk.over.is_set():
            await self._settle(talk, failure or RuntimeError("the app ended without completing its response"))

    async def _settle(self, talk: _Conversation, failure: BaseException) -> None:
        """The app has failed, or stopped early: answer in its place as far as that is still possible."""
        exchange = talk.exchange
        status, headers, body = self._on_error(failure, exchange)
        if talk.over.is_set():
            return
        if exchange.started:
            await exchange.end(broken=True)
        else:
            await exchange.respond(status, headers, body)

    def _scope(self, exchange: Exchange) -> Scope:
        raw_path = exchange.path.encode("latin-1", "replace") or b"/"
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": exchange.version,
            "method": exchange.method,
            "scheme": exchange.scheme,
            "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
            "raw_path": raw_path,
            "query_string": exchange.query.encode("latin-1", "replace"),
            "root_path": "",
            "headers": list(exchange.headers),
            "client": None if exchange.peer == "unix" else (exchange.peer, 0),
            "server": self._server,
            "state": self._state.copy(),
            "extensions": {},
        }


class _Conversation:
    """`receive` and `send` of one request.  A body that comes whole goes out with its head, in one piece."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.body: bytes | None = b""
        """The request's, until the app has received it."""
        self.over = trio.Event()
        """The whole answer has been given."""
        self._head: tuple[int, list[Header]] | None = None

    async def receive(self) -> Message:
        if self.body is not None:
            body, self.body = self.body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.over.wait()  # a client that leaves cancels us before
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if self.over.is_set():
            return
        if kind == "http.response.start" and self._head is None and not self.exchange.started:
            self._head = message["status"], [(name.lower(), value) for name, value in message.get("headers", ())]
        elif kind == "http.response.body" and (self._head is not None or self.exchange.started):
            await self._send_body(bytes(message.get("body", b"")), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}")

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        exchange = self.exchange
        if self._head is not None:
            (status, headers), self._head = self._head, None
            own = [header for header in headers if header[0] not in NOT_THE_APPS]
            if exchange.method == "HEAD" or status in (204, 304):  # any length is that of the body which is not sent
                await exchange.start(status, own + [header for header in headers if header[0] == b"content-length"])
                more, body = False, b""
            elif not more or (b"content-length", b"%d" % len(body)) in headers:
                await exchange.respond(status, own, body)
                self.over.set()
                return
            else:
                await exchange.start(status, own)
        if not more:
            await exchange.end(body)
            self.over.set()
        elif body:
            await exchange.send(body)


async def run_lifespan(
    app: App,
    *,
    state: dict[str, Any] | None = None,
    shutdown_s: float = 10.0,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Carry an app through its lifespan.  Ready once it has started up; cancelled, it lets the app shut down.

    Raises, in a group, what the app's startup raises or a RuntimeError with what it said.
    """
    life = _Lifespan()
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
    scope["state"] = {} if state is None else state
    async with trio.open_nursery() as nursery:
        nursery.start_soon(life.run, app, scope)
        try:
            await life.started.wait()
            task_status.started()
            await trio.sleep_forever()
        finally:
            life.stop(shutdown_s)


class _Lifespan:
    """`receive` and `send` of a lifespan scope."""

    def __init__(self) -> None:
        self.started = trio.Event()
        self._stopping = trio.Event()
        self._is_asked = False
        # The app is not cancelled but asked to stop; `stop` gives the shield its deadline.
        self._scope = trio.CancelScope(shield=True, deadline=math.inf)

    async def run(self, app: App, scope: Scope) -> None:
        with self._scope:
            await app(scope, self.receive, self.send)
        if not self._stopping.is_set():
            raise RuntimeError("the app left its lifespan before it was asked to")

    def stop(self, within_s: float) -> None:
        self._stopping.set()
        self._scope.deadline = trio.current_time() + within_s

    async def receive(self) -> Message:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self.started.set()
        elif kind != "lifespan.shutdown.complete":
            raise RuntimeError(f"{kind}: {message.get('message', '')}")
