"""Traces on their way to a collector: a bounded queue, and a service that sends small batches from a worker thread.

    put(record, trace) ──▶ queue ──▶ batch ──thread──▶ Exporter.send ──▶ sent, or later the same again, or lost
      never waits, drops what has no place                              └─ said once in the log, counted in metrics

A collector that is slow or away holds up a thread of its own and nothing else.  The batch that it has not taken is kept
and tried again, at longer and longer intervals; meanwhile the queue fills, and what has no place is dropped.  What is
left when the house closes has a moment to get out.

The thread computes, too: 0.2 ms a request, in which the event loop waits for the GIL.  Hence the small batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from random import Random
from typing import NoReturn, Protocol

import trio
from msgspec import Struct
from msgspec.structs import replace

from hoosh.errors import ConfigError
from hoosh.observe.logs import AccessLog
from hoosh.observe.settings import Telemetry
from hoosh.observe.traces import Answer, Trace, Tracer
from hoosh.values import Record, doubled_s

__all__ = ["TraceStatistics", "Traces", "with_environment"]

BATCH = 16
GATHER_S = 0.5
"""How long the service lets requests come together after the first of a batch."""
FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 60.0
FLUSH_WITHIN_S, LAST_TRY_S = 3.0, 0.5
"""What the end of the house waits for a collector that is well, and for one that was not."""
NEEDED = "opentelemetry.exporter.otlp.proto.http"
MISSING = '[telemetry] is switched on, and its libraries are not there: pip install "hoosh-trio[otel]"'
RATIO_SAMPLERS = frozenset({"traceidratio", "parentbased_traceidratio"})
NEVER = frozenset({"always_off", "parentbased_always_off"})


class Exporter(Protocol):
    """Sends to a collector.  For one worker thread, but for `close`."""

    settings: Telemetry

    def send(self, batch: Sequence[tuple[Record, Trace, float]]) -> Answer:
        """Waits, not for ever."""
        ...

    def close(self) -> None: ...


class TraceStatistics(Struct, frozen=True):
    """Requests, not spans."""

    waiting: int = 0
    exported: int = 0
    dropped: int = 0


class Traces:
    """Begins traces, and sends those that have ended.  For one thread, the event loop's."""

    def __init__(
        self,
        settings: Telemetry,
        *,
        version: str,
        log: AccessLog,
        environ: Mapping[str, str],
        chance: Random | None = None,
        make: Callable[[Telemetry], Exporter] | None = None,
    ) -> None:
        """`make` replaces the exporter (tests).

        Raises ConfigError where it is switched on and its libraries are not there.
        """
        self.type_of: Callable[[str], str] = str
        """Of which type a provider is.  Set it once the house is built."""
        self._version = version
        self._log = log
        self._environ = environ
        self._queue: deque[tuple[Record, Trace, float]] = deque()
        self._batch: list[tuple[Record, Trace, float]] = []
        """That the thread sends; empty once the collector has it."""
        self._answer = Answer()
        self._make = make or self._make_otlp
        self._exporter: Exporter | None = None
        self._has_news = trio.Event()
        self._reconfigured = trio.Event()
        self._thread = trio.CapacityLimiter(1)
        self._exported = self._dropped = 0
        self._is_failing = False
        self._chance = chance or Random()
        self._tracer = Tracer(Telemetry(), self._chance)
        self.is_on = False
        self.begin = self._tracer.begin
        self.configure(settings)

    def configure(self, settings: Telemetry) -> None:
        """For requests that begin from now on; what waits goes where the new settings say.  Raises ConfigError."""
        settings = with_environment(settings, self._environ)
        if settings.is_on and not _is_there(NEEDED):
            raise ConfigError([MISSING])
        self._settings = settings
        self._tracer.configure(settings)
        self.is_on = settings.is_on
        self._reconfigured.set()
        self._reconfigured = trio.Event()
        if not self.is_on:
            self._dropped += len(self._queue)
            self._queue.clear()

    def put(self, record: Record, trace: Trace, ended_at: float) -> None:
        """A request has ended.  Never waits."""
        if not (trace.is_sampled and self.is_on):
            return
        if len(self._queue) >= self._settings.queue:
            self._dropped += 1
            return
        self._queue.append((record, trace, ended_at))
        if not self._has_news.is_set():
            self._has_news.set()

    def statistics(self) -> TraceStatistics:
        return TraceStatistics(len(self._queue) + len(self._batch), self._exported, self._dropped)

    # -- the service -----------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Send for ever.  Cancelled, it sends what is left, within a moment."""
        task_status.started()
        try:
            if self.is_on:  # loading takes a third of a second, which is better spent before requests come
                await trio.to_thread.run_sync(self._prepare, abandon_on_cancel=True, limiter=self._thread)
            while True:
                await self._has_news.wait()
                self._has_news = trio.Event()
                await trio.sleep(GATHER_S)
                await self._send_all()
        finally:
            with trio.move_on_after(LAST_TRY_S if self._is_failing else FLUSH_WITHIN_S, shield=True):
                while (self._queue or self._batch) and (await self._send_batch()).is_there:
                    pass
            self._dropped += len(self._queue) + len(self._batch)
            self._queue.clear()
            if self._exporter is not None:
                self._exporter.close()

    async def _send_all(self) -> None:
        failures = 0
        while self._queue or self._batch:
            answer = await self._send_batch()
            self._say(answer)
            if answer.is_there:
                failures = 0
            elif answer.is_final:
                self._dropped += len(self._batch)
                self._batch = []
            else:
                failures += 1
                with trio.move_on_after(self._pause_s(failures, answer.retry_after_s)):
                    await self._reconfigured.wait()

    async def _send_batch(self) -> Answer:
        """A thread that hangs at the collector is left behind, and keeps its place: nothing is sent twice at once."""
        await trio.to_thread.run_sync(self._send, abandon_on_cancel=True, limiter=self._thread)
        return self._answer

    def _pause_s(self, failures: int, retry_after_s: float) -> float:
        return max(retry_after_s, doubled_s(failures, FIRST_PAUSE_S, LAST_PAUSE_S, self._chance))

    def _send(self) -> None:
        """In the thread, which alone has batch and exporter while it runs.  A bug there is a batch lost, no more."""
        while self._queue and len(self._batch) < BATCH:
            try:
                self._batch.append(self._queue.popleft())
            except IndexError:  # cleared meanwhile: switched off
                break
        try:
            if not self._batch:
                answer = Answer(is_there=True)
            elif not self._settings.is_on:  # what has failed so far has nowhere to go
                answer = Answer(why="traces are switched off", is_final=True)
            else:
                answer = self._exporter_now().send(self._batch)
        except Exception as bug:
            answer = Answer(why=f"{type(bug).__name__} in the exporter", is_final=True)
        if answer.is_there:
            self._exported += len(self._batch)
            self._batch = []
        self._answer = answer

    def _prepare(self) -> None:
        """In the thread.  What is wrong is said when something is to be sent."""
        try:
            self._exporter_now()
        except Exception:
            self._exporter = None

    def _exporter_now(self) -> Exporter:
        """The one for the settings that count now."""
        settings, exporter = self._settings, self._exporter
        if exporter is None or exporter.settings is not settings:
            self._exporter = None
            if exporter is not None:
                exporter.close()
            exporter = self._exporter = self._make(settings)
        return exporter

    def _make_otlp(self, settings: Telemetry) -> Exporter:
        from hoosh.observe.otlp import Otlp

        return Otlp(settings, self._version, self.type_of)

    def _say(self, answer: Answer) -> None:
        """Once when it begins to fail, and once when it is well again."""
        if answer.is_there != self._is_failing:
            return
        self._is_failing = not answer.is_there
        if self._is_failing:
            self._log.warning("traces are not exported", room="observe", why=answer.why)
        else:
            self._log.info("traces are exported again", room="observe", dropped=self._dropped)


def with_environment(settings: Telemetry, environ: Mapping[str, str]) -> Telemetry:
    """`settings`, with what they leave open as OpenTelemetry's variables say; the exporter reads its own by itself."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return replace(settings, enabled=False)
    if settings.sample is not None:
        return settings
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if sampler in NEVER:
        return replace(settings, sample=0.0)
    if sampler not in RATIO_SAMPLERS:
        return replace(settings, sample=1.0)
    try:
        share = float(environ.get("OTEL_TRACES_SAMPLER_ARG", "1"))
    except ValueError:
        share = 1.0
    return replace(settings, sample=share if 0 <= share <= 1 else 1.0)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # one of its parents is not
        return False
