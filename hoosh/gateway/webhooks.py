"""Webhooks: events on their way to addresses that the owner has named, each in its own queue, in order.

    bus ──▶ Subscription (bounded) ──▶ Hook: sign, POST ──▶ 2xx  delivered
                                              ▲      └────▶ else  wait (back-off, Retry-After), again, then given up
                                              └─────────────────────┘

No request ever waits for one.  Where a receiver is slow or gone its queue loses the oldest events, which is counted.
Redirects are not followed: whoever answers must not say where signed events go next.  At the end of the house each
hook that waits tries once more, `LAST_S` in all.

What an answer means and when to try again says `hoosh.events.delivery`; signatures, `hoosh.events.signing`.
"""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from urllib.parse import urlsplit

import trio

from hoosh.config import Webhook
from hoosh.config.address import webhook_url_mistake
from hoosh.dialects.faults import retry_after_s
from hoosh.errors import ConfigError, ConnectFailed, InvalidRequest, TransportError, TransportTimeout
from hoosh.events import Answer, Bus, Event, Lost, Signer, Verdict, encode_event, pause_s, verdict_on
from hoosh.http.client import Pool, PoolLimits
from hoosh.http.deadlines import Timeouts
from hoosh.http.dial import Dialer
from hoosh.http.message import HttpRequest, Origin, RequestHead
from hoosh.http.tls import HTTP1_ONLY, client_context
from hoosh.observe.logs import AccessLog

__all__ = ["LAST_S", "Hook", "Webhooks"]

LAST_S = 2.0
"""At the end of the house: for all hooks together."""
COMPLAIN_S = 60.0
"""Between two lines of the log about one hook that fails."""
ANSWER_BYTES = 16 * 1024
"""Of an answer's body, read to keep the connection.  A longer one is cut off."""
LIMITS = PoolLimits(max_connections=2, max_idle=1, keepalive_s=30.0)
RESULTS = ("delivered", "retried", "given_up", "dropped")


class Hook:
    """One webhook, as long as it is configured so.  It listens from when it is made."""

    def __init__(
        self,
        settings: Webhook,
        events: Bus,
        *,
        dialer: Dialer,
        log: AccessLog,
        wall_s: Callable[[], float],
        chance: Random,
        sender: str,
    ) -> None:
        """`sender` tells this process from others.

        Raises ValueError and InvalidRequest for what the loader refuses.
        """
        self.settings = settings
        self.results = dict.fromkeys(RESULTS, 0)
        self.scope = trio.CancelScope()
        self.over = trio.Event()
        """It has done what it could."""
        self._dialer, self._log, self._wall_s, self._chance, self._sender = dialer, log, wall_s, chance, sender
        self._signer = Signer(settings.secret)
        self._head = _head(settings.url.reveal())
        limit_s = settings.timeout_s
        self._timeouts = Timeouts(connect_s=limit_s, first_byte_s=limit_s, idle_s=limit_s, total_s=limit_s)
        self._last_call = trio.Event()
        self._is_gone = False
        self._failures = 0
        self._complained_at = float("-inf")
        self._listener = events.subscribe(*settings.topics, buffer=settings.queue)

    async def run(self) -> None:
        """Deliver until the bus is closed and all is said, or until it is cancelled.  Never raises anything else."""
        try:
            with self.scope, self._listener:
                await self._run()
        except* Exception as group:
            self._log.error("a webhook has ended", webhook=self.settings.name, error=type(group.exceptions[0]).__name__)
        finally:
            self._listener.close()
            self.over.set()

    def leave(self) -> None:
        """It will never run."""
        self._listener.close()

    def hurry(self) -> None:
        """The house is closing: each event that waits gets one attempt, and no pause is waited for."""
        self._last_call.set()

    async def _run(self) -> None:
        try:
            tls = await self._context()
        except ConfigError as error:
            self._log.error("a webhook cannot be used", webhook=self.settings.name, error=str(error))
            return
        pool = Pool(self._head.origin, dialer=self._dialer, http2="off", tls=tls, limits=LIMITS)
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            async for item in self._listener:
                if isinstance(item, Lost):
                    self._note_lost(item)
                elif self._is_gone:
                    self.results["dropped"] += 1
                else:
                    await self._deliver_or_say_why(item, pool)
            nursery.cancel_scope.cancel(reason="no more events")

    async def _context(self) -> ssl.SSLContext | None:
        """Raises ConfigError."""
        if self._head.origin.scheme != "https":
            return None
        make = partial(client_context, verify=self.settings.verify, alpn=HTTP1_ONLY)
        return await trio.to_thread.run_sync(make, abandon_on_cancel=True)  # it reads the authorities' files

    # -- one event ---------------------------------------------------------------------------------------------------

    async def _deliver_or_say_why(self, event: Event, pool: Pool) -> None:
        """A bug costs its event, and no other."""
        try:
            await self._deliver(event, pool)
        except Exception as bug:
            self.results["given_up"] += 1
            self._log.error("a webhook failed by a bug", webhook=self.settings.name, error=type(bug).__name__)

    async def _deliver(self, event: Event, pool: Pool) -> None:
        body, message_id = encode_event(event), f"evt_{self._sender}_{event.id}"
        attempts = 0
        while True:
            attempts += 1
            answer = await self._attempt(message_id, body, pool)
            verdict = verdict_on(answer)
            if verdict is Verdict.DELIVERED:
                self._note_delivered()
                return
            if verdict is Verdict.GONE:
                self._note_gone()
                return
            self._note_failed(answer)
            if attempts > self.settings.max_retries or self._last_call.is_set():
                self.results["given_up"] += 1
                return
            self.results["retried"] += 1
            with trio.move_on_after(pause_s(attempts, answer.retry_after_s, self._chance)):
                await self._last_call.wait()

    async def _attempt(self, message_id: str, body: bytes, pool: Pool) -> Answer:
        now_s = self._wall_s()
        request = HttpRequest(self._head, body, self._signer.headers(message_id, body, now_s=now_s))
        try:
            async with pool.exchange(request, self._timeouts) as response:
                status, wish = response.status, response.headers.text(b"retry-after")
                try:
                    await response.read(ANSWER_BYTES)
                except TransportError:
                    pass  # its verdict is there already
        except TransportTimeout:
            return Answer(None, "too_slow")
        except ConnectFailed:
            return Answer(None, "connect")
        except TransportError:
            return Answer(None, "broke")
        return Answer(status, str(status), retry_after_s(wish, now_s))

    # -- what is counted, and said -----------------------------------------------------------------------------------

    def _note_delivered(self) -> None:
        self.results["delivered"] += 1
        if self._failures:
            self._log.info("a webhook works again", webhook=self.settings.name, failures=self._failures)
            self._failures, self._complained_at = 0, float("-inf")

    def _note_failed(self, answer: Answer) -> None:
        self._failures += 1
        self._complain("a webhook fails", reason=answer.word, failures=self._failures)

    def _note_gone(self) -> None:
        self.results["given_up"] += 1
        self._is_gone = True
        message = "a webhook is gone: nothing more is sent there"
        self._log.warning(message, webhook=self.settings.name, host=self._head.origin.host, reason="410")

    def _note_lost(self, lost: Lost) -> None:
        self.results["dropped"] += lost.count or 0
        self._complain("a webhook is too slow: events were dropped", dropped=self.results["dropped"])

    def _complain(self, message: str, **facts: str | int | None) -> None:
        now_s = trio.current_time()
        if now_s - self._complained_at >= COMPLAIN_S:
            self._complained_at = now_s
            name, host = self.settings.name, self._head.origin.host
            self._log.warning(message, room="events", webhook=name, host=host, **facts)


