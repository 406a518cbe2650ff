"""Does the event loop turn while whisper listens?  One hoosh with its own whisper; a small client asks `/livez` every
few milliseconds, by turns while nobody and while somebody has a recording written down.

    alone  ── N ms ──▶  beside a transcription  ── N ms ──▶  alone  …       the worst answer of all turns

What counts is the worst beside a transcription.  The worst alone tells what this machine does to anybody: client and
gateway share its cores with whisper, and neither is pinned.
"""

from __future__ import annotations

import http.client
import math
import secrets
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from bench.figures import percentile
from bench.load import get_status
from bench.machine import Running, free_port
from bench.scenarios import Bench

__all__ = ["can_listen", "listening"]

WHISPER_MODEL = Path(__file__).parents[2] / "shared" / "wire" / "whisper" / "for-tests-ggml-tiny.bin"
"""Weightless, and as much work as any of its size."""
NAME = "hoosh"
TURNS = 4
TURN_S = 6.0
EVERY_S = 0.003
READY_WITHIN_S = 20.0
RATE_HZ = 16_000
RECORDING_S = 120
WAV = {"content-type": "audio/wav"}
CONFIG = """\
[server]
port = {port}
[whisper]
model = "{model}"
[discovery]
local = false
environment = false
[storage]
url = "memory:"
[logging]
level = "warning"
"""


def can_listen() -> bool:
    return WHISPER_MODEL.exists() and find_spec("_pywhispercpp") is not None


def listening(bench: Bench, work: Path, cores: frozenset[int], *, quick: bool) -> None:
    """Raises RuntimeError where the gateway does not start."""
    port = free_port()
    config = work / "listening.toml"
    config.write_text(CONFIG.format(port=port, model=WHISPER_MODEL))
    command = [sys.executable, "-m", "hoosh", "serve", "--config", str(config)]
    with Running(command, cores=cores, log=work / "listening.log") as running:
        _wait_ready(port, running)
        turn_s = 0.3 if quick else TURN_S
        alone_ms: list[float] = []
        beside_ms: list[float] = []
        for _ in range(1 if quick else TURNS):
            alone_ms += _answers_ms(port, turn_s)
            with _transcriptions(port) as done:
                beside_ms += _answers_ms(port, turn_s)
            if set(done) != {200} and not quick:
                raise RuntimeError(f"not written down, but answered {done}. The log ends:\n{running.log_tail()}")
        _note(bench, "alone", alone_ms)
        _note(bench, "beside", beside_ms)


def _note(bench: Bench, when: str, answers_ms: list[float]) -> None:
    bench.samples.note(NAME, f"listening_{when}_p99", percentile(answers_ms, 0.99))
    bench.samples.note(NAME, f"listening_{when}_worst", max(answers_ms, default=math.inf))


def _wait_ready(port: int, running: Running) -> None:
    while time.monotonic() - running.started_s < READY_WITHIN_S and running.alive():
        if get_status(port, "/readyz") == 200:
            return
        time.sleep(0.02)
    raise RuntimeError(f"the gateway that listens does not start. Its log ends:\n{running.log_tail()}")


def _answers_ms(port: int, for_s: float) -> list[float]:
    """How long each look at `/livez` took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    answers: list[float] = []
    until_s = time.perf_counter() + for_s
    while (began_s := time.perf_counter()) < until_s:
        connection.request("GET", "/livez")
        connection.getresponse().read()
        answers.append((time.perf_counter() - began_s) * 1000)
        time.sleep(EVERY_S)
    connection.close()
    return answers


@contextmanager
def _transcriptions(port: int) -> Iterator[list[int]]:
    """One after another until the block is left: then the last is left by its client, too.  Holds what was answered."""
    done: list[int] = []
    is_over = threading.Event()

    def listen() -> None:
        while not is_over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.5 if is_over.is_set() else 60)
            try:
                connection.request("POST", "/v1/audio/transcriptions?language=en", _recording(), WAV)
                done.append(connection.getresponse().status)
            except OSError:
                pass
            finally:
                connection.close()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield done
    finally:
        is_over.set()
        thread.join()


def _recording() -> bytes:
    """Noise: a model that hears nothing has less to do."""
    samples = secrets.token_bytes(2 * RATE_HZ * RECORDING_S // 8) * 8
    form = struct.pack("<IHHIIHH", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    chunks = b"WAVEfmt " + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks
