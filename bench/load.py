"""The tools as functions: build them, run mockllm, drive a gateway with gwload or h2load.

gwload says when its measuring window opens and closes; the gateway's CPU time is read at those two moments, so that
warm-up and the closing of connections are not charged to anybody.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.machine import Cores, Running, on_cores

__all__ = [
    "CLAUDE",
    "KEY",
    "MODEL",
    "Http2Result",
    "Load",
    "LoadResult",
    "Mock",
    "Tools",
    "ask",
    "build",
    "delete",
    "get",
    "get_status",
    "parse_h2load",
    "parse_result",
    "run_h2load",
    "run_load",
]

KEY = "sk-bench-0123456789abcdef"
MODEL = "mock-model"
CLAUDE = "mock-claude"
"""The same upstream, spoken to in Anthropic's words.  Gateways that are given no such model have none."""
NATIVE = Path(__file__).parent / "native"
PROBE_REQUESTS = 320


@dataclass(frozen=True)
class Tools:
    mockllm: Path
    gwload: Path
    h2load: str | None
    cores: Cores


def build(into: Path, cores: Cores) -> Tools:
    """Compile what is older than its source.  Raises CalledProcessError, or FileNotFoundError without gcc."""
    into.mkdir(parents=True, exist_ok=True)
    for name in ("mockllm", "gwload"):
        source, binary = NATIVE / f"{name}.c", into / name
        if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-O2", "-Wall", "-o", binary, source], check=True)
    return Tools(into / "mockllm", into / "gwload", shutil.which("h2load"), cores)


# --- The upstream ---


class Mock:
    """mockllm, running.  Its defaults can change while gateways keep their connections to it."""

    def __init__(self, tools: Tools, port: int, log: Path) -> None:
        self.port = port
        self.running = Running([str(tools.mockllm), str(port)], cores=tools.cores.load, log=log)
        deadline_s = time.monotonic() + 5
        while not self._answers():
            if not self.running.alive() or time.monotonic() > deadline_s:
                raise RuntimeError(f"mockllm does not start: {self.running.log_tail()}")
            time.sleep(0.01)

    def behave(self, *, chunks: int = 64, interval_ms: int = 0, delay_ms: int = 0) -> None:
        """What the next requests get.  Streams under way keep their own."""
        self._call("POST", f"/set/c{chunks}-i{interval_ms}-d{delay_ms}")

    def active_streams(self) -> int:
        return int(json.loads(self._call("GET", "/stats"))["active"])

    def stop(self) -> None:
        self.running.stop()

    def _answers(self) -> bool:
        try:
            self._call("GET", "/stats")
        except OSError:
            return False
        return True

    def _call(self, method: str, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, headers={"content-length": "0"})
            return connection.getresponse().read()
        finally:
            connection.close()


# --- One request ---


def ask(port: int, *, key: str | None = KEY, timeout_s: float = 5.0) -> int:
    """One small chat request; its status, or 0 when nobody answers.  The watched upstream answers only a `ping`."""
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "ping"}], "max_tokens": 5})
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    return _call(port, "POST", "/v1/chat/completions", body, headers, timeout_s)[0]


def get_status(port: int, path: str) -> int:
    return get(port, path)[0]


def get(port: int, path: str, *, timeout_s: float = 5.0) -> tuple[int, bytes]:
    """Status and body; 0 when nobody answers."""
    return _call(port, "GET", path, None, {"authorization": f"Bearer {KEY}"}, timeout_s)


def delete(port: int, path: str, *, timeout_s: float = 5.0) -> tuple[int, bytes]:
    """As `get`."""
    return _call(port, "DELETE", path, None, {"authorization": f"Bearer {KEY}"}, timeout_s)