class Webhooks:
    """All hooks: a service, ready once each listens."""

    def __init__(
        self,
        settings: Iterable[Webhook],
        events: Bus,
        *,
        dialer: Dialer,
        log: AccessLog,
        wall_s: Callable[[], float] = time.time,
        chance: Random | None = None,
    ) -> None:
        self._wanted = list(settings)
        self._events = events
        self._make = partial(
            Hook,
            events=events,
            dialer=dialer,
            log=log,
            wall_s=wall_s,
            chance=chance or Random(),
            sender=secrets.token_hex(4),
        )
        self._hooks: dict[str, Hook] = {}
        self._past: dict[str, dict[str, int]] = {}
        """What was counted of hooks that have been replaced."""
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.configure(self._wanted)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def configure(self, settings: Iterable[Webhook]) -> None:
        """From now on these.  One that is the same goes on; what waits for another is dropped with it.  Never waits.

        Raises ConfigError for what `hoosh-trio check` refuses, and nothing has changed then.
        """
        settings = list(settings)
        if self._nursery is None:
            self._wanted = settings
            return
        wanted = {each.name: each for each in settings if each.enabled}
        made = self._made([each for each in wanted.values() if not self._has(each)])
        for name in [name for name in self._hooks if name in made or name not in wanted]:
            self._let_go(self._hooks.pop(name))
        for name, hook in made.items():
            self._hooks[name] = hook
            self._nursery.start_soon(hook.run, name=f"webhook {name}")

    def _made(self, settings: Iterable[Webhook]) -> dict[str, Hook]:
        made: dict[str, Hook] = {}
        for each in settings:
            try:
                made[each.name] = self._make(each)
            except (ValueError, InvalidRequest) as error:
                for hook in made.values():
                    hook.leave()
                raise ConfigError([f"webhook `{each.name}`: its url, secret or topics: {error}"]) from None
        return made

    def _has(self, wanted: Webhook) -> bool:
        hook = self._hooks.get(wanted.name)
        return hook is not None and hook.settings == wanted and not hook.over.is_set()

    def _let_go(self, hook: Hook) -> None:
        hook.scope.cancel(reason="configured anew")
        past = self._past.setdefault(hook.settings.name, dict.fromkeys(RESULTS, 0))
        for result, count in hook.results.items():
            past[result] += count

    async def finish(self) -> None:
        """The bus is closed: let each hook say what waits, once, and `LAST_S` at most."""
        with trio.move_on_after(LAST_S):
            for hook in list(self._hooks.values()):
                hook.hurry()
            for hook in list(self._hooks.values()):
                await hook.over.wait()

    def statistics(self) -> list[tuple[str, str, int]]:
        """(webhook, result, how often) since the start."""
        found: list[tuple[str, str, int]] = []
        nothing: Mapping[str, int] = {}
        for name in {**self._past, **self._hooks}:
            past, hook = self._past.get(name, nothing), self._hooks.get(name)
            now = nothing if hook is None else hook.results
            found += [(name, result, past.get(result, 0) + now.get(result, 0)) for result in RESULTS]
        return found


def _head(url: str) -> RequestHead:
    if webhook_url_mistake(url) is not None:
        raise ValueError("this is no address")
    parts = urlsplit(url)
    origin = Origin(parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return RequestHead(origin, "POST", target, [(b"content-type", b"application/json"), (b"user-agent", b"hoosh")])
