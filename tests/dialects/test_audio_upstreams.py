"""The audio dialects: OpenAI's passes on, whisper.cpp's and Piper's are translated."""

from __future__ import annotations

import base64
import struct

import msgspec
import pytest

from hoosh.codec.multipart import boundary_of, parse_form
from hoosh.dialects.audio import TranscriptTap, audio_dialect, speech_type, told_as_stream
from hoosh.dialects.audio.sound import wav_format
from hoosh.dialects.contract import Ending
from hoosh.errors import InvalidRequest, UpstreamBroke, UpstreamError
from hoosh.values import CallKind, FormPart, SpeechRequest, TranscriptionRequest, Usage

OPENAI, WHISPER, PIPER, XAI = (audio_dialect(name) for name in ("openai", "whisper", "piper", "grok"))
FILE = FormPart("file", b"RIFF", "a.wav", "audio/wav")


def ask(*fields, kind=CallKind.TRANSCRIPTION, **settings):
    parts = (*(FormPart(name, value.encode()) for name, value in fields), FILE)
    return TranscriptionRequest(kind, "asked", FILE, parts, **settings)


def say(text="salam", **fields):
    raw = {
        name: msgspec.Raw(msgspec.json.encode(value)) for name, value in {"model": "m", "input": text, **fields}.items()
    }
    known = {name: fields[name] for name in ("voice", "response_format", "speed", "events") if name in fields}
    return SpeechRequest("m", text, raw, **known)


def sent(outgoing):
    [(_, kind)] = [header for header in outgoing.headers if header[0] == b"content-type"]
    return [(part.name, part.text) for part in parse_form(outgoing.body, boundary_of(kind))]


def decoded(dialect, request, body, media_type="application/json"):
    return dialect.decode_transcription(request, media_type, body, provider="p")


def wav(samples=b"\1\2\3\4", rate=22050, size=None, extra=b""):
    fmt = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    size = len(samples) if size is None else size
    chunks = b"fmt " + struct.pack("<I", 16) + fmt + extra + b"data" + struct.pack("<I", size) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


# -- openai ------------------------------------------------------------------------------------------------------


def test_openai_gets_the_clients_form_with_its_own_model():
    request = ask(("language", "fa"), ("model", "asked"), ("x[]", "1"), ("x[]", "2"))
    [outgoing] = OPENAI.encode_transcription(request, model="whisper-1")
    assert outgoing.path == "/v1/audio/transcriptions"
    expected = [("language", "fa"), ("model", "whisper-1"), ("x[]", "1"), ("x[]", "2"), ("file", "RIFF")]
    assert sent(outgoing) == expected
    [outgoing] = OPENAI.encode_transcription(ask(kind=CallKind.TRANSLATION), model="w")
    assert (outgoing.path, sent(outgoing)[0]) == ("/v1/audio/translations", ("model", "w"))


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            b'{"input_tokens":7,"output_tokens":3,"input_token_details":{"audio_tokens":5}}',
            Usage(7, 3, audio_prompt_tokens=5),
        ),
        (b'{"prompt_tokens":7,"completion_tokens":3,"prompt_audio_seconds":4}', Usage(7, 3, audio_ms=4000)),
        (b'{"type":"duration","seconds":4.25}', Usage(audio_ms=4250)),
        (b'{"type":"duration","seconds":-1}', None),
        (b'{"type":"duration","seconds":1e300}', None),
        (b'{"input_tokens":"7","output_tokens":-1,"input_token_details":[]}', None),
        (b"null", None),
    ],
)  # fmt: skip
def test_an_answer_goes_through_and_its_tokens_are_counted(usage, expected):
    body = b'{ "text": "salam", "usage": %b }' % usage
    reply = decoded(OPENAI, ask(), body)
    assert (reply.body, reply.media_type, reply.usage) == (body, "application/json", expected)