def _call(
    port: int, method: str, path: str, body: str | None, headers: dict[str, str], timeout_s: float
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


# --- HTTP/1.1 load ---


@dataclass(frozen=True)
class Load:
    clients: int
    seconds: float
    stream: bool = False
    warm_s: float = 0.5
    ramp_s: float = 0.0
    model: str = MODEL
    messages: bool = False
    """Ask in Anthropic's words, at /v1/messages."""


@dataclass(frozen=True)
class LoadResult:
    """What happened in the window.  Percentiles in µs; None where nothing was counted."""

    seconds: float
    begun: int
    """Requests that were sent: in the window, before it, and those that were still in the air when it closed."""
    requests: int
    chunks: int
    bad: int
    """Failed, not 200, or a stream without its [DONE]."""
    request_us: tuple[float | None, ...]
    """p50, p90, p99, max."""
    transit_us: tuple[float | None, ...]
    cpu_s: float = 0.0

    def cpu_us_per(self, count: int) -> float | None:
        return self.cpu_s * 1e6 / count if count else None


def parse_result(line: str, cpu_s: float) -> LoadResult:
    told = json.loads(line)
    return LoadResult(
        seconds=told["seconds"],
        begun=told["begun"],
        requests=told["requests"],
        chunks=told["chunks"],
        bad=told["errors"] + told["non200"] + told["unfinished"],
        request_us=tuple(told["request_us"]),
        transit_us=tuple(told["transit_us"]),
        cpu_s=cpu_s,
    )


def run_load(
    tools: Tools,
    load: Load,
    port: int,
    cpu_s: Callable[[], float],
    *,
    at_close: Callable[[], None] = lambda: None,
) -> LoadResult:
    """Drive `port`.  `cpu_s` is read at both edges of the window; `at_close` runs while every connection is open."""
    command = [
        str(tools.gwload),
        str(port),
        str(load.clients),
        str(load.seconds),
        load.model,
        str(int(load.stream)),
        "-k",
    ]
    command += ["-H", f"Authorization: Bearer {KEY}", "-w", str(load.warm_s), "-r", str(load.ramp_s)]
    if load.messages:
        command += ["-P", "/v1/messages", "-E", "message_stop"]
    with on_cores(tools.cores.load):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        _expect(process.stdout.readline(), "open")
        before_s = cpu_s()
        _expect(process.stdout.readline(), "close")
        used_s = cpu_s() - before_s
        at_close()
        process.stdin.close()
        return parse_result(process.stdout.readline(), used_s)


def _expect(line: str, word: str) -> None:
    if line.strip() != word:
        raise RuntimeError(f"gwload said {line!r}, not {word!r}")


# --- HTTP/2 load ---


@dataclass(frozen=True)
class Http2Result:
    requests_s: float
    succeeded: int
    bad: int
    cpu_s: float = 0.0


def parse_h2load(output: str, cpu_s: float = 0.0) -> Http2Result:
    """Rates and counts from h2load's report.  Answers other than 2xx count as bad.  Raises ValueError."""
    rate = re.search(r"finished in [^,]+, ([\d.]+) req/s", output)
    counts = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed", output)
    codes = re.search(r"status codes: (\d+) 2xx", output)
    if not (rate and counts and codes):
        raise ValueError(f"not a report of h2load: {output[-300:]!r}")
    total, good = int(counts[1]), int(codes[1])
    return Http2Result(float(rate[1]), good, total - good, cpu_s)


def run_h2load(tools: Tools, port: int, seconds: float, cpu_s: Callable[[], float]) -> Http2Result | None:
    """32 streams on one connection, prior knowledge, for about `seconds`.  None where HTTP/2 is not spoken."""
    probe = _h2load(tools, port, PROBE_REQUESTS)
    if probe is None or not probe.succeeded:
        return None
    before_s = cpu_s()
    result = _h2load(tools, port, max(PROBE_REQUESTS, int(probe.requests_s * seconds)))
    if result is None:
        return None
    return Http2Result(result.requests_s, result.succeeded, result.bad, cpu_s() - before_s)


def _h2load(tools: Tools, port: int, requests: int) -> Http2Result | None:
    assert tools.h2load is not None
    body = tools.gwload.parent / "chat.json"
    body.write_text(json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 64}))
    command = [tools.h2load, "-c", "1", "-m", "32", "-n", str(requests), "-d", str(body)]
    command += ["-H", "content-type: application/json", "-H", f"authorization: Bearer {KEY}"]
    command += ["--connection-inactivity-timeout=5", f"http://127.0.0.1:{port}/v1/chat/completions"]
    try:
        with on_cores(tools.cores.load):
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        return parse_h2load(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None
