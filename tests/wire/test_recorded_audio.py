"""Recorded sound traffic, replayed behind the gateway: the recorded request goes in, the recorded answer comes out."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from recordings import WIRE

from hoosh.codec.multipart import boundary_of, parse_form
from hoosh.config import Config, Discovery, Logging, Provider
from hoosh.dialects.audio import TranscriptTap, audio_dialect
from hoosh.dialects.contract import Ending
from hoosh.http.message import HttpRequest, RequestHead
from hoosh.testing.forms import read_transcription
from hoosh.testing.house import BODY_BYTES, GATEWAY, ONE_TRY, PATIENCE, memory_house
from hoosh.testing.upstream import Body, End, FakeUpstream, Head
from hoosh.values import CallKind

TYPES = {"xai": "grok", "whispercpp": "whisper"}
PATHS = {"transcriptions": "/v1/audio/transcriptions", "speech": "/v1/audio/speech"}
FORMATS = {"doc-text": "text", "doc-vtt": "vtt", "doc-verbose-json": "verbose_json"}


class Recorded:
    def __init__(self, meta_path: Path, meta: dict) -> None:
        self.name = f"{meta_path.parent.name}/{meta_path.name.removesuffix('.meta.json')}"
        self.type = TYPES.get(meta_path.parent.name, meta_path.parent.name)
        self.kind, self.status, self.streaming = meta["kind"], meta["status"], meta["streaming"]
        self.media_type = (meta.get("response_headers") or {}).get("content-type", "")
        self.request_type = (meta.get("request_headers") or {}).get("content-type", "").encode()
        files = {role: (meta_path.parent / name).read_bytes() for role, name in meta["files"].items()}
        self.request, self.response = files.get("request"), files["response"]
        self.form = next((form for mark, form in FORMATS.items() if mark in self.name), "json")

    def asked(self) -> tuple[bytes, bytes]:
        """Content type and body: as recorded, or, where nobody kept it, as it must have been."""
        if self.request is not None:
            return self.request_type, self.request
        head = b'--B\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        fields = head % (b"file", b'; filename="a.wav"', b"RIFF") + head % (b"response_format", b"", self.form.encode())
        return b"multipart/form-data; boundary=B", fields + b"--B--\r\n"


def recorded() -> list[Recorded]:
    found = []
    for meta_path in sorted(WIRE.glob("*/*/*.meta.json")):
        meta = json.loads(meta_path.read_text())
        if meta["kind"] in PATHS:
            found.append(Recorded(meta_path, meta))
    return found


RECORDED = recorded()
pytestmark = pytest.mark.skipif(not RECORDED, reason="no recordings here")


@pytest.mark.parametrize("one", RECORDED, ids=lambda one: one.name)
async def test_a_recorded_exchange_goes_through(one):  # some lie on the disk for a while: no clock that jumps
    upstream = FakeUpstream([Head(one.status, [(b"content-type", one.media_type.encode())]), Body(one.response), End()])
    # llama.cpp has no such path for us to ask; its recorded refusal is what a server of that surface says.
    type_ = "openai-compatible" if one.type == "llamacpp" else one.type
    provider = Provider(type=type_, name="mock", base_url="http://mock:80")
    config = Config(
        providers=(provider,),
        discovery=Discovery(local=False, environment=False),
        logging=Logging(level="error"),
        **ONE_TRY,
    )
    async with memory_house(config) as house:
        house.network.listen("mock:80", upstream.serve_wire)
        content_type, body = one.asked()
        request = HttpRequest(RequestHead(GATEWAY, "POST", PATHS[one.kind], [(b"content-type", content_type)]), body)
        async with house.client.exchange(request, PATIENCE) as response:
            answer = await response.read(BODY_BYTES)
    [sent] = upstream.requests
    _same_was_asked(one, sent, body, content_type)
    if one.type == "grok":
        assert msgspec.json.decode(answer)["text"] == msgspec.json.decode(one.response)["text"]
        return
    if one.status >= 400:
        assert response.status == (502 if one.status >= 500 else one.status)
        assert msgspec.json.decode(answer)["error"]["message"] in one.response.decode()
        return
    assert response.status == 200
    if one.type == "whisper":
        _whisper_was_told(one, answer)
    elif one.streaming:
        assert answer == one.response.replace(b"data: [DONE]\r\n\r\n", b"data: [DONE]\n\n")
    elif one.kind == "speech":
        assert response.headers.text(b"content-type") == "audio/mpeg"
        assert answer[:3] in (b"ID3", b"\xff\xf3\xc4")
        assert len(answer) > 20_000
    else:
        assert answer == one.response


def _same_was_asked(one, sent, body, content_type):
    if one.kind == "speech":
        assert msgspec.json.decode(sent.body) == msgspec.json.decode(body)
        return
    ours = parse_form(sent.body, boundary_of(sent.headers.get(b"content-type")))
    said = {part.name: (bytes(part.data), part.filename) for part in ours}
    for part in parse_form(body, boundary_of(content_type)):
        assert said[part.name] == (bytes(part.data), part.filename)


def _whisper_was_told(one, answer):
    if one.form in ("text", "vtt"):
        assert answer.strip() == one.response.strip()
        return
    told, raw = msgspec.json.decode(answer), msgspec.json.decode(one.response)
    assert told["text"] == " ".join(raw["text"].split())
    if one.form == "verbose_json":
        assert (told["language"], told["duration"]) == (raw["language"], raw["duration"])
        assert [segment["end"] for segment in told["segments"]] == [segment["end"] for segment in raw["segments"]]


STREAMED = [one for one in RECORDED if one.streaming]


@pytest.mark.parametrize("one", STREAMED, ids=lambda one: one.name)
@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_a_recorded_stream_reads_the_same_wherever_it_is_cut(one, newline):
    wire = one.response.replace(b"\r\n", b"\n").replace(b"\n", newline)
    whole = None
    for cut in range(len(wire) + 1):
        tap = TranscriptTap(provider="p")
        told = tap.feed(wire[:cut]) + tap.feed(wire[cut:])
        rest, ending = tap.close()
        whole = whole or (told + rest, tap.usage, tap.chunks)
        assert (told + rest, tap.usage, tap.chunks, ending) == (*whole, Ending.COMPLETE)
    assert whole[1].prompt_tokens > 0


def test_recorded_words_are_laid_beside_their_segments():
    [one] = [one for one in RECORDED if one.form == "verbose_json" and one.type == "whisper"]
    fields = b'--B\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    body = fields % (b"file", b"x") + fields % (b"response_format", b"verbose_json")
    body += fields % (b"timestamp_granularities[]", b"word") + b"--B--"
    request = read_transcription(CallKind.TRANSCRIPTION, b"multipart/form-data; boundary=B", "", body)
    reply = audio_dialect("whisper").decode_transcription(request, one.media_type, one.response, provider="p")
    told = msgspec.json.decode(reply.body)
    assert [word["word"] for word in told["words"]] == ["Ask", "not."]
    assert "segments" not in told


def test_recorded_speakers_are_told_as_segments():
    [one] = [one for one in RECORDED if one.type == "grok"]
    fields = b'--B\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    body = fields % (b"file", b"x") + fields % (b"response_format", b"diarized_json") + b"--B--"
    request = read_transcription(CallKind.TRANSCRIPTION, b"multipart/form-data; boundary=B", "", body)
    reply = audio_dialect("grok").decode_transcription(request, one.media_type, one.response, provider="p")
    told, raw = msgspec.json.decode(reply.body), msgspec.json.decode(one.response)
    assert " ".join(segment["text"] for segment in told["segments"]) == raw["text"]
    assert {segment["speaker"] for segment in told["segments"]} == {"A"}
    assert told["segments"][-1]["end"] == raw["words"][-1]["end"]
