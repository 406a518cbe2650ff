"""What is asked of each contender.  A scenario drives a gateway that is up, and notes figures under its name.

Rates and latencies come from the client, CPU and memory from /proc, both for the same window.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench import disconnects
from bench.contenders import Contender
from bench.figures import Samples
from bench.load import CLAUDE, MODEL, Load, LoadResult, Mock, Tools, ask, run_h2load, run_load
from bench.machine import Running
from bench.watched import WatchedUpstream

__all__ = [
    "CLIENTS",
    "FOREVER_CHUNKS",
    "SCENARIOS",
    "Bench",
    "Scale",
    "chat_of",
    "measure_direct",
    "measure_disconnects",
    "measure_memory",
    "streams",
    "wait_ready",
    "warm",
]

READY_WITHIN_S = 90.0
CLIENTS = 32
"""Enough to keep any gateway's core busy."""
HEAVY_STREAMS = 100
HEAVY_MEMORY_STREAMS = 300
HEAVY_STREAMS_A_SECOND = 10
FOREVER_CHUNKS = 1_000_000


@dataclass(frozen=True)
class Scale:
    """How much is asked."""

    seconds: float = 4.0
    warm_s: float = 0.5
    paced_streams: int = 1000
    memory_streams: int = 1000
    held_streams: int = 500
    tries: int = 1000
    peer_tries: int = 20


@dataclass
class Bench:
    """What scenarios share."""

    tools: Tools
    mock: Mock
    scale: Scale
    samples: Samples = field(default_factory=Samples)
    problems: list[str] = field(default_factory=list)
    outcomes: dict[str, dict[str, disconnects.Outcome]] = field(default_factory=dict)

    def problem(self, contender: Contender, text: str) -> None:
        self.problems.append(f"{contender.name}: {text}")

    def load(self, contender: Contender, running: Running, load: Load, **options: Callable[[], None]) -> LoadResult:
        result = run_load(self.tools, load, contender.port, running.cpu_s, **options)
        self.samples.note(contender.name, "bad", result.bad)
        if result.bad:
            self.problem(contender, f"{result.bad} bad answers under {load}")
        if not result.requests + result.chunks:
            self.problem(contender, f"no answer under {load}")
        return result


def wait_ready(contender: Contender, running: Running) -> float:
    """Seconds from the start of the process to its first whole answer.  Raises RuntimeError with the end of its log."""
    while time.monotonic() - running.started_s < READY_WITHIN_S:
        if ask(contender.port) == 200:
            return time.monotonic() - running.started_s
        if not running.alive():
            break
        time.sleep(0.005)
    raise RuntimeError(f"{contender.name} does not answer. Its log ends:\n{running.log_tail()}")


def warm(bench: Bench, contender: Contender, running: Running) -> None:
    bench.mock.behave()
    load = Load(8, min(1.0, bench.scale.seconds), warm_s=0.0)
    run_load(bench.tools, load, contender.port, running.cpu_s)
    bench.samples.note(contender.name, "memory_base", running.rss_kib() / 1024)


# --- Scenarios ---


def chat(bench: Bench, contender: Contender, running: Running) -> None:
    """Whole answers: 32 clients for capacity, one for latency."""
    for clients in (CLIENTS, 1):
        chat_of(bench, contender, running, clients)


def chat_of(bench: Bench, contender: Contender, running: Running, clients: int) -> LoadResult:
    """Whole answers for so many clients."""
    bench.mock.behave()
    result = bench.load(contender, running, Load(clients, bench.scale.seconds, warm_s=bench.scale.warm_s))
    note, name = bench.samples.note, contender.name
    note(name, f"chat{clients}_cpu", result.cpu_us_per(result.requests))
    note(name, f"chat{clients}_rps", result.requests / result.seconds)
    note(name, f"chat{clients}_core", 100 * result.cpu_s / result.seconds)
    note(name, f"chat{clients}_p50", result.request_us[0])
    note(name, f"chat{clients}_p99", result.request_us[2])
    return result


def streams(bench: Bench, contender: Contender, running: Running) -> LoadResult:
    """32 clients, 64 chunks an answer, as fast as they come."""
    bench.mock.behave(chunks=64)
    load = Load(CLIENTS, bench.scale.seconds, stream=True, warm_s=bench.scale.warm_s)
    result = bench.load(contender, running, load)
    bench.samples.note(contender.name, "stream_rate", result.chunks / result.seconds)
    bench.samples.note(contender.name, "stream_cpu", result.cpu_us_per(result.chunks))
    bench.samples.note(contender.name, "stream_core", 100 * result.cpu_s / result.seconds)
    return result


TRANSLATIONS = {"chat_messages": (False, CLAUDE), "messages_chat": (True, MODEL), "messages_messages": (True, CLAUDE)}
"""client's language _ upstream's → asks at /v1/messages, for this model."""


def translated(bench: Bench, contender: Contender, running: Running) -> None:
    """As `streams`, with Anthropic's language on one side or on both."""
    if contender.name != "hoosh":
        return
    bench.mock.behave(chunks=64)
    for name, (messages, model) in TRANSLATIONS.items():
        load = Load(
            CLIENTS, bench.scale.seconds, stream=True, warm_s=bench.scale.warm_s, model=model, messages=messages
        )
        result = bench.load(contender, running, load)
        bench.samples.note(contender.name, f"{name}_rate", result.chunks / result.seconds)
        cpu_us = result.cpu_us_per(result.chunks)
        bench.samples.note(contender.name, f"{name}_core_rate", 1e6 / cpu_us if cpu_us else None)


