"""The Quart-Trio app: everything that is not hot, and the whole gateway where somebody else's ASGI server carries it.

    http       hot path ──▶ run_handler ──▶ the same handler that our own listener calls
               else     ──▶ Quart: health, models, metrics, …, and every 404 and 405
    lifespan   the gateway's own context around Quart's: services start before the first request and stop after the last
    websocket  refused: there are none here

Behind our own listener (`AsgiHost`) the hot paths never come here and the gateway is already open: then `build_app`
is called without `context`.  Every response carries `x-request-id`, and every error OpenAI's JSON shape, whoever
noticed it: a view, Quart's routing, or the barrier around both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import TracebackType
from typing import Any, Protocol, cast

import trio
from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from hoosh.api.audit import AuditFace, audit_routes
from hoosh.api.cache import CacheFace, cache_routes
from hoosh.api.costs import CostsGateway, cost_routes
from hoosh.api.errors import Answer, dialect_at, error_response, plain_error, unwrap
from hoosh.api.events import EventsFace, event_routes
from hoosh.api.face import GatewayFace, as_response
from hoosh.api.hardware import HasHardware, hardware_routes
from hoosh.api.health import OPEN_PATHS, HealthFace, health_routes
from hoosh.api.models import model_routes
from hoosh.api.ollama import ollama_routes
from hoosh.api.operations import operation_routes
from hoosh.api.passage import Incoming, Outgoing, WholeRequest, drain, live
from hoosh.api.placement import PlacementGateway, placement_routes
from hoosh.api.queue import QueueFace, queue_routes
from hoosh.api.reload import ReloadFace, reload_routes
from hoosh.api.requests import LiveFace, request_routes
from hoosh.api.responses import response_routes
from hoosh.api.tokens import HasTokens, token_routes
from hoosh.dialects.contract import DownstreamDialect
from hoosh.errors import BodyTooLarge, HooshError, MethodNotAllowed, NoSuchPath, Unavailable, UnsupportedMedia
from hoosh.http.asgi import App, Receive, ResponseBroken, Scope, Send, run_handler
from hoosh.http.exchange import Exchange, Handler
from hoosh.http.message import Headers, Limits
from hoosh.values import Record, new_request_id

__all__ = ["AppFace", "GatewayFace", "HooshApp", "Hot", "answer_error", "build_app"]

Hot = Mapping[tuple[str, str], Handler]
"""(method, path) → the handler that answers it without Quart."""
REQUEST_ID = "hoosh.request_id"
"""Where a request's id stands in its ASGI scope."""
BODY_S = 60.0


class AppFace(
    AuditFace,
    CacheFace,
    CostsGateway,
    EventsFace,
    HasTokens,
    HealthFace,
    HasHardware,
    LiveFace,
    PlacementGateway,
    QueueFace,
    ReloadFace,
    GatewayFace,
    Protocol,
):
    """All that the routes ask of the gateway."""


def log_crash(error: BaseException) -> None:
    logging.getLogger("hoosh.api").error("a request ended in a bug", exc_info=error)


def build_app(
    gateway: AppFace,
    *,
    hot: Hot | None = None,
    context: AbstractAsyncContextManager[object] | None = None,
    limits: Limits | None = None,
    on_crash: Callable[[BaseException], None] = log_crash,
    on_finished: Callable[[Record], None] | None = None,
) -> HooshApp:
    """The app over `gateway`.

    `context` is entered by the ASGI server's lifespan and left at its end; without one the gateway is taken to be
    open.  `on_crash` hears of bugs, `on_finished` of every request that Quart has answered.
    """
    app = HooshApp(gateway, hot=hot or {}, context=context, limits=limits or Limits(), on_crash=on_crash)
    app.on_finished = on_finished
    return app


def answer_error(error: BaseException, exchange: Exchange) -> Answer:
    """The answer in place of one that an app behind `AsgiHost` could not give."""
    return error_response(unwrap(error), new_request_id(), dialect_at(exchange.path, exchange.headers))


