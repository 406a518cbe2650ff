"""Sound requests: forms, bare bodies and JSON, as clients send them."""

from __future__ import annotations

import pytest

from hoosh.codec.multipart import encode_form
from hoosh.dialects.audio import read_speech
from hoosh.errors import InvalidRequest, UnsupportedMedia
from hoosh.testing.forms import read_transcription
from hoosh.values import CallKind, FormPart

FORM = b"multipart/form-data; boundary=B"
FILE = FormPart("file", b"RIFF", "a.wav", "audio/wav")


def form(*fields, file=FILE):
    parts = [FormPart(name, value.encode()) for name, value in fields]
    return read_transcription(CallKind.TRANSCRIPTION, FORM, "", encode_form([*parts, file] if file else parts, b"B"))


def test_a_form_is_understood_and_kept_whole():
    request = form(
        ("model", "gpt-4o-transcribe"), ("timestamp_granularities[]", "word"), ("language", "fa"), ("prompt", "salam"),
        ("timestamp_granularities[]", "segment"), ("temperature", "0.2"), ("stream", "true"), ("new_thing", "1"),
        ("response_format", "verbose_json"),
    )  # fmt: skip
    assert (request.model, request.language, request.prompt, request.temperature) == (
        "gpt-4o-transcribe",
        "fa",
        "salam",
        "0.2",
    )
    assert (request.stream, request.response_format, request.granularities) == (
        True,
        "verbose_json",
        ("word", "segment"),
    )
    assert [part.name for part in request.parts][-3:] == ["new_thing", "response_format", "file"]
    assert bytes(request.file.data) == b"RIFF"


def test_what_is_not_said_is_usual():
    request = form()
    assert (request.model, request.response_format, request.stream, request.granularities) == (
        "whisper-1",
        "json",
        False,
        (),
    )
    assert (request.language, request.prompt, request.temperature) == (None, None, None)


def test_the_file_may_be_the_body_and_the_rest_the_query():
    query = "model=m&language=de&timestamp_granularities[]=word&timestamp_granularities%5B%5D=segment&x=%C3%A4"
    request = read_transcription(CallKind.TRANSCRIPTION, b"audio/x-wav; rate=16000", query, b"RIFF")
    assert (request.model, request.language, request.granularities) == ("m", "de", ("word", "segment"))
    assert (request.file.filename, request.file.media_type, bytes(request.file.data)) == (
        "audio.wav",
        "audio/x-wav",
        b"RIFF",
    )
    assert [part.text for part in request.parts if part.name == "x"] == ["ä"]


@pytest.mark.parametrize(
    ("call", "error", "param"),
    [
        (lambda: form(file=None), InvalidRequest, "file"),
        (lambda: form(file=FormPart("file", b"", "a.wav")), InvalidRequest, "file"),
        (lambda: form(("temperature", "warm")), InvalidRequest, "temperature"),
        (lambda: form(("temperature", "nan")), InvalidRequest, "temperature"),
        (lambda: form(("model", "m\nx: y")), InvalidRequest, "model"),
        (lambda: form(("model", "m" * 300)), InvalidRequest, "model"),
        (lambda: read_transcription(CallKind.TRANSCRIPTION, b"multipart/form-data", "", b""), InvalidRequest, None),
        (lambda: read_transcription(CallKind.TRANSCRIPTION, b"application/json", "", b"{}"), UnsupportedMedia, None),
        (lambda: read_transcription(CallKind.TRANSCRIPTION, b"text/plain", "", b"RIFF"), UnsupportedMedia, None),
        (lambda: read_transcription(CallKind.TRANSCRIPTION, b"audio/wav", "a=1&" * 500, b"R"), InvalidRequest, None),
        (lambda: read_transcription(CallKind.TRANSCRIPTION, b"audio/wav", "", b""), InvalidRequest, "file"),
    ],
)
def test_mistakes_are_named(call, error, param):
    with pytest.raises(error) as caught:
        call()
    assert caught.value.param == param


def test_speech_is_read_and_its_fields_kept():
    request = read_speech(
        b'{"model":"tts-1","input":"salam","voice":"nova","speed":1.50,"response_format":"wav","x":[1, 2],'
        b'"stream_format":"sse","provider":"p"}'
    )
    assert (request.model, request.input, request.voice, request.speed) == ("tts-1", "salam", "nova", 1.5)
    assert (request.response_format, request.events, request.provider) == ("wav", True, "p")
    assert bytes(request.fields["speed"]) == b"1.50"
    assert "provider" not in request.fields
    assert read_speech(b'{"model":"m","input":"x","voice":{"id":"v"},"speed":null}').voice is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"[]", None),
        (b"{", None),
        (b'{"input":"x"}', "model"),
        (b'{"model":"m"}', "input"),
        (b'{"model":"m","input":["x"]}', "input"),
        (b'{"model":"m","input":"' + b"x" * 4097 + b'"}', "input"),
        (b'{"model":"m","input":""}', "input"),
        (b'{"model":"m","input":"x","speed":"fast"}', "speed"),
        (b'{"model":"m","input":"x","speed":0.24}', "speed"),
        (b'{"model":"m","input":"x","speed":4.01}', "speed"),
        (b'{"model":"m","input":"x","voice":7}', "voice"),
        (b'{"model":"m","input":"x","response_format":7}', "response_format"),
    ],
)
def test_speech_mistakes_are_named(body, param):
    with pytest.raises(InvalidRequest) as caught:
        read_speech(body)
    assert caught.value.param == param
