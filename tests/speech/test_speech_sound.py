"""Sound files of all kinds as 16 kHz mono, and those that are none."""

from __future__ import annotations

import struct

import pytest

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
import numpy as np
import soundfile
from speech_house import record, tone

from hoosh.speech.listener import Listener
from hoosh.speech.sound import BadSound, Sound
from hoosh.speech.transcript import Segment, TranscriptOptions
from hoosh.speech.windows import RATE_HZ, WINDOW_S, Window, windows_of

PITCH_HZ = 440.0
FORMS = [
    *(("WAV", subtype, 16_000, 1) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    *(("WAV", subtype, 8_000, 1) for subtype in ("ULAW", "ALAW", "PCM_U8")),
    *(
        ("WAV", "PCM_16", rate_hz, channels)
        for rate_hz, channels in [(44_100, 2), (48_000, 6), (11_025, 1), (96_000, 1)]
    ),
    ("WAVEX", "PCM_24", 48_000, 2),
    ("RF64", "PCM_16", 16_000, 1),
    ("FLAC", "PCM_16", 44_100, 2),
    ("FLAC", "PCM_24", 16_000, 1),
    ("OGG", "VORBIS", 44_100, 2),
    ("OGG", "OPUS", 48_000, 1),
    ("MP3", "MPEG_LAYER_III", 44_100, 2),
    ("MP3", "MPEG_LAYER_III", 16_000, 1),
]


def read(path, *, max_audio_s: float = 60.0):
    sound = Sound(str(path), max_audio_s=max_audio_s)
    try:
        return np.concatenate(list(sound.blocks()))
    finally:
        sound.close()


def refused(path, **limits) -> BadSound:
    with pytest.raises(BadSound) as caught:
        read(path, **limits)
    return caught.value


@pytest.mark.parametrize(("kind", "subtype", "rate_hz", "channels"), FORMS)
def test_whatever_comes_is_heard_as_16_khz_mono(tmp_path, kind, subtype, rate_hz, channels):
    path = tmp_path / "named like nothing"
    samples = np.tile(tone(2.0, rate_hz=rate_hz, hz=PITCH_HZ)[:, None], (1, channels))
    soundfile.write(path, samples, rate_hz, format=kind, subtype=subtype)
    heard = read(path)
    assert len(heard) == pytest.approx(2 * RATE_HZ, abs=RATE_HZ // 10)
    middle = heard[RATE_HZ // 2 : RATE_HZ * 3 // 2]
    spectrum = np.abs(np.fft.rfft(middle))
    assert spectrum.argmax() == pytest.approx(PITCH_HZ, abs=1)
    assert np.abs(middle).max() == pytest.approx(0.3, abs=0.05)


def test_channels_are_mixed(tmp_path):
    path = tmp_path / "stereo.wav"
    left = tone(1.0)
    soundfile.write(path, np.stack([left, -left], axis=1), 16_000, subtype="FLOAT")
    assert np.abs(read(path)).max() < 1e-6


def test_numbers_that_are_none_are_made_harmless(tmp_path):
    path = tmp_path / "odd.wav"
    soundfile.write(path, np.array([np.nan, np.inf, -np.inf, 1e30, 0.5] * 2000, np.float32), 16_000, subtype="FLOAT")
    heard = read(path)
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() == 1.0


def test_a_length_that_the_writer_did_not_know_is_no_mistake(tmp_path):
    """As programs write it that write into a pipe."""
    path = record(tmp_path / "piped.wav", 1.0)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(read(path)) == RATE_HZ


def test_a_header_cut_anywhere_is_refused(tmp_path):
    whole = record(tmp_path / "whole.wav", 1.0).read_bytes()
    path = tmp_path / "cut.wav"
    for length in range(45):
        path.write_bytes(whole[:length])
        assert refused(path).fault in ("invalid", "unsupported"), length
        assert refused(path).fault == "invalid" or length < 4, length


@pytest.mark.parametrize(
    ("channels", "rate_hz", "bits"),
    [(0, 16_000, 16), (65_535, 16_000, 16), (1, 0, 16), (1, 0xFFFFFFFF, 16), (1, 16_000, 0)],
)
def test_an_absurd_header_is_refused(tmp_path, channels, rate_hz, bits):
    path = record(tmp_path / "absurd.wav", 0.1)
    data = bytearray(path.read_bytes())
    data[22:28] = struct.pack("<HI", channels, rate_hz)
    data[34:36] = struct.pack("<H", bits)
    path.write_bytes(data)
    assert refused(path).fault == "invalid"


@pytest.mark.parametrize("place", [16, 4])
def test_an_absurd_size_in_the_header_is_refused_or_ignored(tmp_path, place):
    path = record(tmp_path / "absurd.wav", 1.0)
    data = bytearray(path.read_bytes())
    data[place : place + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    if place == 16:  # of the format
        assert refused(path).fault == "invalid"
    else:  # of the whole file: nobody needs it
        assert len(read(path)) == RATE_HZ


def test_a_file_without_sound_is_refused(tmp_path):
    assert "no sound" in str(refused(record(tmp_path / "none.wav", 0.0)))


@pytest.mark.parametrize(("kind", "suffix"), [("AIFF", "aiff"), ("AU", "au"), ("CAF", "caf")])
def test_other_kinds_are_named(tmp_path, kind, suffix):
    path = tmp_path / f"it.{suffix}"
    soundfile.write(path, tone(0.1), 16_000, format=kind)
    bad = refused(path)
    assert (bad.fault, kind in str(bad)) == ("unsupported", True)


def test_what_is_too_long_is_refused_before_it_is_read(tmp_path):
    path = record(tmp_path / "long.wav", 3.0)
    with pytest.raises(BadSound, match="longer than the 2 seconds") as caught:
        Sound(str(path), max_audio_s=2.0)
    assert caught.value.fault == "too_long"
    assert len(read(path, max_audio_s=3.0)) == 3 * RATE_HZ


# -- windows -----------------------------------------------------------------------------------------------------------


def cut(samples, block: int) -> list[Window]:
    """The samples come in blocks of this length."""
    return list(windows_of(samples[at : at + block] for at in range(0, len(samples), block)))


def test_windows_lose_nothing_and_know_where_they_start():
    samples = np.random.default_rng(1).uniform(-1, 1, 300 * RATE_HZ).astype(np.float32)
    found = cut(samples, 70_001)
    assert np.array_equal(np.concatenate([window.samples for window in found]), samples)
    starts = np.cumsum([0, *(len(window.samples) for window in found)])[:-1] / RATE_HZ
    assert [window.start_s for window in found] == list(starts)
    assert all(window.length_s <= WINDOW_S for window in found)
    assert len(found) > 300 / WINDOW_S


def test_a_cut_falls_into_the_pause():
    samples = tone(WINDOW_S + 10)
    pause_s = WINDOW_S - 7
    samples[pause_s * RATE_HZ : int((pause_s + 0.5) * RATE_HZ)] *= 0.01
    first, _ = cut(samples, RATE_HZ)
    assert pause_s < first.length_s < pause_s + 0.5


def test_a_window_may_end_with_the_recording():
    assert len(cut(tone(WINDOW_S / 2), 1000)) == 1
    assert cut(tone(0.0), 1000) == []


def test_what_is_too_short_for_the_library_is_followed_by_silence():
    window = Window(tone(0.1), 0.0)
    assert len(window.padded()) > RATE_HZ
    assert window.length_s == 0.1
    assert not window.is_silent
    assert Window(window.samples * 1e-4, 0.0).is_silent


# -- from window to window ---------------------------------------------------------------------------------------------


class Repeater:
    """Hears the number of the window, in German, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str | None, str]] = []

    def listen(self, window, options, *, language, before, heard):
        self.asked.append((window.start_s, language, before))
        heard(Segment(f" at {window.start_s:g}", window.start_s, window.start_s + 1))
        return language or "de"


def test_what_is_learnt_in_a_window_helps_with_the_next():
    repeater, told, reached = Repeater(), [], []

    def until(at_s, language):
        reached.append((at_s, language))

    listener = Listener(repeater, TranscriptOptions(), heard=told.append, reached=until)
    silence = np.zeros(RATE_HZ, np.float32)
    for number, samples in enumerate([silence, tone(1.0), tone(1.0), silence, tone(0.5)]):
        listener.listen(Window(samples, float(number)))
    assert repeater.asked == [(1.0, None, ""), (2.0, "de", " at 1"), (4.0, "de", "")]
    assert [segment.text for segment in told] == [" at 1", " at 2", " at 4"]
    assert reached == [(1.0, None), (2.0, "de"), (3.0, "de"), (4.0, "de"), (4.5, "de")]
    assert (listener.at_s, listener.language) == (4.5, "de")
