"""Sound through the whole house: forms and JSON in, transcripts and sound out, nothing cut passed off as whole."""

from __future__ import annotations

import struct
from pathlib import Path

import httpx
import msgspec
import pytest
import trio
from gateway_house import Key, config, house_with, records_of

from hoosh.codec.multipart import boundary_of, parse_form
from hoosh.config import Alias, Budget, PriceOverride, Retry, Storage
from hoosh.dialects.audio import AudioReply, InHouse
from hoosh.dialects.registry import upstream_dialect
from hoosh.errors import ConnectionBroke
from hoosh.http.message import Headers
from hoosh.routing import Route
from hoosh.testing.upstream import Body, Cut, End, FakeUpstream, Hang, Head, Pause, error_reply, json_reply
from hoosh.values import CallKind, ModelCard, Outcome, ProviderState
from hoosh.values.secret import Secret

TRANSCRIBE = "/v1/audio/transcriptions"
SPEAK = "/v1/audio/speech"
ASK = {"model": "tts-1", "input": "salam", "voice": "nova"}
MP3 = b"\xff\xf3\xc4" + bytes(5000)
SSE = b"text/event-stream; charset=utf-8"
DELTA = b'data: {"type":"transcript.text.delta","delta":"sa"}\r\n\r\n'
DONE = b'data: {"type":"transcript.text.done","text":"salam","usage":{"input_tokens":7,"output_tokens":3}}\r\n\r\n'
END = b"data: [DONE]\r\n\r\n"


