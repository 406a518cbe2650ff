"""Three hours of recording in the memory of minutes, and a hundred files that somebody has tampered with."""

from __future__ import annotations

import random
import wave
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("_pywhispercpp")
import soundfile
from speech_house import SAID, engine_with, record, tone

from hoosh.errors import InvalidRequest, UnsupportedMedia
from hoosh.speech import TranscriberDied, TranscriptOptions

RATE_HZ = 8_000
THREE_HOURS_S = 3 * 3600
ROOM_BYTES = 48 * 1024 * 1024
"""Of 16 kHz mono as floats, three hours are 691 MB."""
SEED = 20_261_126
FILES = 100
ODD_NUMBERS = (b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80")


def peak_bytes(pid: int) -> int:
    """The most memory that a process has ever held."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nobody else tells the peak")
async def test_three_hours_need_no_more_memory_than_minutes(parrot, tmp_path):
    """Silence, as a sparse file, with a tone in the middle and at the end."""
    path = tmp_path / "three hours.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.setnframes(THREE_HOURS_S * RATE_HZ)
    starts_s = (5400, THREE_HOURS_S - 5)
    sound = (tone(5, rate_hz=RATE_HZ) * 32767).astype("<i2").tobytes()
    with path.open("r+b") as out:
        out.truncate(44 + 2 * THREE_HOURS_S * RATE_HZ)
        for start_s in starts_s:
            out.seek(44 + 2 * start_s * RATE_HZ)
            out.write(sound)
    _set_sizes(path)
    minutes = record(tmp_path / "minutes.wav", 90.0, rate_hz=RATE_HZ)
    async with engine_with(model=str(parrot)) as engine:
        async with engine.transcribe(str(minutes)) as transcription:
            await transcription.whole()
        before = peak_bytes(engine.statistics().loaded[0].pid)
        async with engine.transcribe(str(path)) as transcription:
            told = await transcription.whole()
        after = peak_bytes(engine.statistics().loaded[0].pid)
    assert told.duration_s == THREE_HOURS_S
    heard_s = [segment.start_s for segment in told.segments]
    assert all(any(start_s - 60 <= at_s <= start_s + 60 for at_s in heard_s) for start_s in starts_s)
    assert after - before < ROOM_BYTES


def _set_sizes(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4)
        file.write((size - 8).to_bytes(4, "little"))
        file.seek(40)
        file.write((size - 44).to_bytes(4, "little"))


def tampered(data: bytes, chance: random.Random) -> bytes:
    """Cut, with other bytes in the header or anywhere, with a piece twice, or none."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(min(len(changed), chance.choice((64, len(changed)))) or 1)
        match chance.randrange(5):
            case 0:
                changed[at:] = b""
            case 1:
                changed[at : at + 4] = chance.choice(
                    (b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
                )
            case 2:
                changed[at : at + 1] = chance.randbytes(1)
            case 3:
                changed[at:at] = changed[at : at + chance.randint(1, 4096)]
            case _:
                changed[at : at + chance.randint(1, 64)] = chance.randbytes(chance.randint(0, 64))
        changed = changed or bytearray(b"\0")
    return bytes(changed)


async def test_a_hundred_tampered_files_take_nothing_with_them(parrot, tmp_path):
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    sound = 0.00005 * tone(0.4)  # so quiet that only what has been tampered with reaches the model
    originals = []
    for kind, subtype in [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", None)]:
        file = tmp_path / f"it.{kind}"
        soundfile.write(file, sound, 16_000, format=kind, subtype=subtype)
        originals.append(file.read_bytes())
    path, good = tmp_path / "tampered", record(tmp_path / "good.wav", 5.0)
    outcomes: Counter[str] = Counter()
    english = TranscriptOptions(language="en")
    async with engine_with(model=str(parrot)) as engine:
        for number in range(FILES):
            path.write_bytes(tampered(originals[number % len(originals)], chance))
            try:
                async with engine.transcribe(str(path), english) as transcription:
                    await transcription.whole()
                outcomes["heard"] += 1
            except (InvalidRequest, UnsupportedMedia, TranscriberDied) as error:
                outcomes[type(error).__name__] += 1
        async with engine.transcribe(str(good), english) as transcription:
            assert (await transcription.whole()).text == SAID
        assert engine.statistics().running == 0
    print(dict(outcomes))
    assert sum(outcomes.values()) == FILES
    assert min(outcomes["heard"], outcomes["InvalidRequest"]) > 5, "the files must be neither all well nor all broken"
