"""The engine as an upstream of a whole gateway: OpenAI's requests, the real library, real children."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

pytest.importorskip("_pywhispercpp")
from parrot_model import SAYS
from speech_house import SAID, record

from hoosh.codec.multipart import encode_form, form_type, new_boundary
from hoosh.config import Config, Discovery, Logging, Provider, Retry, Storage
from hoosh.errors import UpstreamError
from hoosh.http.message import HeaderList, Headers
from hoosh.speech import Whisper
from hoosh.testing.house import MemoryHouse, memory_house
from hoosh.testing.upstream import FakeUpstream, json_reply
from hoosh.values import FormPart

TRANSCRIBE, TRANSLATE = "/v1/audio/transcriptions", "/v1/audio/translations"
ELSEWHERE = b'{"text": "elsewhere"}'


def settings(whisper: Whisper, *providers: Provider) -> Config:
    return Config(
        whisper=whisper,
        providers=providers,
        storage=Storage(url="memory:"),
        discovery=Discovery(local=False, environment=False, echo=False),
        logging=Logging(level="error"),
        retry=Retry(max_retries=0, wait_out_s=0.0),
    )


@asynccontextmanager
async def house_with(whisper: Whisper, *providers: Provider) -> AsyncIterator[MemoryHouse]:
    async with memory_house(settings(whisper, *providers)) as house:
        house.network.listen("far.example:80", FakeUpstream(json_reply(json.loads(ELSEWHERE))).serve_wire)
        yield house


@pytest.fixture
def brief(tmp_path: Path) -> bytes:
    return record(tmp_path / "brief.wav", 5.0).read_bytes()


def form(fields: Mapping[str, str], sound: bytes) -> tuple[HeaderList, bytes]:
    """The content type, and the body."""
    boundary = new_boundary()
    parts = [FormPart(name, value.encode()) for name, value in fields.items()]
    body = encode_form([*parts, FormPart("file", sound, "a.wav", "audio/wav")], boundary)
    return [(b"content-type", form_type(boundary))], body


async def ask(
    house: MemoryHouse, sound: bytes, path: str = TRANSCRIBE, *, model: str = "whisper-1", **fields: str
) -> tuple[int, Headers, bytes]:
    """Waits for the whole answer."""
    headers, body = form({"model": model, "language": "de", **fields}, sound)
    return await house.post(path, body, headers=headers)


def error_of(body: bytes) -> Mapping[str, Any]:
    error: Mapping[str, Any] = json.loads(body)["error"]
    return error


# -- answers -----------------------------------------------------------------------------------------------------------


async def test_a_recording_is_written_down_in_the_house(parrot: Path, brief: bytes):
    async with house_with(Whisper(model=str(parrot))) as house:
        status, headers, body = await ask(house, brief)
        assert (status, headers.text(b"x-hoosh-provider")) == (200, "own-whisper")
        assert json.loads(body) == {"text": SAID, "usage": {"type": "duration", "seconds": 5}}
        status, _, body = await ask(house, brief, TRANSLATE, response_format="verbose_json")
        told = json.loads(body)
        assert (status, told["task"], told["duration"]) == (200, "translate", 5.0)
        assert [(one["text"].strip(), one["start"], one["end"]) for one in told["segments"]] == list(SAYS)
        for form_, start in (("text", b"Guten Tag"), ("srt", b"1\n00:00:00"), ("vtt", b"WEBVTT")):
            status, headers, body = await ask(house, brief, response_format=form_)
            assert status == 200
            assert body.startswith(start)


async def test_a_stream_tells_each_segment(parrot: Path, tmp_path: Path):
    sound = record(tmp_path / "long.wav", 40.0).read_bytes()
    async with house_with(Whisper(model=str(parrot))) as house:
        status, headers, body = await ask(house, sound, stream="true")
    assert (status, headers.text(b"content-type")) == (200, "text/event-stream; charset=utf-8")
    events = [json.loads(line.removeprefix(b"data: ")) for line in body.split(b"\r\n") if line.startswith(b"data: {")]
    *deltas, done = events
    assert "".join(event["delta"] for event in deltas) == done["text"] == " ".join([SAID] * 2)
    assert (len(deltas), done["usage"]) == (4, {"type": "duration", "seconds": 40})
    assert body.rstrip().endswith(b"data: [DONE]")


async def test_it_is_asked_before_anybody_else_and_listed(parrot: Path, brief: bytes):
    far = Provider(type="openai", name="openai", base_url="http://far.example:80")
    async with house_with(Whisper(model="parrot", models_dir=str(parrot.parent)), far) as house:
        assert (await ask(house, brief))[1].text(b"x-hoosh-provider") == "own-whisper"
        assert (await ask(house, brief, model="parrot"))[1].text(b"x-hoosh-provider") == "own-whisper"
        cards = {card["id"]: card for card in json.loads((await house.get("/v1/models"))[2])["data"]}
        assert all(cards[name]["capabilities"] == ["transcription"] for name in ("parrot", "whisper-1"))
        assert (await ask(house, brief, model="gpt-4o-transcribe"))[1].text(b"x-hoosh-provider") == "openai"


async def test_its_length_is_in_the_books(parrot: Path, brief: bytes):
    async with house_with(Whisper(model=str(parrot))) as house:
        assert (await ask(house, brief))[0] == 200
        status, _, body = await house.get("/v1/costs")
        (row,) = json.loads(body)["records"]
    assert (status, row["provider"], row["is_local"], row["audio_ms"]) == (200, "own-whisper", True, 5000)
    assert row["total_cost_micro_usd"] == 0


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sound", "fields", "status", "code"),
    [
        (b"hello, is this thing on?", {}, 415, "unsupported_media_type"),
        (b"RIFF", {}, 400, "invalid_audio"),
        (None, {"language": "klingon"}, 400, "unsupported_language"),
        (None, {"temperature": "7"}, 400, None),
        (None, {"response_format": "diarized_json"}, 400, "unsupported_value"),
        (None, {"model": "nobody"}, 404, "model_not_found"),
    ],
)
async def test_what_is_wrong_with_a_request_is_told(
    parrot: Path, brief: bytes, sound: bytes | None, fields: dict[str, str], status: int, code: str | None
):
    async with house_with(Whisper(model=str(parrot))) as house:
        got, _, body = await ask(house, brief if sound is None else sound, **fields)
        assert (got, error_of(body)["code"]) == (status, code), body
        assert (await ask(house, brief))[0] == 200


async def test_another_provider_is_asked_where_the_model_is_broken(brief: bytes, tmp_path: Path):
    broken = tmp_path / "ggml-broken.bin"
    broken.write_bytes(b"ggml")
    far = Provider(type="openai", name="openai", base_url="http://far.example:80")
    async with house_with(Whisper(model=str(broken)), far) as house:
        status, headers, body = await ask(house, brief)
        assert (status, headers.text(b"x-hoosh-provider"), json.loads(body)["text"]) == (200, "openai", "elsewhere")
    async with house_with(Whisper(model=str(broken))) as house:
        status, _, body = await ask(house, brief)
        assert status == 503
        assert str(tmp_path) not in body.decode()


async def test_another_provider_is_asked_for_what_the_house_cannot_hear(parrot: Path):
    far = Provider(type="openai", name="openai", base_url="http://far.example:80")
    film = b"\0\0\0\x20ftypM4A " + bytes(5000)
    async with house_with(Whisper(model=str(parrot)), far) as house:
        status, headers, _ = await ask(house, film)
        assert (status, headers.text(b"x-hoosh-provider")) == (200, "openai")
        assert (await ask(house, b"RIFF"))[0] == 400  # a broken file is broken everywhere
        for _ in range(10):
            await ask(house, film)
        assert all(one.status == "healthy" for one in house.gateway.providers() if one.name == "own-whisper")


async def test_another_provider_is_asked_where_the_disk_is_full(parrot: Path, tmp_path: Path, monkeypatch):
    """A small recording is in memory: only the house itself wants it on the disk."""

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    small = record(tmp_path / "small.wav", 1.0).read_bytes()
    far = Provider(type="openai", name="openai", base_url="http://far.example:80")
    for providers, status, told in (((far,), 200, "elsewhere"), ((), 503, "storage_error")):
        async with house_with(Whisper(model=str(parrot)), *providers) as house:
            with monkeypatch.context() as patch:
                patch.setattr("hoosh.storage.uploads._File.write", full)
                got, _, body = await ask(house, small)
            assert (got, told in body.decode()) == (status, True), body


async def test_a_child_that_dies_fails_one_stream_and_nothing_else(parrot: Path, brief: bytes, tmp_path: Path):
    hour = record(tmp_path / "hour.wav", 3600.0, rate_hz=2_000).read_bytes()
    async with house_with(Whisper(model=str(parrot))) as house:
        headers, body = form({"model": "whisper-1", "language": "de", "stream": "true"}, hour)
        heard = b""
        async with house.exchange(TRANSCRIBE, body, headers=headers) as response:
            assert response.status == 200
            heard += await response.receive()
            pid = house.gateway.speech.statistics().loaded[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            try:
                while piece := await response.receive():
                    heard += piece
            except Exception:  # cut, as it must be
                heard += b""
        assert b"[DONE]" not in heard
        assert b"transcript.text.done" not in heard
        assert (await ask(house, brief))[0] == 200
        assert house.gateway.speech.statistics().died == 1


async def test_a_recording_that_kills_its_child_kills_no_other(parrot: Path, tmp_path: Path):
    hour = record(tmp_path / "hour.wav", 3600.0, rate_hz=2_000).read_bytes()
    patient = replace(settings(Whisper(model=str(parrot))), retry=Retry(max_retries=3))
    async with memory_house(patient) as house, trio.open_nursery() as nursery:
        speech = house.gateway.speech

        async def kill() -> None:
            while not (begun := speech.statistics().begun):
                await trio.sleep(0.01)
            assert begun == 1
            os.kill(speech.statistics().loaded[0].pid or 0, signal.SIGKILL)

        nursery.start_soon(kill)
        with trio.fail_after(60):
            status, headers, body = await ask(house, hour)
        assert (status, error_of(body)["code"]) == (502, "transcription_failed")
        assert headers.get(b"x-should-retry") == b"false"
        assert (speech.statistics().begun, speech.statistics().died) == (1, 1)


@pytest.mark.parametrize("stream", ["true", "false"])
async def test_a_client_that_leaves_frees_the_slot_and_leaves_no_file(
    parrot: Path, brief: bytes, tmp_path: Path, stream: str
):
    hour = record(tmp_path / "hour.wav", 3600.0, rate_hz=2_000).read_bytes()
    async with house_with(Whisper(model=str(parrot))) as house:
        speech, uploads = house.gateway.speech, house.gateway.uploads
        headers, body = form({"model": "whisper-1", "language": "de", "stream": stream}, hour)
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                async with house.exchange(TRANSCRIBE, body, headers=headers) as response:
                    while await response.receive():
                        pass

            nursery.start_soon(listen)
            with trio.fail_after(60):
                while not speech.statistics().begun:
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        with trio.fail_after(60):
            assert (await ask(house, brief))[0] == 200  # there is one slot
            while uploads.statistics().open:
                await trio.sleep(0.01)
        assert speech.statistics().aborted == 1


async def test_a_request_that_an_owner_ends_is_over(parrot: Path, tmp_path: Path):
    hour = record(tmp_path / "hour.wav", 3600.0, rate_hz=2_000).read_bytes()
    async with house_with(Whisper(model=str(parrot))) as house, trio.open_nursery() as nursery:
        answers: list[tuple[int, Headers, bytes]] = []

        async def listen() -> None:
            answers.append(await ask(house, hour))

        nursery.start_soon(listen)
        with trio.fail_after(60):
            while not house.gateway.speech.statistics().begun:
                await trio.sleep(0.01)
            (running,) = json.loads((await house.get("/v1/admin/requests"))[2])["data"]
            assert running["provider"] == "own-whisper"
            async with house.exchange(f"/v1/admin/requests/{running['id']}", method="DELETE") as response:
                assert response.status == 200
            while not answers:
                await trio.sleep(0.01)
    assert answers[0][0] == 503


async def test_it_comes_and_goes_by_a_reload(parrot: Path, brief: bytes):
    far = Provider(type="openai", name="openai", base_url="http://far.example:80")
    async with house_with(Whisper(), far) as house:
        assert (await ask(house, brief))[1].text(b"x-hoosh-provider") == "openai"
        told = await house.gateway.reload(settings(Whisper(model=str(parrot)), far))
        assert told.added == ("own-whisper",)
        assert (await ask(house, brief))[1].text(b"x-hoosh-provider") == "own-whisper"
        told = await house.gateway.reload(settings(Whisper(), far))
        assert told.removed == ("own-whisper",)
        assert (await ask(house, brief))[1].text(b"x-hoosh-provider") == "openai"


async def test_health_says_whether_it_can_transcribe(parrot: Path, tmp_path: Path):
    async with house_with(Whisper(model=str(parrot))) as house:
        await house.gateway.fleet["own-whisper"].probe()
        (shown,) = json.loads((await house.get("/v1/health/providers"))[2])
        assert (shown["provider"], shown["type"], shown["local"]) == ("own-whisper", "whisper", True)
    async with house_with(Whisper(model=str(tmp_path / "gone.bin"))) as house:
        with pytest.raises(UpstreamError) as caught:
            await house.gateway.fleet["own-whisper"].probe()
        assert caught.value.code == "model_missing"