def wav(samples=b"\1\2\3\4"):
    fmt = struct.pack("<HHIIHH", 1, 1, 22050, 44100, 2, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def form(data=None, file=b"RIFF....WAVE", **more):
    """Content type and body, as the official SDK writes them (it is httpx who does)."""
    data = {"model": "whisper-1", **(data or {}), **more}
    request = httpx.Request("POST", "http://h/", data=data, files={"file": ("a.wav", file, "audio/wav")})
    return [(b"content-type", request.headers["content-type"].encode())], request.read()


def of_type(type_, **settings):
    return config(provider={"type": type_}, **settings)


async def send(house, path, headers, body):
    """`house.post` names JSON as the type: here the type is in `headers`."""
    from hoosh.http.message import HttpRequest, RequestHead
    from hoosh.testing.house import BODY_BYTES, GATEWAY, PATIENCE

    request = HttpRequest(RequestHead(GATEWAY, "POST", path, headers), body)
    async with house.client.exchange(request, PATIENCE) as response:
        return response.status, response.headers, await response.read(BODY_BYTES)


def seen(request):
    boundary = boundary_of(request.headers.get(b"content-type"))
    return [(part.name, bytes(part.data)) for part in parse_form(request.body, boundary)]


def sound(*pieces, kind=b"audio/mpeg"):
    return [Head(200, [(b"content-type", kind)]), *map(Body, pieces), End()]


# -- speech to text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("task", ["transcriptions", "translations"])
async def test_a_form_goes_to_the_upstream_with_its_own_model(task, http2):  # a file on the disk: no clock that jumps
    upstream = FakeUpstream(json_reply({"text": "salam", "usage": {"input_tokens": 7, "output_tokens": 3}}))
    settings = config(models=(Alias(name="whisper-1", targets=("mock/big",)),))
    file = bytes(range(256)) * 20_000  # 5 MB, more than any window
    async with house_with(upstream, settings, http2=http2) as house:
        records = records_of(house)
        fields = {"language": "fa", "timestamp_granularities[]": ["word", "segment"]}
        status, headers, body = await send(house, f"/v1/audio/{task}", *form(fields, file))
    assert (status, msgspec.json.decode(body)["text"]) == (200, "salam")
    assert headers.text(b"content-type") == "application/json"
    assert headers.text(b"x-hoosh-model") == "big"
    [request] = upstream.requests
    assert request.target == f"/v1/audio/{task}"
    assert seen(request) == [
        ("model", b"big"), ("language", b"fa"), ("timestamp_granularities[]", b"word"),
        ("timestamp_granularities[]", b"segment"), ("file", file),
    ]  # fmt: skip
    [record] = records
    assert (record.kind, record.model, record.outcome) == (task.removesuffix("s"), "whisper-1", Outcome.OK)
    assert (record.usage.prompt_tokens, record.usage.completion_tokens) == (7, 3)


async def test_the_sound_may_be_the_body(autojump_clock):
    upstream = FakeUpstream(json_reply({"text": "salam"}))
    async with house_with(upstream) as house:
        headers = [(b"content-type", b"audio/wav")]
        status, _, _ = await send(house, "/v1/transcribe?model=w&language=de", headers, b"RIFF")
    assert status == 200
    assert seen(upstream.requests[0]) == [("model", b"w"), ("language", b"de"), ("file", b"RIFF")]


async def test_a_stream_of_events_goes_through(autojump_clock):
    script = [Head(200, [(b"content-type", SSE)]), Body(DELTA), Pause(25), Body(DONE + END), End()]
    async with house_with(FakeUpstream(script)) as house:
        records = records_of(house)
        status, headers, body = await send(house, TRANSCRIBE, *form(stream="true"))
    assert (status, headers.text(b"content-type")) == (200, SSE.decode())
    assert body.replace(b": keep-alive\n\n", b"") == DELTA + DONE + b"data: [DONE]\n\n"
    assert b": keep-alive" in body
    assert (records[0].usage.prompt_tokens, records[0].stream, records[0].chunks) == (7, True, 2)


async def test_a_stream_that_is_cut_does_not_look_whole(autojump_clock):
    script = [Head(200, [(b"content-type", SSE)]), Body(DELTA), Cut()]
    async with house_with(FakeUpstream(script)) as house:
        headers, body = form(stream="true")
        got = []
        with pytest.raises(ConnectionBroke):  # noqa: PT012
            from hoosh.http.message import HttpRequest, RequestHead
            from hoosh.testing.house import GATEWAY, PATIENCE

            request = HttpRequest(RequestHead(GATEWAY, "POST", TRANSCRIBE, headers), body)
            async with house.client.exchange(request, PATIENCE) as response:
                while piece := await response.receive():
                    got.append(piece)
    assert b"".join(got).startswith(DELTA)
    assert b'"error"' in b"".join(got)


async def test_an_upstream_that_ignores_stream_is_told_as_one(autojump_clock):
    for type_, answer in (("openai-compatible", {"text": "salam"}), ("whisper", {"text": " salam\n"})):
        async with house_with(FakeUpstream(json_reply(answer)), of_type(type_)) as house:
            status, headers, body = await send(house, TRANSCRIBE, *form(stream="true"))
        assert (status, headers.text(b"content-type")) == (200, SSE.decode())
        assert b'{"type":"transcript.text.done","text":"salam"}' in body
        assert body.endswith(b"data: [DONE]\n\n")


async def test_whisper_is_found_at_its_path_or_at_openais(autojump_clock):
    upstream = FakeUpstream(
        lambda got: json_reply({"text": " salam\n"}) if "v1" in got.target else error_reply(404, "?")
    )
    async with house_with(upstream, of_type("whisper")) as house:
        headers, body = form({"model": ""})
        status, headers, body = await send(house, TRANSCRIBE, headers, body)
    assert (status, body) == (200, b'{"text":"salam"}')
    assert [request.target for request in upstream.requests] == ["/inference", TRANSCRIBE]
    assert headers.text(b"x-hoosh-attempts") == "2"
    assert ("language", b"auto") in seen(upstream.requests[1])


async def test_each_of_two_models_at_one_upstream_is_asked_by_its_own_name(autojump_clock):
    upstream = FakeUpstream(error_reply(500), json_reply({"text": "x"}))
    alias = Alias(name="ears", targets=("mock/whisper-large", "mock/whisper-small"))
    async with house_with(upstream, config(models=(alias,), retry=Retry(max_retries=0, budget_ratio=1.0))) as house:
        assert (await send(house, TRANSCRIBE, *form(model="ears")))[0] == 200
    assert [dict(seen(request))["model"] for request in upstream.requests] == [b"whisper-large", b"whisper-small"]


async def test_an_upstreams_error_is_the_clients(autojump_clock):
    upstream = FakeUpstream(json_reply({"error": "failed to read audio"}, status=400))
    async with house_with(upstream, of_type("whisper")) as house:
        status, _, body = await send(house, TRANSCRIBE, *form())
    assert (status, msgspec.json.decode(body)["error"]["message"]) == (400, "failed to read audio")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ([(b"content-type", b"multipart/form-data; boundary=B")], b"--B--", 400),
        ([(b"content-type", b"multipart/form-data; boundary=B")], b"--B", 400),
        ([(b"content-type", b"application/json")], b"{}", 415),
        ([(b"content-type", b"text/plain")], b"RIFF", 415),
        ([], b"RIFF", 415),
        ([*form()[0], (b"origin", b"https://evil.example")], form()[1], 403),
        ([*form()[0], (b"sec-fetch-site", b"cross-site")], form()[1], 403),
    ],
)
async def test_a_bad_request_goes_nowhere(autojump_clock, headers, body, status):
    upstream = FakeUpstream(json_reply({"text": "x"}))
    async with house_with(upstream) as house:
        got, _, answer = await send(house, TRANSCRIBE, headers, body)
    assert (got, set(msgspec.json.decode(answer))) == (status, {"error"})
    assert not upstream.requests