class HooshApp(QuartTrio):
    def __init__(
        self,
        gateway: AppFace,
        *,
        hot: Hot,
        context: AbstractAsyncContextManager[object] | None,
        limits: Limits,
        on_crash: Callable[[BaseException], None],
    ) -> None:
        super().__init__("hoosh", static_folder=None, template_folder=None)
        self.gateway = gateway
        self.hot = hot
        self.running = context is None
        """The gateway is open: between the two ends of the lifespan."""
        self.on_finished: Callable[[Record], None] | None = None
        self._context = context or nullcontext()
        self._limits = limits
        self._on_crash = on_crash
        # Quart's own defaults would cut every response after 60 s and hold 16 MiB.
        self.config.update(RESPONSE_TIMEOUT=None, BODY_TIMEOUT=BODY_S, MAX_CONTENT_LENGTH=limits.body_bytes)
        self.url_map.merge_slashes = False
        self._add_routes()

    def _add_routes(self) -> None:
        self.before_request(self._authenticate)
        self.register_error_handler(HooshError, self._on_error)
        self.register_error_handler(HTTPException, self._on_http_error)
        for routes in (
            *(health_routes, model_routes, ollama_routes, response_routes, operation_routes),
            *(token_routes, cost_routes, audit_routes, cache_routes, queue_routes, request_routes),
            *(reload_routes, event_routes, hardware_routes, placement_routes),
        ):
            self.register_blueprint(routes(self.gateway))
        for method, path in self.hot:  # Quart must know them for 405, OPTIONS and /openapi.json
            self.add_url_rule(path, f"{method} {path}", _never, methods=[method])

    def configure(self, limits: Limits) -> None:
        """From now on these are the limits."""
        self._limits = limits
        self.config["MAX_CONTENT_LENGTH"] = limits.body_bytes

    # -- the ASGI side ---------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        await self.asgi_app(scope, receive, send)

    async def asgi_app(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        kind = scope["type"]
        if kind == "http":
            whole = WholeRequest(scope, receive, send)
            try:
                await self._answer(scope, whole.receive, whole.send)
            finally:
                await whole.finish()
        elif kind == "lifespan":
            await live(self._quart, self._context, self._set_running, scope, receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            raise RuntimeError(f"unknown ASGI scope {kind!r}")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        outgoing = Outgoing(send, new_request_id())
        handler = self._handler(scope)
        try:
            if handler is None:
                await self._answer_with_quart(scope, receive, outgoing)
            elif self.running:
                await run_handler(handler, scope, receive, outgoing, limits=self._limits)
            else:
                raise Unavailable("The gateway is not running.", retry_after_s=1.0)
        except (Exception, BaseExceptionGroup) as error:
            await self._barrier(error, scope, receive, outgoing)

    def _handler(self, scope: Scope) -> Handler | None:
        """Who answers a hot path; None where Quart does.

        The hot door knows paths as they were written: one that spells a letter as `%63` would send it back here.
        """
        raw_path: bytes | None = scope.get("raw_path")
        path: str = scope["path"]
        if raw_path is not None and raw_path != path.encode("utf-8", "replace"):
            return None
        return self.hot.get((scope["method"], path))

    async def _answer_with_quart(self, scope: Scope, receive: Receive, outgoing: Outgoing) -> None:
        scope[REQUEST_ID] = outgoing.request_id
        try:
            await self._quart(scope, Incoming(receive, outgoing), outgoing)
        except Exception:
            outgoing.has_failed = True
            raise
        finally:
            if self.on_finished is not None:
                self.on_finished(outgoing.record(scope))

    async def _barrier(
        self, error: Exception | BaseExceptionGroup[BaseException], scope: Scope, receive: Receive, out: Outgoing
    ) -> None:
        """What nobody below has caught.  A response that has begun is broken off; else there is still an answer."""
        if isinstance(error, BaseExceptionGroup):
            leaving, failures = error.split(trio.Cancelled)
            if failures is not None:
                self._report(unwrap(failures))
            if leaving is not None:
                raise leaving from None
        else:
            self._report(error)
        if out.status is not None:
            raise error if isinstance(error, ResponseBroken) else ResponseBroken("failed on its way") from None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain, receive)
            answer = error_response(unwrap(error), out.request_id, dialect_at(scope["path"], Headers(scope["headers"])))
            await out.respond(answer, is_head=scope["method"] == "HEAD")
            nursery.cancel_scope.cancel()

    async def _quart(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Quart types these as Hypercorn's TypedDicts.
        await cast(App, super().asgi_app)(scope, receive, send)

    def _set_running(self, running: bool) -> None:
        self.running = running

    # -- the Quart side --------------------------------------------------------------------------------------------

    async def _authenticate(self) -> None:
        headers = Headers(_scope()["headers"])
        if request.path not in OPEN_PATHS:
            g.caller = self.gateway.authenticate(headers)
        if request.method == "POST":
            _refuse_other_sites(headers)

    async def _on_error(self, error: HooshError) -> Response:
        return as_response(error_response(error, _scope()[REQUEST_ID], _language()))

    async def _on_http_error(self, error: HTTPException) -> Response:
        """Errors of Quart's own: routing, request bodies, and (as 500) whatever a view let escape."""
        code = error.code or 500
        if code == 404:
            return await self._on_error(NoSuchPath(request.method, request.path))
        if code == 405:
            allowed = sorted(getattr(error, "valid_methods", None) or ())
            return await self._on_error(MethodNotAllowed(request.method, allowed))
        if code == 413:
            return await self._on_error(BodyTooLarge(self._limits.body_bytes))
        message = "internal error" if code >= 500 else error.description or error.name
        return as_response(plain_error(code, message, _scope()[REQUEST_ID], _language()))

    def log_exception(
        self, exception_info: tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
    ) -> None:
        if exception_info[1] is not None:
            self._report(exception_info[1])

    def _report(self, error: BaseException) -> None:
        if not isinstance(error, HooshError | ResponseBroken):
            self._on_crash(error)


def _refuse_other_sites(headers: Headers) -> None:
    """A page in a browser must not spend the budgets of a gateway without keys, nor reset its costs.

    Browsers send what does not call itself JSON to other sites without asking first.  Raises UnsupportedMedia.
    """
    if headers.is_from_page() and not (headers.get(b"content-type") or b"").lower().startswith(b"application/json"):
        raise UnsupportedMedia("A browser must send `content-type: application/json`.")


def _scope() -> dict[str, Any]:
    return cast(dict[str, Any], request.scope)


def _language() -> DownstreamDialect:
    """In which language the client of a cold route is told of an error."""
    return dialect_at(request.path, Headers(_scope()["headers"]))


async def _never() -> Response:
    """A hot path in another spelling, such as `//v1/messages`: as it should be written, it never comes here."""
    raise NoSuchPath(request.method, request.path)