@pytest.mark.parametrize(
    ("form", "body", "media_type", "told", "told_type"),
    [
        ("text", b"salam\n", "text/plain", b"salam\n", "text/plain; charset=utf-8"),
        ("text", b'{"text":"salam"}', "application/json", b"salam\n", "text/plain; charset=utf-8"),
        ("srt", b"1\n00:00", "", b"1\n00:00", "text/plain; charset=utf-8"),
        ("vtt", b"WEBVTT", "text/plain", b"WEBVTT", "text/vtt; charset=utf-8"),
    ],
)
def test_texts_go_through(form, body, media_type, told, told_type):
    reply = decoded(OPENAI, ask(response_format=form), body, media_type)
    assert (reply.body, reply.media_type) == (told, told_type)


@pytest.mark.parametrize("dialect", [OPENAI, WHISPER])
@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("json", b"<html>"),
        ("json", b"[]"),
        ("json", b""),
        ("json", b"[" * 5000),
        ("verbose_json", b"salam"),
        ("srt", b"<html>"),
    ],
)
def test_what_is_no_transcript_does_not_pass_for_one(dialect, form, body):
    with pytest.raises(UpstreamBroke):
        decoded(dialect, ask(response_format=form), body, "text/html")


def test_an_error_under_200_is_an_error():
    with pytest.raises(UpstreamError, match="no voice"):
        decoded(OPENAI, ask(), b'{"error":"no voice"}')


def test_speech_goes_out_as_it_came_with_its_own_model():
    [outgoing] = OPENAI.encode_speech(say(speed=1.0, voice={"id": "v"}), model="tts")
    assert outgoing.path == "/v1/audio/speech"
    assert outgoing.body == b'{"model":"tts","input":"salam","speed":1.0,"voice":{"id":"v"}}'


def test_mistrals_wrapped_sound_is_unwrapped():
    body = msgspec.json.encode({"audio_data": base64.b64encode(b"ID3sound").decode()})
    assert OPENAI.wraps_speech(say(), "application/json")
    reply = OPENAI.decode_speech(say(), "application/json", body, provider="p")
    assert (reply.body, reply.media_type) == (b"ID3sound", "audio/mpeg")


@pytest.mark.parametrize(
    "body", [b"{}", b'{"audio_data":7}', b'{"audio_data":"\xc3\xa4"}', b'{"audio_data":"A"}', b"x"]
)
def test_a_wrapping_without_sound_is_broken(body):
    with pytest.raises(UpstreamBroke):
        OPENAI.decode_speech(say(), "application/json", body, provider="p")


@pytest.mark.parametrize(
    ("label", "first", "asked", "expected"),
    [
        ("audio/mpeg", b"\xff\xf3..", None, "audio/mpeg"),
        ("audio/L16; rate=24000", b"..", "pcm", "audio/L16; rate=24000"),
        ("text/html", wav(), "wav", "audio/wav"),
        ("application/octet-stream", b"OggS", "opus", "audio/ogg"),
        ("application/octet-stream", b"\0\1\2\3", "pcm", "audio/pcm"),
        ("", b"\0\1\2\3", None, "audio/mpeg"),
        ("text/event-stream", b"data: {}", None, "text/event-stream"),
        ("text/html", b"<html>", None, None),
        ("text/plain", b"sorry", None, None),
        ("", b'{"error":1}', None, None),
        ("", b"", None, None),
    ],
)
def test_sound_is_known_by_label_then_beginning_then_wish(label, first, asked, expected):
    assert speech_type(asked, label, first) == expected