async def test_a_file_may_be_large_but_not_endless():
    upstream = FakeUpstream(json_reply({"text": "x"}))
    async with house_with(upstream) as house:
        assert (await send(house, TRANSCRIBE, *form(file=bytes(20_000_000))))[0] == 200
        assert (await send(house, TRANSCRIBE, *form(file=bytes(51 * 1024 * 1024))))[0] == 413
    assert len(upstream.requests) == 1


async def test_keys_scopes_and_models_count_for_sound_too(autojump_clock):
    keys = (
        Key(name="all", key=Secret("k-all")),
        Key(name="reader", key=Secret("k-read"), scopes=("admin",)),
        Key(name="chats", key=Secret("k-chat"), models=("gpt-*",)),
    )
    upstream = FakeUpstream(json_reply({"text": "x"}))
    async with house_with(upstream, config(keys=keys)) as house:
        for key, expected in ((b"", 401), (b"k-none", 401), (b"k-read", 403), (b"k-chat", 403), (b"k-all", 200)):
            who = [(b"authorization", b"Bearer " + key), (b"origin", b"https://app.example")]
            headers, body = form()
            assert (await send(house, TRANSCRIBE, [*headers, *who], body))[0] == expected
            if expected != 200:
                assert (await house.post(SPEAK, ASK, headers=who))[0] == expected
    assert upstream.requests[0].headers.get(b"authorization") is None
    assert upstream.requests[0].headers.get(b"origin") is None


# -- what it costs -------------------------------------------------------------------------------------------------


def paid(type_="openai", **more):
    """A house whose budget is in USD, with the vendors' prices: its upstream is not on this machine."""
    return of_type(
        type_, budgets=(Budget(name="default", unit="usd", capacity=1.0),), storage=Storage(url="memory:"), **more
    )


def settled(house):
    return house.gateway.books.totals.total()


