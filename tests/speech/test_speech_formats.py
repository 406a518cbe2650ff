"""A transcript in OpenAI's forms, subtitles, languages, words, and the frames between gateway and child."""

from __future__ import annotations

import json

import pytest

from hoosh.errors import InvalidRequest
from hoosh.speech import (
    FORMATS,
    STREAM_END,
    Segment,
    Transcript,
    TranscriptOptions,
    Word,
    check_format,
    delta_event,
    done_event,
    render,
)
from hoosh.speech.frames import (
    MAX_FRAME_BYTES,
    ORDERS,
    TOLD,
    Abort,
    Begin,
    BrokenFrame,
    Ended,
    FrameDecoder,
    Heard,
    Load,
    Loaded,
    Opened,
    Progress,
    Stopped,
    frame,
)
from hoosh.speech.languages import LANGUAGES, language_code, language_name
from hoosh.speech.transcript import join_pieces
from hoosh.values.cues import Cue, srt, vtt

SEGMENTS = (
    Segment(" Guten Tag,", 0.0, 2.0, (50364, 1), -0.25, (Word("Guten", 0.0, 1.0), Word("Tag,", 1.0, 2.0))),
    Segment(" liebe Könige.", 3661.5, 3662.0),
)
TRANSCRIPT = Transcript("de", 3700.2, SEGMENTS, TranscriptOptions(temperature=0.5))
USAGE = {"type": "duration", "seconds": 3701}


def told(form: str, *granularities: str) -> dict:
    body, media_type = render(TRANSCRIPT, form, granularities)
    assert media_type == "application/json"
    return json.loads(body)


def test_json_is_the_text_and_what_it_used():
    assert told("json") == {"text": "Guten Tag, liebe Könige.", "usage": USAGE}


def test_text_is_the_text():
    assert render(TRANSCRIPT, "text") == ("Guten Tag, liebe Könige.\n".encode(), "text/plain; charset=utf-8")


def test_verbose_json_has_what_openai_requires():
    verbose = told("verbose_json")
    assert {name: verbose[name] for name in verbose if name != "segments"} == {
        "task": "transcribe",
        "language": "german",
        "duration": 3700.2,
        "text": "Guten Tag, liebe Könige.",
        "usage": USAGE,
    }
    first, second = verbose["segments"]
    assert (first["id"], first["start"], first["end"], first["tokens"]) == (0, 0.0, 2.0, [50364, 1])
    assert (first["temperature"], first["avg_logprob"], second["avg_logprob"]) == (0.5, -0.25, 0.0)
    required = {"id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio"}
    assert first.keys() == required | {"no_speech_prob"}


def test_words_are_told_where_they_are_asked_for():
    assert told("verbose_json", "word").keys() == {"task", "language", "duration", "text", "words", "usage"}
    assert told("verbose_json", "word", "segment")["words"][1] == {"word": "Tag,", "start": 1.0, "end": 2.0}


def test_subtitles_count_and_keep_time():
    body, media_type = render(TRANSCRIPT, "srt")
    assert body.decode() == (
        "1\n00:00:00,000 --> 00:00:02,000\nGuten Tag,\n\n2\n01:01:01,500 --> 01:01:02,000\nliebe Könige.\n"
    )
    assert media_type == "application/x-subrip; charset=utf-8"
    body, media_type = render(TRANSCRIPT, "vtt")
    assert body.decode().startswith("WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nGuten Tag,\n\n01:01:01.500 --> ")
    assert media_type == "text/vtt; charset=utf-8"


def test_nothing_said_looks_like_the_end_of_a_cue():
    cue = Cue("one\n\n2\n00:00:01.000 --> 00:00:02.000\ntwo", 0.0, 1.0)
    assert srt([cue]).count("-->") == vtt([cue]).count("-->") == 1
    assert srt([cue]).count("\n\n") == 0
    assert (srt([]), vtt([])) == ("", "WEBVTT\n")


def test_a_form_that_is_unknown_is_refused():
    for form in FORMATS:
        check_format(form)
    with pytest.raises(InvalidRequest, match="diarized_json") as caught:
        render(TRANSCRIPT, "diarized_json")
    assert caught.value.param == "response_format"


