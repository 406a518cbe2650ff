"""The child alone: it ends with its gateway, keeps its stdout for frames, and stays behind the event loop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("_pywhispercpp")
from speech_house import record

from hoosh.speech import TranscriptOptions
from hoosh.speech.frames import TOLD, Begin, FrameDecoder, Heard, Load, Loaded, Opened, Told, frame

COMMAND = [sys.executable, "-P", "-m", "hoosh.speech.worker"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_a_child_without_a_gateway_ends():
    ended = subprocess.run(COMMAND, stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, b"")


def read_until_heard(child: subprocess.Popen[bytes], frames: FrameDecoder[Told]) -> list[Told]:
    told: list[Told] = []
    while not any(isinstance(one, Heard) for one in told):
        data = os.read(child.stdout.fileno(), 65_536)
        assert data, child.stderr.read()
        told += frames.feed(data)
    return told


def test_a_child_at_work_ends_with_its_gateway_and_not_before(parrot, tmp_path):
    path = record(tmp_path / "long.wav", 600.0, rate_hz=2_000)
    frames = FrameDecoder(TOLD)
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as child:
        child.stdin.write(frame(Load(str(parrot), 1)) + frame(Begin(str(path), TranscriptOptions(), 3600.0)))
        child.stdin.flush()
        told = read_until_heard(child, frames)
        assert [type(one) for one in told[:3]] == [Loaded, Opened, Heard]
        assert os.getpriority(os.PRIO_PROCESS, child.pid) > os.getpriority(os.PRIO_PROCESS, 0)
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)
        read_until_heard(child, frames)
        child.stdin.close()
        assert child.wait(60) == 0