@pytest.mark.parametrize(
    ("label", "first", "expected"),
    [
        ("audio/wav", b"\xff\xf3\xc4\0" + bytes(8), "audio/mpeg"),
        ("audio/mpeg", wav(), "audio/wav"),
        ("audio/x-wav; codecs=1", wav(), "audio/x-wav; codecs=1"),  # another name of the same
        ("audio/opus", b"OggS" + bytes(8), "audio/opus"),
        ("audio/L16; rate=24000", b"\xff\xfb\0\1" + bytes(8), "audio/L16; rate=24000"),  # samples may be anything
        ("audio/pcm", wav(), "audio/wav"),
        ("audio/mpeg", b"\0\1\2\3" + bytes(8), "audio/mpeg"),
        ("audio/mpeg", b"", "audio/mpeg"),
        ("audio/mpeg", b'{"error": "out of memory"}', None),
        ("audio/wav", b"<!doctype html>", None),
    ],
)
def test_the_bytes_decide_what_a_sound_is_called(label, first, expected):
    assert speech_type("mp3", label, first) == expected


# -- streams -----------------------------------------------------------------------------------------------------

DELTA = b'data: {"type":"transcript.text.delta","delta":"sa"}\r\n\r\n'
DONE = b'data: {"type":"transcript.text.done","text":"salam","usage":{"input_tokens":7,"output_tokens":3}}\r\n\r\n'
END = b"data: [DONE]\r\n\r\n"


def tapped(*pieces):
    tap = TranscriptTap(provider="p")
    told = b"".join(tap.feed(piece) for piece in pieces)
    rest, ending = tap.close()
    return told + rest, ending, tap


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_a_stream_goes_through_however_it_is_cut(newline):
    wire = (DELTA + DONE + END).replace(b"\r\n", newline)
    for cut in range(len(wire) + 1):
        told, ending, tap = tapped(wire[:cut], wire[cut:])
        assert (told, ending, tap.usage, tap.terminated) == (DELTA + DONE, Ending.COMPLETE, Usage(7, 3), True)


@pytest.mark.parametrize(
    ("wire", "told", "ending"),
    [
        (DELTA + DONE, DELTA + DONE, Ending.COMPLETE),
        (DELTA, DELTA, Ending.CUT),
        (DELTA + DONE[:30], DELTA, Ending.FAILED),
        (b"", b"", Ending.CUT),
        (DELTA + b'data: {"error":{"message":"no"}}\n\n' + END, DELTA, Ending.FAILED),
        (DELTA + b'event: error\ndata: {"message":"no"}\n\n', DELTA, Ending.FAILED),
        (DELTA + b"data: <html>\n\n" + DONE, DELTA, Ending.FAILED),
        (b"data: " + b"x" * 5_000_000, b"", Ending.FAILED),
        (b": hi\n\n" + DONE, DONE, Ending.COMPLETE),
    ],
)
def test_only_what_ended_is_whole(wire, told, ending):
    assert tapped(wire)[:2] == (told, ending)


def test_mistrals_events_are_told_in_openais_words():
    wire = (
        b'event: transcription.text.delta\ndata: {"type":"transcription.text.delta","text":"sa"}\n\n'
        b'event: transcription.done\ndata: {"type":"transcription.done","text":"salam","usage":{"prompt_tokens":2}}\n\n'
    )
    told, ending, tap = tapped(wire)
    events = [msgspec.json.decode(event[6:]) for event in told.split(b"\r\n\r\n")[:-1]]
    assert [(event["type"], event.get("delta")) for event in events] == [
        ("transcript.text.delta", "sa"), ("transcript.text.done", None),
    ]  # fmt: skip
    assert (ending, tap.usage) == (Ending.COMPLETE, Usage(2, 0))


def test_a_whole_answer_is_told_as_a_stream():
    told = told_as_stream(b'{"text":"salam","usage":{"type":"duration","seconds":4}}', provider="p")
    tap = TranscriptTap(provider="p")
    assert tap.feed(told) == told
    assert tap.close() == (b"", Ending.COMPLETE)
    assert b'"seconds":4' in told
    with pytest.raises(UpstreamBroke):
        told_as_stream(b'{"text":7}', provider="p")


# -- whisper -----------------------------------------------------------------------------------------------------