def test_the_deltas_of_a_stream_make_up_its_text():
    stream = b"".join(delta_event(one, is_first=not number) for number, one in enumerate(SEGMENTS))
    stream += done_event(TRANSCRIPT) + STREAM_END
    *events, end, rest = stream.decode().split("\r\n\r\n")
    assert (end, rest) == ("data: [DONE]", "")
    *deltas, done = [json.loads(event.removeprefix("data: ")) for event in events]
    assert [delta["type"] for delta in deltas] == ["transcript.text.delta"] * 2
    text = "".join(delta["delta"] for delta in deltas)
    assert done == {"type": "transcript.text.done", "text": text, "usage": USAGE}


# -- languages and words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        *[("de", "de"), ("German", "de"), ("de-AT", "de"), ("zh_TW", "zh"), ("haw", "haw"), ("haitian creole", "ht")],
        *[(None, None), ("", None), ("auto", None), (" EN ", "en")],
    ],
)
def test_a_language_is_named_by_code_or_name(asked, code):
    assert language_code(asked) == code


@pytest.mark.parametrize("asked", ["klingon", "xx", "-", "de\0", "x" * 1000])
def test_a_language_that_nobody_knows_is_refused(asked):
    with pytest.raises(InvalidRequest) as caught:
        language_code(asked)
    assert (caught.value.param, len(str(caught.value)) < 200) == ("language", True)


def test_the_languages_are_those_of_the_library():
    native = pytest.importorskip("_pywhispercpp")
    assert list(LANGUAGES) == [native.whisper_lang_str(number) for number in range(native.whisper_lang_max_id() + 1)]
    assert (language_name("de"), language_name(None)) == ("german", "")


def test_pieces_become_words():
    pieces = [(b" Gu", 0.0, 1.0), (b"ten", 1.0, 2.0), (b" K\xc3", 2.0, 3.0), (b"\xb6nig", 3.0, 4.0), (b".", 4.0, 5.0)]
    assert join_pieces(pieces) == (Word("Guten", 0.0, 2.0), Word("König.", 2.0, 5.0))


def test_writing_without_blanks_is_cut_at_its_pieces():
    half = "日本".encode()
    assert join_pieces([(half[:4], 0.0, 1.0), (half[4:], 1.0, 2.0), ("語".encode(), 2.0, 3.0)]) == (
        Word("日本", 0.0, 2.0),
        Word("語", 2.0, 3.0),
    )


def test_pieces_that_never_become_a_character_hide_no_word():
    assert [word.text for word in join_pieces([(b" a\xff", 0.0, 1.0), (b" b", 1.0, 2.0)])] == ["a\ufffd", "b"]


# -- frames ------------------------------------------------------------------------------------------------------------

SAID = [
    Loaded(1),
    Opened(None),
    Progress(1.5, "de", 2),
    *map(Heard, SEGMENTS),
    Ended(3.0, None, 4),
    Stopped(),
]
ASKED = [Load("/m.bin", 2), Begin("/a.wav", TranscriptOptions(language="de", words=True), 60.0), Abort()]


@pytest.mark.parametrize(("messages", "decoder"), [(SAID, TOLD), (ASKED, ORDERS)], ids=["told", "orders"])
def test_frames_cut_at_any_byte_say_the_same(messages, decoder):
    data = b"".join(map(frame, messages))
    for cut in range(len(data) + 1):
        frames = FrameDecoder(decoder)
        assert frames.feed(data[:cut]) + frames.feed(data[cut:]) == messages


@pytest.mark.parametrize(
    "data",
    [(MAX_FRAME_BYTES + 1).to_bytes(4, "big"), b"\0\0\0\1\xc1", b"\0\0\0\0", frame(Abort()), b"HTTP/1.1 200 OK\r\n"],
)
def test_what_is_no_frame_of_the_childs_is_broken(data):
    with pytest.raises(BrokenFrame):
        FrameDecoder(TOLD).feed(data)
