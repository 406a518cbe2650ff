"""`hoosh-trio transcribe` and `hoosh-trio speak` against a tiny gateway."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from hoosh.cli import main
from hoosh.codec.multipart import boundary_of, parse_form

TRANSCRIBE, TRANSLATE, SPEAK = "/v1/audio/transcriptions", "/v1/audio/translations", "/v1/audio/speech"
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(2000)
DELTA = {"type": "transcript.text.delta"}


def fields(asked: Any) -> list[tuple[str, Any]]:
    _, _, headers, body = asked
    parts = parse_form(body, boundary_of(headers["content-type"].encode()))  # type: ignore[arg-type]
    return [(part.name, (part.filename, bytes(part.data)) if part.name == "file" else part.text) for part in parts]


@pytest.fixture
def talk(tmp_path):
    path = tmp_path / "talk.wav"
    path.write_bytes(WAV)
    return path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# -- transcribe ----------------------------------------------------------------------------------------------------


def test_a_recording_is_sent_and_its_text_is_printed(gateway, talk, capsys):
    gateway.plain(TRANSCRIBE, "سلام دنیا\n".encode())
    assert main(["transcribe", str(talk), "-m", "w", "--language", "fa", "--prompt", "hoosh"]) == 0
    assert capsys.readouterr().out == "سلام دنیا\n"
    assert fields(gateway.asked[0]) == [
        ("model", "w"), ("language", "fa"), ("prompt", "hoosh"), ("response_format", "text"),
        ("file", ("talk.wav", WAV)),
    ]  # fmt: skip
    assert int(gateway.asked[0][2]["content-length"]) == len(gateway.asked[0][3])


def test_it_is_translated_at_the_path_of_translations(gateway, talk, capsys):
    gateway.plain(TRANSLATE, b"hello\n")
    assert main(["transcribe", "--translate", "--language", "fa", str(talk)]) == 0
    assert [name for name, _ in fields(gateway.asked[0])] == ["response_format", "file"]


def test_stdin_is_sent_as_it_comes_and_named_by_its_kind(gateway, monkeypatch, capsys):
    gateway.plain(TRANSCRIBE, b"hi\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(b"fLaC" + bytes(200_000)))))
    assert main(["transcribe", "-"]) == 0
    assert gateway.asked[0][2]["transfer-encoding"] == "chunked"
    assert fields(gateway.asked[0])[-1] == ("file", ("stdin.flac", b"fLaC" + bytes(200_000)))


def test_json_is_an_answer_with_its_file_on_each_line(gateway, talk, capsys):
    gateway.json(TRANSCRIBE, {"text": "سلام", "usage": {"type": "duration", "seconds": 2}})
    assert main(["transcribe", "--json", str(talk), str(talk)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"file": str(talk), "text": "سلام", "usage": {"type": "duration", "seconds": 2}}] * 2
    assert ("response_format", "json") in fields(gateway.asked[0])


def test_each_file_gets_a_file_of_its_own(gateway, talk, tmp_path, capsys):
    gateway.plain(TRANSCRIBE, b"1\n00:00 --> 00:01\nhi\n\n", "application/x-subrip")
    out = tmp_path / "out"
    out.mkdir()
    assert main(["transcribe", "--format", "srt", "--output", str(out), str(talk)]) == 0
    assert (out / "talk.srt").read_text() == "1\n00:00 --> 00:01\nhi\n"
    assert os.listdir(out) == ["talk.srt"]
    assert capsys.readouterr().out == ""


def test_one_that_fails_does_not_keep_the_others(gateway, talk, tmp_path, capsys):
    gateway.plain(TRANSCRIBE, b"hi\n")
    assert main(["transcribe", str(talk), str(tmp_path / "gone.wav"), str(talk)]) == 1
    said = capsys.readouterr()
    assert said.out == f"==> {talk} <==\nhi\n" * 2
    assert "gone.wav cannot be read: No such file or directory" in said.err
    gateway.json(TRANSCRIBE, {"error": {"message": "too long", "code": "request_too_large"}}, 413)
    assert main(["transcribe", str(talk), str(talk)]) == 1
    assert capsys.readouterr().err.count("answered 413: too long") == 2
    assert main(["transcribe", str(tmp_path / "gone.wav")]) == 1


def test_on_a_terminal_the_text_comes_as_it_is_heard_behind_a_bar(gateway, talk, monkeypatch):
    done = {"type": "transcript.text.done", "text": "salam donya"}
    gateway.events(TRANSCRIBE, {**DELTA, "delta": "salam "}, {**DELTA, "delta": "donya"}, done, "[DONE]")
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    monkeypatch.setattr(sys, "stderr", err := Terminal())
    assert main(["transcribe", str(talk)]) == 0
    assert out.getvalue() == "salam donya\n"
    assert re.search(r"\[#+\] talk.wav: 0.0 MiB sent", err.getvalue())
    assert err.getvalue().endswith("\r\033[K")
    assert ("stream", "true") in fields(gateway.asked[0])
    gateway.json(TRANSCRIBE, {"text": "at once"})  # who cannot stream
    assert main(["transcribe", str(talk)]) == 0
    assert out.getvalue().endswith("at once\n")


@pytest.mark.parametrize(
    ("events", "cut", "says"),
    [
        ([{**DELTA, "delta": "sa"}], False, "cut short"),
        ([{**DELTA, "delta": "sa"}], True, "broke"),
        ([{"error": {"message": "out of memory"}}], False, "broke off: out of memory"),
        (["{"], False, "cannot be understood"),
    ],
)
def test_a_stream_without_its_end_is_a_failure(events, cut, says, gateway, talk, monkeypatch, capsys):
    gateway.events(TRANSCRIBE, *events, cut=cut)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["transcribe", str(talk)]) == 1
    assert says in capsys.readouterr().err


def test_a_transcript_that_is_cut_does_not_keep_the_others(gateway, talk, monkeypatch, capsys):
    gateway.events(TRANSCRIBE, {**DELTA, "delta": "sa"})
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["transcribe", str(talk), str(talk)]) == 1
    assert capsys.readouterr().err.count("talk.wav: the transcript was cut short") == 2


def test_two_recordings_that_would_be_written_to_one_file_are_refused(gateway, talk, tmp_path, capsys):
    out, other = tmp_path / "out", tmp_path / "talk.mp3"
    out.mkdir()
    other.write_bytes(WAV)
    assert main(["transcribe", "--output", str(out), str(talk), str(other)]) == 2
    assert "talk.txt twice" in capsys.readouterr().err
    assert not gateway.asked


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
def test_what_is_no_answer_is_a_failure(body, gateway, talk, capsys):
    gateway.plain(TRANSCRIBE, body)
    assert main(["transcribe", "--json", str(talk)]) == 1
    assert "does not answer like a hoosh gateway" in capsys.readouterr().err


# -- speak ---------------------------------------------------------------------------------------------------------

SOUND = b"\xff\xf3" + bytes(range(256)) * 40


def test_sound_goes_into_a_file(gateway, tmp_path, capsys):
    gateway.plain(SPEAK, SOUND, "audio/wav")
    target = tmp_path / "salam.wav"
    assert main(["speak", "salam", "donya", "--voice", "nova", "--speed", "1.5", "-o", str(target)]) == 0
    assert target.read_bytes() == SOUND
    assert os.listdir(tmp_path) == ["salam.wav"]
    assert capsys.readouterr().out == f"{target}: {len(SOUND)} bytes, audio/wav\n"
    assert gateway.asked[0][3] == {
        "model": "tts-1", "input": "salam donya", "voice": "nova", "response_format": "wav", "speed": 1.5,
    }  # fmt: skip
    assert main(["speak", "--json", "-m", "kokoro", "--format", "flac", "a", "--output", str(target)]) == 0
    told = {"file": str(target), "bytes": len(SOUND), "media_type": "audio/wav"}
    assert json.loads(capsys.readouterr().out) == told
    assert gateway.asked[1][3]["response_format"] == "flac"


def test_sound_goes_to_a_pipe_and_to_no_terminal(gateway, monkeypatch, capsysbinary):
    gateway.plain(SPEAK, SOUND, "audio/mpeg")
    monkeypatch.setattr("sys.stdin", io.StringIO("from a letter"))
    assert main(["speak", "-"]) == 0
    assert capsysbinary.readouterr().out == SOUND
    assert (gateway.asked[0][3]["input"], gateway.asked[0][3]["response_format"]) == ("from a letter", "mp3")
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    assert main(["speak", "salam"]) == 2
    assert out.getvalue() == ""
    assert len(gateway.asked) == 1


def test_half_a_sound_is_no_file(gateway, tmp_path, capsys):
    gateway.plain(SPEAK, SOUND, "audio/mpeg", cut=True)
    assert main(["speak", "salam", "-o", str(tmp_path / "a.mp3")]) == 1
    assert os.listdir(tmp_path) == []
    assert main(["speak", "salam", "-o", str(tmp_path / "not" / "there.mp3")]) == 1
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_ctrl_c_leaves_no_file_and_130(gateway, tmp_path, monkeypatch):
    gateway.plain(SPEAK, SOUND, "audio/mpeg")

    def interrupted(*args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("hoosh.cli.speak._copy", interrupted)
    assert main(["speak", "salam", "-o", str(tmp_path / "a.mp3")]) == 130
    assert os.listdir(tmp_path) == []
