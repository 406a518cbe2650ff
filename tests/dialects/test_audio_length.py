"""How long recordings are, by headers that are honest, hostile or cut."""

from __future__ import annotations

import random
import struct

import pytest

from hoosh.dialects.audio import sound_ms

HEAD_BYTES = 65_536


def wav(seconds=2.0, rate=16_000, channels=1, bits=16, kind=1, said=None, extra=b""):
    size = int(seconds * rate) * channels * bits // 8
    fmt = struct.pack("<HHIIHH", kind, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + fmt + extra
    chunks += b"data" + struct.pack("<I", size if said is None else said) + bytes(size)
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def flac(samples, rate=44_100, channels=2, bits=16, size=1000):
    packed = rate << 44 | (channels - 1) << 41 | (bits - 1) << 36 | samples
    return (b"fLaC\x80\0\0\x22" + bytes(10) + packed.to_bytes(8, "big") + bytes(16)).ljust(size, b"\0")


def mp3(frame, tag=b"", side=32, size=16_000, id3=b""):
    return (id3 + frame + bytes(side) + tag).ljust(len(id3) + size, b"\0")


MPEG1_128 = b"\xff\xfb\x90\x00"
MPEG2_64_MONO = b"\xff\xf3\x84\xc0"


@pytest.mark.parametrize(
    ("data", "ms"),
    [
        (wav(), 2000),
        (wav(1.5, rate=44_100, channels=2, bits=24), 1500),
        (wav(kind=3, bits=32), 2000),
        (wav(kind=6, bits=8), 2000),
        (wav(kind=0xFFFE), 2000),
        (wav(extra=b"LIST" + struct.pack("<I", 5) + b"abcde\0"), 2000),
        (wav(said=0xFFFFFFFF), 2000),  # written as it was made
        (wav(said=0), 2000),
        (wav(said=10**9), 2000),  # it says more than there is
        (wav(said=16_000), 500),
        (wav(kind=0x11), None),  # ADPCM: its samples have no size
        (wav(rate=0, seconds=0), None),
        (wav(0), None),
        (flac(88_200), 2000),
        (flac(0), None),  # not known
        (flac(10, size=10_000_000), None),  # ten samples do not fill ten megabytes
        (mp3(MPEG1_128), 1000),
        (mp3(MPEG1_128, id3=b"ID3\4\0\0" + bytes([0, 0, 1, 0]) + bytes(128)), 1000),
        (mp3(MPEG2_64_MONO, size=8000), 1000),
        (mp3(MPEG1_128, b"Xing" + struct.pack(">II", 1, 100)), 2612),
        (mp3(MPEG2_64_MONO, b"Info" + struct.pack(">II", 3, 100), side=9), 2400),
        (mp3(MPEG1_128, b"Xing" + struct.pack(">II", 2, 100)), 1000),  # it does not count them
        (b"\xff\xfb\xf0\x00" + bytes(100), None),
        (b"OggS" + bytes(100), None),
        (b"", None),
        (b"RIFF", None),
        (b"ID3", None),
        (b"fLaC", None),
    ],
)
def test_a_length_is_known_or_it_is_not(data, ms):
    assert sound_ms(data[:HEAD_BYTES], len(data)) == ms


def test_only_the_beginning_is_looked_at():
    data = wav(100)
    assert sound_ms(data[:100], len(data)) == 100_000


def test_no_header_breaks_it():
    dice = random.Random(7)
    samples = [wav(0.01), flac(4000), mp3(MPEG1_128, b"Xing" + bytes(8)), mp3(MPEG2_64_MONO)]
    for sample in samples:
        for cut in range(len(sample[:80])):
            sound_ms(sample[:cut], len(sample))
        for _ in range(500):
            broken = bytearray(sample[:120])
            for _ in range(4):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            told = sound_ms(bytes(broken), len(sample))
            assert told is None or told > 0