def test_whisper_is_asked_in_its_own_words():
    request = ask(("model", "m"), ("stream", "false"), ("temperature_inc", "0.2"), ("chunking_strategy", "auto"))
    first, second = WHISPER.encode_transcription(request, model="m")
    assert (first.path, second.path) == ("/inference", "/v1/audio/transcriptions")
    expected = [("file", "RIFF"), ("response_format", "json"), ("language", "auto"), ("temperature_inc", "0.2")]
    assert sent(first) == sent(second) == expected
    request = ask(kind=CallKind.TRANSLATION, response_format="verbose_json", language="fa", prompt="p", temperature="0")
    assert sent(WHISPER.encode_transcription(request, model="m")[0])[1:] == [
        ("response_format", "verbose_json"), ("language", "fa"), ("prompt", "p"), ("temperature", "0"),
        ("translate", "true"), ("no_language_probabilities", "true"),
    ]  # fmt: skip
    assert ("response_format", "json") in sent(
        WHISPER.encode_transcription(ask(response_format="srt", stream=True), model="m")[0]
    )


@pytest.mark.parametrize(
    ("request_", "param"),
    [(ask(response_format="diarized_json"), "response_format"), (ask(("include[]", "logprobs")), "include")],
)
def test_what_whisper_cannot_do_is_refused(request_, param):
    with pytest.raises(InvalidRequest) as caught:
        WHISPER.encode_transcription(request_, model="m")
    assert caught.value.param == param


def test_whispers_text_is_trimmed():
    body = b'{"text":" Ask not what,\\n ask what.\\n"}'
    assert decoded(WHISPER, ask(), body).body == b'{"text":"Ask not what, ask what."}'
    reply = decoded(WHISPER, ask(response_format="text"), b" Ask not what,\n ask what.\n", "text/html")
    assert (reply.body, reply.media_type) == (b"Ask not what, ask what.\n", "text/plain; charset=utf-8")
    reply = decoded(WHISPER, ask(response_format="vtt"), b"WEBVTT\n\n", "text/vtt")
    assert (reply.body, reply.media_type) == (b"WEBVTT\n\n", "text/vtt; charset=utf-8")


def piece(word, start, end):
    return {"word": word, "start": start, "end": end, "t_dtw": -1, "probability": 0.9}


VERBOSE = {
    "task": "transcribe",
    "language": "english",
    "duration": 3.2,
    "text": " Ask not. Why?\n",
    "segments": [
        {"id": 0, "text": " Ask not.", "start": 0.0, "end": 1.0, "tokens": [1, 2], "temperature": 0.0,
         "avg_logprob": -0.1, "no_speech_prob": 0.01,
         "words": [piece(" Ask", 0, 0.4), piece(" not", 0.4, 0.9), piece(".", 0.9, 1.0)]},
        {"id": 1, "text": " Why?", "start": 1.0, "end": 3.2, "words": [piece(" Why", 1, 2), piece("?", 2, 3)]},
    ],
}  # fmt: skip


def test_whispers_verbose_answer_takes_openais_shape():
    request = ask(response_format="verbose_json", granularities=("word", "segment"))
    told = msgspec.json.decode(decoded(WHISPER, request, msgspec.json.encode(VERBOSE)).body)
    assert {name: told[name] for name in ("task", "language", "duration", "text", "usage")} == {
        "task": "transcribe", "language": "english", "duration": 3.2, "text": "Ask not. Why?",
        "usage": {"type": "duration", "seconds": 4},
    }  # fmt: skip
    assert [(word["word"], word["start"], word["end"]) for word in told["words"]][:2] == [
        ("Ask", 0, 0.4),
        ("not.", 0.4, 1.0),
    ]
    segment = told["segments"][0]
    assert set(segment) == {
        "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio",
        "no_speech_prob",
    }  # fmt: skip
    assert 0 < segment["compression_ratio"] < 2
    only = msgspec.json.decode(decoded(WHISPER, ask(response_format="verbose_json"), msgspec.json.encode(VERBOSE)).body)
    assert "words" not in only
    assert len(only["segments"]) == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"text": "x", "segments": [7, None, {"words": [7, {"word": 7}], "start": "a", "id": "b"}], "duration": "long"},
        {"text": "x\ud800", "segments": {"a": 1}, "duration": 1e300, "language": ["x"]},
        {"text": "", "segments": [{"text": "x", "word": [piece("x", None, True)], "end": 10**30}]},
    ],
)
def test_hostile_verbose_answers_are_survived(answer):
    import json

    request = ask(response_format="verbose_json", granularities=("word", "segment"))
    try:
        decoded(WHISPER, request, json.dumps(answer).encode())
    except UpstreamBroke:
        pass