@pytest.mark.parametrize(
    ("answer", "form_of_answer", "file", "audio_ms", "micro_usd"),
    [
        ({"text": "x", "usage": {"type": "duration", "seconds": 90}}, "json", wav(bytes(44_100)), 90_000, 9_000),
        ({"text": "x", "duration": 30.5}, "verbose_json", wav(bytes(44_100)), 30_500, 3_050),
        ({"text": "x"}, "json", wav(bytes(44_100 * 20)), 20_000, 2_000),  # nobody says it but the header
        (None, "srt", wav(bytes(44_100 * 20)), 20_000, 2_000),
        ({"text": "x"}, "json", b"OggS" + bytes(59_996), 10_000, 1_000),  # nor that: by its size
    ],
)
async def test_a_recording_is_paid_by_its_length(answer, form_of_answer, file, audio_ms, micro_usd):
    reply = json_reply(answer) if answer else sound(b"1\n00:00:00,000 --> 00:00:01,000\nx\n", kind=b"text/plain")
    async with house_with(FakeUpstream(reply), paid()) as house:
        records = records_of(house)
        status, _, _ = await send(house, TRANSCRIBE, *form(response_format=form_of_answer, file=file))
        house.gateway.flush()
        total = settled(house)
    assert status == 200
    assert (total.cost_micro_usd, total.requests_unpriced) == (micro_usd, 0)
    assert total.audio_ms == audio_ms
    [record] = records
    assert (record.usage.audio_ms, record.charge, record.cost_micro_usd) == (audio_ms, micro_usd, micro_usd)


async def test_a_recording_is_paid_by_its_tokens_where_its_model_is(autojump_clock):
    usage = {"input_tokens": 1000, "output_tokens": 100, "input_token_details": {"audio_tokens": 1000}}
    async with house_with(FakeUpstream(json_reply({"text": "x", "usage": usage})), paid()) as house:
        await send(house, TRANSCRIBE, *form(model="gpt-4o-transcribe"))
        house.gateway.flush()
        assert settled(house).cost_micro_usd == 6_000 + 1_000


async def test_a_stream_whose_end_tells_seconds_is_paid_by_them(autojump_clock):
    done = b'data: {"type":"transcript.text.done","text":"x","usage":{"type":"duration","seconds":60}}\r\n\r\n'
    async with house_with(FakeUpstream(sound(DELTA + done + END, kind=SSE)), paid()) as house:
        await send(house, TRANSCRIBE, *form(stream="true"))
        house.gateway.flush()
        total = settled(house)
    assert total.cost_micro_usd == 6_000
    assert total.prompt_tokens > 0  # a pool of tokens would have paid


async def test_a_text_is_paid_by_its_characters(autojump_clock):
    async with house_with(FakeUpstream(sound(MP3)), paid()) as house:
        await house.post(SPEAK, {**ASK, "input": "سلام دنیا" * 100})
        house.gateway.flush()
        assert (settled(house).cost_micro_usd, settled(house).characters) == (900 * 15, 900)
        _, _, body = await house.get("/v1/costs")
        assert msgspec.json.decode(body)["records"][0]["characters"] == 900


async def test_a_pool_that_cannot_pay_for_so_long_a_recording_refuses_it():
    """An hour at whisper-1's price is 0.36 USD; and what was held for a shorter one is given back."""
    upstream = FakeUpstream(json_reply({"text": "x"}))
    settings = of_type("openai", budgets=(Budget(name="default", unit="usd", capacity=0.003),))
    async with house_with(upstream, settings) as house:
        status, _, body = await send(house, TRANSCRIBE, *form(file=wav(bytes(30_000))))
        assert status == 200
        long = b"OggS" + bytes(60_000 * 5)
        status, _, body = await send(house, TRANSCRIBE, *form(file=long))
        assert (status, msgspec.json.decode(body)["error"]["code"]) == (402, "budget_exceeded")
        assert house.gateway.books.ledger.find("default", 0).held == 0
    assert len(upstream.requests) == 1


async def test_owners_price_what_no_list_knows(autojump_clock):
    answer = {"text": "x", "usage": {"type": "duration", "seconds": 1}}
    for least_s, cost_micro_usd in ((0, 1_000), (10, 10_000)):
        prices = (PriceOverride(model="house-*", input=0.0, audio_minute=0.06, min_audio_secs=least_s),)
        async with house_with(FakeUpstream(json_reply(answer)), of_type("openai-compatible", prices=prices)) as house:
            await send(house, TRANSCRIBE, *form(model="house-1"))
            house.gateway.flush()
            assert settled(house).cost_micro_usd == cost_micro_usd