def paced(bench: Bench, contender: Contender, running: Running) -> None:
    """Streams that live on, started out of step: 100 with 50 chunks/s each, 1 000 with 5.  The total is the same."""
    for label, count, interval_ms in (("100", 100, 20), ("1000", bench.scale.paced_streams, 200)):
        if contender.heavy and count > HEAVY_STREAMS:
            continue
        bench.mock.behave(chunks=FOREVER_CHUNKS, interval_ms=interval_ms)
        ramp_s = min(count / 500, 2 * bench.scale.seconds)
        load = Load(count, bench.scale.seconds, stream=True, ramp_s=ramp_s, warm_s=ramp_s + bench.scale.warm_s)
        result = bench.load(contender, running, load)
        bench.samples.note(contender.name, f"paced{label}_cpu", result.cpu_us_per(result.chunks))
        bench.samples.note(contender.name, f"paced{label}_p50", result.transit_us[0])
        bench.samples.note(contender.name, f"paced{label}_p99", result.transit_us[2])
        _settle(bench)


def http2(bench: Bench, contender: Contender, running: Running) -> None:
    """32 streams on one connection, where HTTP/2 is spoken without TLS."""
    if bench.tools.h2load is None or not disconnects.http2_is_spoken(contender.h2_port):
        return
    bench.mock.behave()
    result = run_h2load(bench.tools, contender.h2_port, bench.scale.seconds, running.cpu_s)
    if result is None:
        bench.problem(contender, "speaks HTTP/2, but h2load got no answer")
        return
    if result.bad:
        bench.problem(contender, f"{result.bad} bad answers over HTTP/2")
    bench.samples.note(contender.name, "http2_rps", result.requests_s)
    if result.succeeded:
        bench.samples.note(contender.name, "http2_cpu", result.cpu_s * 1e6 / result.succeeded)


def _settle(bench: Bench, within_s: float = 3.0) -> None:
    """Wait until the upstream streams of clients who have left are gone; a gateway may take its time."""
    deadline_s = time.monotonic() + within_s
    while bench.mock.active_streams() and time.monotonic() < deadline_s:
        time.sleep(0.05)


SCENARIOS: dict[str, Callable[[Bench, Contender, Running], object]] = {
    "chat": chat,
    "streams": streams,
    "translated": translated,
    "paced": paced,
    "http2": http2,
}


# --- Beside the rounds ---


def measure_direct(bench: Bench, scenarios: list[str]) -> None:
    """Upstream and load client alone: the floor of every latency and the ceiling of every rate."""
    nobody = Contender("direct", [], bench.mock.port, bench.mock.port)
    for name in scenarios:
        if name in ("chat", "streams", "paced"):
            SCENARIOS[name](bench, nobody, bench.mock.running)
    for key in [key for key in bench.samples.taken["direct"] if key.endswith(("_cpu", "_core"))]:
        del bench.samples.taken["direct"][key]  # the mock's, not a gateway's


def measure_memory(bench: Bench, contender: Contender, running: Running) -> None:
    """Resident memory of many open streams with a chunk a second, above what it was just before."""
    count, ramp_s = bench.scale.memory_streams, bench.scale.memory_streams / 500
    if contender.heavy:
        count = min(count, HEAVY_MEMORY_STREAMS)
        ramp_s = count / HEAVY_STREAMS_A_SECOND
    bench.mock.behave(chunks=FOREVER_CHUNKS, interval_ms=1000)
    before_kib = running.rss_kib()

    def look() -> None:
        open_streams = bench.mock.active_streams()
        if open_streams < count:
            bench.problem(contender, f"only {open_streams} of {count} streams are open")
        if open_streams:
            bench.samples.note(contender.name, "memory_stream", (running.rss_kib() - before_kib) / open_streams)

    load = Load(count, 1.2, stream=True, ramp_s=ramp_s, warm_s=ramp_s + bench.scale.warm_s)
    bench.load(contender, running, load, at_close=look)
    _settle(bench)


def measure_disconnects(
    bench: Bench, contender: Contender, running: Running, upstream: WatchedUpstream, upstream_port: int, seed: int
) -> None:
    """`contender` must have been started with `upstream_port`, and be ready."""
    ports = {"h1": contender.port}
    if importlib.util.find_spec("h2") and disconnects.http2_is_spoken(contender.h2_port):
        ports["h2"] = contender.h2_port
    hoosh = contender.name == "hoosh"
    tries = bench.scale.tries if hoosh else min(bench.scale.tries, bench.scale.peer_tries)
    found = disconnects.measure(running, ports, upstream, upstream_port, tries, seed)
    for (version, phase), outcome in found.items():
        bench.outcomes.setdefault(contender.name, {})[f"{version}_{phase}"] = outcome
        for figure, value in disconnects.summary(outcome).items():
            bench.samples.note(contender.name, f"gone_{version}_{phase}_{figure}", value)
        if outcome.broken:
            bench.problem(contender, f"{version} {phase}: {outcome.broken} tries broken, last {outcome.why}")
        if outcome.never and hoosh:
            bench.problem(contender, f"{version} {phase}: {outcome.never} leaving clients never noticed")