# -- piper -------------------------------------------------------------------------------------------------------


def test_piper_is_asked_three_ways():
    ways = PIPER.encode_speech(
        say("salam donya", speed=2.0, voice="fa_IR-x", response_format="wav", speaker_id=3), model="m"
    )
    assert [(way.method, way.path) for way in ways] == [
        ("POST", "/synthesize"),
        ("GET", "/?text=salam+donya"),
        ("POST", "/"),
    ]
    assert msgspec.json.decode(ways[0].body) == {
        "text": "salam donya", "voice": "fa_IR-x", "length_scale": 0.5, "speaker_id": 3,
    }  # fmt: skip
    assert ways[0].body == ways[2].body
    assert msgspec.json.decode(PIPER.encode_speech(say(voice="alloy"), model="m")[0].body) == {"text": "salam"}


@pytest.mark.parametrize(
    ("request_", "param"),
    [(say(response_format="mp3"), "response_format"), (say(" "), "input"), (say(events=True), "stream_format")],
)
def test_what_piper_cannot_do_is_refused(request_, param):
    with pytest.raises(InvalidRequest) as caught:
        PIPER.encode_speech(request_, model="m")
    assert caught.value.param == param


def test_pipers_wav_is_known_by_its_bytes():
    reply = PIPER.decode_speech(say(), "text/html", wav(), provider="p")
    assert (reply.body, reply.media_type) == (wav(), "audio/wav")
    reply = PIPER.decode_speech(say(response_format="pcm"), "text/html", wav(rate=16000), provider="p")
    assert (reply.body, reply.media_type) == (b"\1\2\3\4", "audio/pcm; rate=16000; channels=1")
    for page in (b"<!doctype html>", b"", b"RIFF", wav()[:30]):
        with pytest.raises(UpstreamBroke):
            PIPER.decode_speech(say(), "text/html", page, provider="p")


def test_a_wavs_samples_are_found():
    assert wav_format(wav(extra=b"LIST" + struct.pack("<I", 3) + b"abc\0")).start == 12 + 24 + 12 + 8
    assert wav_format(wav(size=0xFFFFFFFF)).end == len(wav())
    assert wav_format(wav(size=2)).end == len(wav()) - 2
    assert wav_format(b"RIFF\0\0\0\0WAVEdata\0\0\0\0") is None


def test_types_without_sound_have_no_dialect():
    assert [audio_dialect(name) for name in ("anthropic", "google", "ollama")] == [None] * 3
    assert audio_dialect("groq") is OPENAI
    with pytest.raises(InvalidRequest):
        WHISPER.encode_speech(say(), model="m")
    with pytest.raises(InvalidRequest):
        PIPER.encode_transcription(ask(), model="m")


# -- xai -----------------------------------------------------------------------------------------------------------

XAI_SAID = {
    "text": "Hello there. Hi!",
    "language": "en",
    "duration": 3.2,
    "words": [
        {"text": "Hello", "start": 0.1, "end": 0.4, "speaker": 0},
        {"text": "there.", "start": 0.5, "end": 1.0, "speaker": 0},
        {"text": "Hi!", "start": 3661.5, "end": 3662.25, "speaker": 1},
    ],
}


def xai_told(**settings):
    return decoded(XAI, ask(**settings), msgspec.json.encode(XAI_SAID))