# -- in the house ----------------------------------------------------------------------------------------------------


class HouseListener:
    """An upstream without a socket: what is asked of it is the request itself, whose sound is a file."""

    name = type_name = "ears"
    local = True
    max_tokens_limit = None
    first_token_s = float("inf")

    def __init__(self):
        self.audio = self
        self.dialect = upstream_dialect("openai-compatible")
        self.lacks = set()
        self.heard = []

    takes_files = True

    def encode_transcription(self, request, *, model):
        return (InHouse("", request=request),)

    def decode_transcription(self, request, media_type, body, *, provider):
        return AudioReply(body, media_type)

    def attempt(self, outgoing, left_s=None):
        request = outgoing.request
        assert dict(outgoing.headers)[b"x-request-id"]
        data = Path(request.file.data.path).read_bytes()
        self.heard.append((request.language, request.file.filename, data, request.file in request.parts))
        return Spoken(b'{"text":"salam"}')

    async def list_models(self):
        return [ModelCard("ears", "hoosh")]

    async def probe(self): ...

    def state(self, condition):
        return ProviderState("ears", "ears", "", local=True, status="healthy")

    def statistics(self):
        return None


class Spoken:
    connected_at = float("-inf")
    status, ended = 200, True

    def __init__(self, body):
        self.headers, self._body = Headers([(b"content-type", b"application/json")]), body

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error): ...

    def interrupt(self, error): ...

    async def receive(self):
        return self._body

    async def read(self, max_bytes):
        return self._body


@pytest.mark.parametrize("size", [10, 200_000])
async def test_an_upstream_in_the_house_is_given_a_file(size):
    listener, file = HouseListener(), bytes(range(10)) * (size // 10)
    async with house_with(FakeUpstream()) as house:
        house.gateway.fleet.join(listener)
        kinds = frozenset({CallKind.TRANSCRIPTION})
        house.gateway.add_route(Route("ears", models=("ears",), local=True, embedded=True, kinds=kinds))
        house.gateway.reroute()
        status, headers, body = await send(house, TRANSCRIBE, *form(model="ears", language="fa", file=file))
        assert (status, body, headers.text(b"x-hoosh-provider")) == (200, b'{"text":"salam"}', "ears")
        assert listener.heard == [("fa", "a.wav", file, True)]


# -- text to speech ------------------------------------------------------------------------------------------------


async def test_speech_goes_through_as_it_is_made(autojump_clock):
    script = [Head(200, [(b"content-type", b"audio/mpeg")]), Body(MP3), Pause(60), Body(b"more"), End()]
    script = [step if not isinstance(step, Pause) else Pause(10) for step in script]
    upstream = FakeUpstream(script)
    async with house_with(upstream) as house:
        records = records_of(house)
        started = trio.current_time()
        async with house.exchange(SPEAK, ASK) as response:
            assert (response.status, response.headers.text(b"content-type")) == (200, "audio/mpeg")
            got = await response.receive()
            assert trio.current_time() - started < 1
            while piece := await response.receive():
                got += piece
    assert got == MP3 + b"more"
    assert msgspec.json.decode(upstream.requests[0].body) == ASK
    assert (records[0].kind, records[0].outcome, records[0].sent_bytes) == ("speech", Outcome.OK, len(got))


@pytest.mark.parametrize("http2", [False, True])
async def test_speech_that_is_cut_does_not_look_whole_and_holds_no_words(autojump_clock, http2):
    script = [Head(200, [(b"content-type", b"audio/mpeg")]), Body(MP3), Cut()]
    async with house_with(FakeUpstream(script), http2=http2) as house:
        records = records_of(house)
        got = b""
        with pytest.raises(ConnectionBroke):  # noqa: PT012
            async with house.exchange(SPEAK, ASK) as response:
                while piece := await response.receive():
                    got += piece
    assert MP3.startswith(got)
    assert (records[0].outcome, records[0].status) == (Outcome.CUT, 502)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (sound(b"<html>", kind=b"text/html"), 502),
        (sound(kind=b"audio/x"), 200),
        (sound(), 200),
        (sound(kind=b""), 502),
        (json_reply({"error": {"message": "no"}}), 502),
        (error_reply(400, "no"), 400),
        (error_reply(429, "no"), 429),
    ],
)
async def test_what_is_no_sound_is_an_error(autojump_clock, script, status):
    async with house_with(FakeUpstream(script)) as house:
        assert (await house.post(SPEAK, ASK))[0] == status


