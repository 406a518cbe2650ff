"""The load itself: so many workers, each asking one request after the other, on our own connection pool.

    workers ──next()──▶ Amount (how many are left, or how long) ; ask() ──▶ Tally

Ctrl-C (or SIGTERM) cancels what runs; what has ended stays counted.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import trio

from hoosh.cli.bench.answer import CUT, StreamAnswer, whole_answer
from hoosh.cli.bench.plan import Amount, Plan, plan_of
from hoosh.cli.bench.report import Circumstances, as_json, lines
from hoosh.cli.bench.tally import Tally
from hoosh.cli.failure import FAILED, Failure
from hoosh.cli.place import Place, chat_path
from hoosh.cli.progress import Progress
from hoosh.cli.running import run_trio
from hoosh.cli.talk import message_of
from hoosh.errors import ConfigError, ConnectFailed, ConnectionBroke, TransportError, TransportTimeout
from hoosh.http.client import Pool, PoolLimits
from hoosh.http.deadlines import Timeouts
from hoosh.http.dial import SocketDialer
from hoosh.http.message import HttpRequest, RequestHead, Response

__all__ = ["Asker", "bench"]

MAX_ERROR_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
CONNECT_S = 10.0
PROGRESS_EVERY_S = 0.2
INTERRUPTED = 130


def bench(arguments: argparse.Namespace) -> int:
    """Run it and print the report.  Raises Failure."""
    plan = plan_of(arguments)
    try:
        tally, facts = run_trio(partial(_bench, plan))
    except ConfigError as error:
        raise Failure(str(error)) from None
    if arguments.json:
        print(json.dumps(as_json(tally, facts), ensure_ascii=False))
    else:
        is_unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
        print("\n".join(lines(tally, facts, unicode=is_unicode)))
    if facts.is_interrupted:
        return INTERRUPTED
    return FAILED if tally.failed or not tally.good else 0


async def _bench(plan: Plan) -> tuple[Tally, Circumstances]:
    pool = Pool(
        plan.place.origin,
        dialer=SocketDialer(),
        http2=("alpn" if plan.place.origin.scheme == "https" else "prior") if plan.http2 else "off",
        limits=PoolLimits(max_connections=plan.concurrency, max_idle=plan.concurrency),
    )
    tally = Tally()
    load = _Load(plan, Asker(plan, pool), tally)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            nursery.start_soon(load.wait_signal, signals)
            failure = await load.run()
            nursery.cancel_scope.cancel(reason="the bench is over")
    if failure is not None:
        raise failure  # here, where no nursery puts it into a group
    return tally, load.circumstances()


class _Load:
    """One run: warming up, the workers, and what ends them."""

    def __init__(self, plan: Plan, asker: Asker, tally: Tally) -> None:
        self.plan = plan
        self.asker = asker
        self.tally = tally
        self.is_interrupted = False
        self._scope = trio.CancelScope()
        self._began_s = self._ended_s = trio.current_time()
        self._busy_s = 0.0

    async def wait_signal(self, signals: AsyncIterator[int]) -> None:
        async for _ in signals:
            self.is_interrupted = True
            self._scope.cancel(reason="Ctrl-C")

    async def run(self) -> Failure | None:
        """All of it.  Returns why it could not even begin."""
        with self._scope:
            try:
                await self._warm_up()
            except Failure as failure:
                return failure
            self._began_s, busy_s = trio.current_time(), time.process_time()
            try:
                await self._work()
            finally:
                self._ended_s, self._busy_s = trio.current_time(), time.process_time() - busy_s
        return None

    def circumstances(self) -> Circumstances:
        plan, elapsed_s = self.plan, self._ended_s - self._began_s
        return Circumstances(
            url=_shown_url(plan.place),
            model=plan.model,
            concurrency=plan.concurrency,
            stream=plan.stream,
            elapsed_s=elapsed_s,
            busy=self._busy_s / elapsed_s if elapsed_s else 0.0,
            is_interrupted=self.is_interrupted,
        )

    async def _warm_up(self) -> None:
        """The first one alone: what is wrong with it is wrong with all.  Raises Failure."""
        if not self.plan.warm_up:
            return
        trial = Tally()
        await self.asker.ask(trial)
        for kind in trial.failures:
            raise Failure(_advice(self.plan, kind, trial.examples.get(kind, "")))
        rest = Amount(self.plan.warm_up - 1, None)
        await self._workers(rest, lambda: self.asker.ask(trial))

    async def _work(self) -> None:
        until_s = None if self.plan.seconds is None else self._began_s + self.plan.seconds
        amount = Amount(self.plan.requests, until_s)
        with Progress() as progress:
            async with trio.open_nursery() as nursery:
                if progress.is_shown:
                    nursery.start_soon(self._show, progress)
                await self._workers(amount, lambda: self.asker.ask(self.tally))
                nursery.cancel_scope.cancel(reason="all have been asked")

    async def _workers(self, amount: Amount, ask: Callable[[], Awaitable[None]]) -> None:
        async def work() -> None:
            while amount.next(trio.current_time()):
                await ask()

        async with trio.open_nursery() as nursery:
            for _ in range(self.plan.concurrency):
                nursery.start_soon(work)

    async def _show(self, progress: Progress) -> None:
        while True:
            tally, plan, elapsed_s = self.tally, self.plan, trio.current_time() - self._began_s
            share = tally.ended / plan.requests if plan.requests else elapsed_s / (plan.seconds or 1.0)
            progress.show(share, f"{tally.ended} requests, {tally.failed} failed, {elapsed_s:.0f} s; Ctrl-C ends it")
            await trio.sleep(PROGRESS_EVERY_S)


class Asker:
    """Asks one request at a time, and notes in a tally what became of it."""

    def __init__(self, plan: Plan, pool: Pool) -> None:
        self._plan = plan
        self._pool = pool
        headers = [*plan.place.headers, (b"content-type", b"application/json")]
        self._head = RequestHead(plan.place.origin, "POST", chat_path(plan.place), headers)
        self._timeouts = Timeouts(
            connect_s=min(CONNECT_S, plan.timeout_s),
            first_byte_s=plan.timeout_s,
            idle_s=plan.timeout_s,
            total_s=plan.timeout_s,
        )
        self._number = 0

    async def ask(self, tally: Tally) -> None:
        """Never raises but when cancelled: then nothing is noted."""
        before, after = self._plan.body
        self._number += not self._plan.is_same
        request = HttpRequest(self._head, b"%b%d%b" % (before, self._number, after))
        began_s = trio.current_time()
        has_begun = False
        try:
            async with self._pool.exchange(request, self._timeouts) as response:
                has_begun = True
                await self._hear(response, began_s, tally)
        except ConnectFailed as error:
            tally.fail("cannot connect", str(error))
        except TransportTimeout as error:
            tally.fail("too slow", str(error))
        except ConnectionBroke as error:
            tally.fail(CUT if has_begun else "connection broke", str(error))
        except TransportError as error:
            tally.fail("not HTTP", str(error))

    async def _hear(self, response: Response, began_s: float, tally: Tally) -> None:
        kind = response.headers.text(b"content-type") or ""
        if response.status != 200:
            body = await response.read(MAX_ERROR_BYTES)
            tally.received_bytes += len(body)
            tally.fail(f"status {response.status}", _message(body))
        elif kind.startswith("text/event-stream"):
            await self._hear_stream(response, began_s, tally)
        else:
            body = await response.read(MAX_BODY_BYTES)
            ended_s = trio.current_time()
            tally.received_bytes += len(body)
            answer = whole_answer(body)
            if answer.failure:
                tally.fail(answer.failure, answer.error)
            else:
                tally.succeed(ended_s - began_s, usage=answer.usage)

    async def _hear_stream(self, response: Response, began_s: float, tally: Tally) -> None:
        answer = StreamAnswer()
        try:
            while piece := await response.receive():
                tally.received_bytes += len(piece)
                answer.feed(piece, trio.current_time())
        except ConnectionBroke:
            if not answer.failure and not answer.is_whole:
                raise
        answer.close()
        if answer.failure:
            tally.fail(answer.failure, answer.error)
            return
        first_s = None if answer.first_s is None else answer.first_s - began_s
        tally.succeed(trio.current_time() - began_s, usage=answer.usage, first_s=first_s, gaps_s=answer.gaps_s)


def _message(body: bytes) -> str:
    try:
        return message_of(json.loads(body))
    except ValueError:
        return ""


def _advice(plan: Plan, kind: str, said: str) -> str:
    """Why the very first request failed, and what to do."""
    url = _shown_url(plan.place)
    told = f": {said}" if said else ""
    advice = {
        "cannot connect": "; is the server running?",
        "too slow": "; --timeout waits longer",
        "status 401": "; pass --key or set HOOSH_API_KEY",
        "status 403": "; use a key that may do this",
        "status 404": "; check the URL, or name a model it has with --model",
        "status 400": "; --no-usage and --max-tokens change what is asked",
        "status 422": "; --no-usage and --max-tokens change what is asked",
    }.get(kind, "")
    return f"the first request to {url} failed, {kind}{told.rstrip('.') if advice else told}{advice}"


def _shown_url(place: Place) -> str:
    if place.origin.unix_path is not None:
        return place.shown
    return f"{place.origin.scheme}://{place.origin.authority.decode()}{chat_path(place)}"