def test_xai_gets_the_file_last_and_its_own_words():
    request = ask(("model", "m"), ("format", "true"), ("keywords[]", "hoosh"), ("prompt", "x"), language="en")
    [outgoing] = XAI.encode_transcription(request, model="grok-voice-transcribe-2.0")
    assert outgoing.path == "/v1/stt"
    assert sent(outgoing) == [
        ("model", "grok-voice-transcribe-2.0"), ("language", "en"), ("format", "true"), ("keyterm", "hoosh"),
        ("file", "RIFF"),
    ]  # fmt: skip
    [outgoing] = XAI.encode_transcription(ask(response_format="diarized_json"), model="whisper-1")
    assert sent(outgoing) == [("diarize", "true"), ("file", "RIFF")]


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (ask(kind=CallKind.TRANSLATION), "model"),
        (ask(response_format="xml"), "response_format"),
        (ask(("known_speaker_names[]", "a")), "known_speaker_names"),
    ],
)
def test_what_xai_cannot_do_is_refused(request_, param):
    with pytest.raises(InvalidRequest) as caught:
        XAI.encode_transcription(request_, model="m")
    assert caught.value.param == param


def test_xais_words_become_whatever_was_asked_for():
    usage = {"type": "duration", "seconds": 4}
    assert msgspec.json.decode(xai_told().body) == {"text": "Hello there. Hi!", "usage": usage}
    assert xai_told(response_format="text").body == b"Hello there. Hi!\n"
    assert xai_told(response_format="srt").body == (
        b"1\n00:00:00,100 --> 00:00:01,000\nHello there.\n\n2\n01:01:01,500 --> 01:01:02,250\nHi!\n"
    )
    assert xai_told(response_format="vtt").body.startswith(b"WEBVTT\n\n00:00:00.100 --> 00:00:01.000\nHello there.\n\n")
    verbose = msgspec.json.decode(xai_told(response_format="verbose_json", granularities=("word", "segment")).body)
    assert (verbose["language"], verbose["duration"], verbose["usage"]) == ("en", 3.2, usage)
    assert [word["word"] for word in verbose["words"]] == ["Hello", "there.", "Hi!"]
    assert [segment["text"] for segment in verbose["segments"]] == ["Hello there.", "Hi!"]
    diarized = msgspec.json.decode(xai_told(response_format="diarized_json").body)
    assert [(one["speaker"], one["text"]) for one in diarized["segments"]] == [("A", "Hello there."), ("B", "Hi!")]
    told, ending, _ = tapped(told_as_stream(xai_told(response_format="diarized_json", stream=True).body, provider="p"))
    assert (told.count(b"transcript.text.segment"), ending) == (2, Ending.COMPLETE)


@pytest.mark.parametrize("words", [7, [7, {"text": 7}, {"text": "x", "start": "a", "end": -1, "speaker": "b"}], None])
def test_hostile_words_are_survived(words):
    for form in ("json", "srt", "verbose_json", "diarized_json"):
        body = msgspec.json.encode({"text": "x", "words": words, "duration": 1e300, "language": []})
        assert decoded(XAI, ask(response_format=form, granularities=("word",)), body).body


def test_xai_is_told_what_to_say():
    [outgoing] = XAI.encode_speech(say("salam", voice="eve", speed=1.2, response_format="pcm"), model="m")
    assert outgoing.path == "/v1/tts"
    assert msgspec.json.decode(outgoing.body) == {
        "text": "salam", "language": "auto", "output_format": {"codec": "pcm", "sample_rate": 24000}, "voice_id": "eve",
        "speed": 1.2,
    }  # fmt: skip
    [outgoing] = XAI.encode_speech(say("salam", voice="alloy", language="fa"), model="m")
    assert msgspec.json.decode(outgoing.body) == {"text": "salam", "language": "fa", "output_format": {"codec": "mp3"}}
    for wrong in (say(response_format="opus"), say(events=True)):
        with pytest.raises(InvalidRequest):
            XAI.encode_speech(wrong, model="m")
