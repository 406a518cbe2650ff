"""A recording on its way in: what is kept, what is refused and when, and that nothing of it stays."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import msgspec
import pytest
import trio
from gateway_house import config, house_with

from hoosh.codec.multipart import boundary_of, encode_form, parse_form
from hoosh.config import Audit, Server
from hoosh.errors import UnsupportedMedia
from hoosh.gateway.hearing import hear
from hoosh.http.message import HttpRequest, RequestHead
from hoosh.storage import uploads as uploads_module
from hoosh.testing.exchange import MemoryExchange
from hoosh.testing.house import BODY_BYTES, GATEWAY, PATIENCE
from hoosh.testing.upstream import FakeUpstream, Hang, json_reply
from hoosh.values import FormPart
from hoosh.values.secret import Secret

TRANSCRIBE = "/v1/audio/transcriptions"
FORM = [(b"content-type", b"multipart/form-data; boundary=B")]
SOUND = bytes(range(256)) * 1000
"""More than is held in memory: threads write it, so the clock of these tests is the real one."""


def form(*fields, file=SOUND):
    parts = [FormPart(name, value) for name, value in fields]
    return encode_form([*parts, FormPart("file", file, "a.wav", "audio/wav")], b"B")


async def send(house, body, headers=FORM, path=TRANSCRIBE):
    request = HttpRequest(RequestHead(GATEWAY, "POST", path, headers), body)
    async with house.client.exchange(request, PATIENCE) as response:
        return response.status, response.headers, msgspec.json.decode(await response.read(BODY_BYTES))


async def wait_nothing_is_left(house):
    uploads = house.gateway.uploads
    with trio.fail_after(60):
        while uploads.statistics().open or uploads._doomed:
            await trio.sleep(0.001)
    folder = uploads._folder
    assert folder is None or [path.name for path in folder.iterdir()] == ["lock"]


@pytest.fixture(autouse=True)
def _own_temporary_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.mark.parametrize("http2", [False, True])
async def test_a_large_file_reaches_the_upstream_whole_and_nothing_stays(http2):
    upstream = FakeUpstream(json_reply({"text": "x"}), json_reply({"text": "x"}))
    async with house_with(upstream, http2=http2) as house:
        assert (await send(house, form(("model", b"m"), ("prompt", b"p" * 70_000))))[0] == 200
        bare = [(b"content-type", b"audio/flac")]
        assert (await send(house, SOUND, bare, path=f"{TRANSCRIBE}?model=m&language=fa"))[0] == 200
        await wait_nothing_is_left(house)
    boundaries = [boundary_of(request.headers.get(b"content-type")) for request in upstream.requests]
    first, second = (parse_form(r.body, b) for r, b in zip(upstream.requests, boundaries, strict=True))
    assert [(part.name, bytes(part.data)) for part in first] == [
        ("model", b"m"), ("prompt", b"p" * 70_000), ("file", SOUND),
    ]  # fmt: skip
    assert [(part.name, bytes(part.data), part.filename) for part in second] == [
        ("model", b"m", None), ("language", b"fa", None), ("file", SOUND, "audio.flac"),
    ]  # fmt: skip


TWO_FILES = encode_form([FormPart("file", SOUND, "a"), FormPart("file", b"x", "b")], b"B")
CUT = form(("model", b"m"))[:-4]


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (TWO_FILES, FORM, 400, "several"),
        (form(("prompt", b"p" * (4 * 1024 * 1024 + 1))), FORM, 400, "4194304 bytes"),
        (CUT, FORM, 400, "last boundary"),
        (form(file=b""), FORM, 400, "`file`"),
        (form(), [(b"content-type", b"multipart/form-data")], 400, "no boundary"),
        (form(), [(b"content-type", b"text/plain")], 415, "Send a form"),
        (form(("model", b"nobody-has-it")), FORM, 404, "does not exist"),
        (SOUND * 30, [(b"content-type", b"audio/wav")], 413, "5000000 bytes"),
    ],
)
async def test_what_is_wrong_is_told_and_nothing_stays(body, headers, status, says):
    upstream = FakeUpstream()
    settings = config(server=Server(max_audio_bytes=5_000_000), provider={"models": ("m", "whisper-1")})
    async with house_with(upstream, settings) as house:
        told, _, answer = await send(house, body, headers)
        assert (told, says in answer["error"]["message"]) == (status, True), answer
        await wait_nothing_is_left(house)
    assert not upstream.requests


class Stalled(MemoryExchange):
    """Has nothing to give, and waits to be asked for it."""

    asked = 0

    async def receive(self):
        self.asked += 1
        await trio.sleep_forever()


@pytest.mark.parametrize(("more", "asked"), [([], 1), ([(b"expect", b"100-continue")], 0)])
async def test_a_request_that_is_refused_by_its_head_does_not_wait_for_its_body(autojump_clock, more, asked):
    exchange = Stalled("POST", TRANSCRIBE, headers=[(b"content-type", b"text/plain"), *more])
    with trio.fail_after(5), pytest.raises(UnsupportedMedia):
        await hear(exchange, SimpleNamespace(witness=None), None, 1000)
    assert exchange.asked == asked


async def test_more_recordings_than_there_is_room_for_have_to_wait():
    settings = config(server=Server(max_uploads_bytes=100_000))
    async with house_with(FakeUpstream(), settings) as house:
        status, headers, answer = await send(house, form(("model", b"m")))
        assert (status, answer["error"]["code"], headers.get(b"retry-after")) == (503, "uploads_full", b"5")
        await wait_nothing_is_left(house)


async def test_a_full_disk_is_told_as_one(monkeypatch):
    def full(fd, data):
        raise OSError(28, "No space left on device")

    async with house_with(FakeUpstream()) as house:
        with monkeypatch.context() as patch:
            patch.setattr(uploads_module.os, "write", full)
            status, _, answer = await send(house, form(("model", b"m")))
        assert (status, answer["error"]["code"]) == (503, "storage_error")
        assert "the disk is full" in answer["error"]["message"]
        await wait_nothing_is_left(house)


async def test_the_audit_trail_has_the_digest_of_the_body_that_nobody_has_held():
    settings = config(audit=Audit(enabled=True, signing_key=Secret("k" * 32)))
    body = form(("model", b"m"))
    async with house_with(FakeUpstream(json_reply({"text": "x"})), settings) as house:
        await send(house, body)
        house.gateway.flush()
        _, _, answer = await house.get("/v1/audit")
    assert hashlib.sha256(body).hexdigest() in answer.decode()


async def test_a_client_that_leaves_while_its_recording_is_with_the_upstream_leaves_nothing():

    upstream = FakeUpstream([Hang()])
    async with house_with(upstream) as house:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, house, form(("model", b"m")))
            await upstream.wait_requests()
            nursery.cancel_scope.cancel()
        await upstream.wait_cancelled()
        await wait_nothing_is_left(house)
