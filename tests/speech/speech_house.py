"""An engine with the parrot, and recordings made on the spot."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import trio
from parrot_model import SAYS

from hoosh.speech import Whisper
from hoosh.speech.engine import SpeechEngine
from hoosh.speech.transcription import Transcription

__all__ = ["SAID", "WIRE", "engine_with", "record", "tone", "wait_first"]

WIRE = Path(__file__).parents[2].parent / "shared" / "wire" / "whisper"
SAID = " ".join(text for text, _, _ in SAYS)
HANGS_AFTER_S = 120.0


def tone(seconds: float, *, rate_hz: int = 16_000, hz: float = 440.0) -> Any:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def record(path: Path, seconds: float = 1.0, *, rate_hz: int = 16_000) -> Path:
    """A tone as a WAV file of 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        for _ in range(int(seconds // 60)):
            file.writeframes((tone(60, rate_hz=rate_hz) * 32767).astype("<i2").tobytes())
        file.writeframes((tone(seconds % 60, rate_hz=rate_hz) * 32767).astype("<i2").tobytes())
    return path


@asynccontextmanager
async def engine_with(**settings: Any) -> AsyncIterator[SpeechEngine]:
    """It ends with the block, and a test that hangs fails."""
    with trio.fail_after(HANGS_AFTER_S):
        async with trio.open_nursery() as nursery:
            engine = SpeechEngine(Whisper(**settings))
            await nursery.start(engine.run)
            yield engine
            nursery.cancel_scope.cancel()


async def wait_first(transcription: Transcription) -> None:
    """Until something has been heard."""
    async for _ in transcription:
        return
    raise AssertionError("nothing was heard")