async def test_leaving_stops_the_upstream(autojump_clock):
    upstream = FakeUpstream([Head(200, [(b"content-type", b"audio/mpeg")]), Body(MP3), Hang()])
    async with house_with(upstream) as house:
        async with house.exchange(SPEAK, ASK) as response:
            await response.receive()
        await upstream.wait_cancelled()


async def test_a_slow_listener_slows_the_upstream(autojump_clock):
    pieces = [Body(bytes(65536)) for _ in range(200)]
    upstream = FakeUpstream([Head(200, [(b"content-type", b"audio/pcm")]), *pieces, End()])
    async with house_with(upstream) as house, house.exchange(SPEAK, ASK) as response:
        await response.receive()
        await trio.sleep(10)
        assert not upstream.requests[0].answered
        while await response.receive():
            pass
        assert upstream.requests[0].answered


@pytest.mark.parametrize(
    ("generation", "asked"),
    [
        (lambda got: got.target == "/synthesize", ["POST /synthesize"]),
        (lambda got: got.method == "GET", ["POST /synthesize", "GET /?text=salam"]),
        (lambda got: got.target == "/", ["POST /synthesize", "GET /?text=salam", "POST /"]),
    ],
)
async def test_every_piper_speaks(autojump_clock, generation, asked):
    def answer(got):
        if generation(got):
            return sound(wav(), kind=b"text/html; charset=utf-8")
        status = 404 if got.target == "/synthesize" else 405
        return [Head(status, [(b"content-type", b"text/html")]), Body(b"<!doctype html>"), End()]

    upstream = FakeUpstream(answer)
    async with house_with(upstream, of_type("piper")) as house:
        status, headers, body = await house.post(SPEAK, {**ASK, "response_format": "wav"})
        assert (status, headers.text(b"content-type"), body) == (200, "audio/wav", wav())
        assert [f"{got.method} {got.target}" for got in upstream.requests] == asked
        status, _, body = await house.post(SPEAK, {**ASK, "response_format": "opus"})
        assert (status, msgspec.json.decode(body)["error"]["param"]) == (400, "response_format")


async def test_pipers_page_of_an_error_is_not_repeated(autojump_clock):
    page = [Head(500, [(b"content-type", b"text/html")]), Body(b"<!doctype html><h1>Internal"), End()]
    async with house_with(FakeUpstream(page), of_type("piper")) as house:
        status, _, body = await house.post(SPEAK, ASK)
    assert status == 502
    assert b"<" not in body


async def test_who_cannot_speak_is_not_asked(autojump_clock):
    upstream = FakeUpstream()
    for type_, path in (("whisper", SPEAK), ("piper", TRANSCRIBE), ("llamacpp", SPEAK)):
        async with house_with(upstream, of_type(type_)) as house:
            headers, body = (
                form() if path == TRANSCRIBE else ([(b"content-type", b"application/json")], msgspec.json.encode(ASK))
            )
            status, _, answer = await send(house, path, headers, body)
        assert (status, msgspec.json.decode(answer)["error"]["param"]) == (400, "model")
    assert not upstream.requests
