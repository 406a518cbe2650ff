"""Recordings on their way through a real gateway: little memory, nothing left behind, every byte of every attempt."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
from pathlib import Path

import httpx
import pytest
from e2e_house import CLIENT_KEY, Gateway, free_port, wait_until
from openai import AsyncOpenAI, OpenAI
from sound_upstream import SoundUpstream

from hoosh.codec.multipart import form_frame
from hoosh.values import FormPart

# The SDK leaves the generators beneath a stream unfinished; Trio says so when they are collected.
pytestmark = pytest.mark.filterwarnings(r"ignore:Async generator .(openai|httpx|httpcore):ResourceWarning")

MIB = 1 << 20
BLOCK = os.urandom(MIB)
AUTHORIZED = {"authorization": f"Bearer {CLIENT_KEY}"}
TRANSCRIBE = "/v1/audio/transcriptions"

CONFIG = """
[server]
port = {port}
max_audio_bytes = 60000000

[discovery]
local = false
environment = false

[health]
interval_secs = 0

[retry]
max_retries = 0

[audit]
enabled = true
signing_key = "0123456789abcdef0123456789abcdef"

[[keys]]
name = "team"
key = "$E2E_CLIENT_KEY"
"""
PROVIDER = """
[[providers]]
type = "openai-compatible"
name = "{name}"
base_url = "{url}"
models = ["{model}"]
http2 = "{http2}"
"""


@pytest.fixture(scope="module")
def upstream():
    server = SoundUpstream()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def config(upstream):
    text = CONFIG.format(port=free_port())
    for name, model, http2 in (("one", "m1", "off"), ("two", "m2", "prior")):
        text += PROVIDER.format(name=name, url=upstream.url, model=model, http2=http2)
    return text + '\n[[models]]\nname = "either"\ntargets = ["one/m1", "two/m2"]\n'


@pytest.fixture(scope="module")
def house(config, folder):
    port = int(config.partition("port = ")[2].partition("\n")[0])
    process = Gateway(folder, config, port=port)
    yield process
    process.kill()
    process.check_secrets()


@pytest.fixture(autouse=True)
def _fresh(upstream):
    upstream.taken.clear()
    upstream.script.clear()
    upstream.asked.clear()


def recordings(folder: Path) -> list[Path]:
    return [path for path in (folder / "state").glob("hoosh-uploads-*/*") if path.name != "lock"]


def memory_kib(process: Gateway, name: str) -> int:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)


def form(model: str, blocks: int):
    """Headers and pieces of a form that nobody holds whole, and the digest of its file."""
    before, behind = form_frame([FormPart("model", model.encode())], FormPart("file", b"", "a.wav", "audio/wav"), b"B")
    length = len(before) + blocks * MIB + len(behind)
    headers = {**AUTHORIZED, "content-type": "multipart/form-data; boundary=B", "content-length": str(length)}
    digest = hashlib.sha256()
    for _ in range(blocks):
        digest.update(BLOCK)
    return headers, (before, *[BLOCK] * blocks, behind), digest.hexdigest()


def send(house, http2, model, blocks):
    headers, pieces, digest = form(model, blocks)
    with httpx.Client(http1=not http2, http2=http2, timeout=60, trust_env=False) as client:
        answer = client.post(house.url + TRANSCRIBE, headers=headers, content=iter(pieces))
    assert answer.status_code == 200, answer.text
    return digest, answer


@pytest.mark.parametrize(("http2", "model"), [(False, "m1"), (True, "m2")], ids=["HTTP/1.1", "HTTP/2"])
def test_fifty_megabytes_go_through_in_eight(house, upstream, http2, model):
    house.metrics()  # the start goes on behind the listener: by now it is over
    send(house, http2, model, 2)  # and so is what is loaded at the first time
    upstream.taken.clear()
    Path(f"/proc/{house.pid}/clear_refs").write_text("5")  # VmHWM begins anew
    before = memory_kib(house, "VmRSS")
    digest, answer = send(house, http2, model, 50)
    grown = memory_kib(house, "VmHWM") - before
    [taken] = upstream.taken
    assert (taken.size, taken.sha256, taken.path) == (50 * MIB, digest, TRANSCRIBE)
    assert taken.version == ("1.1" if model == "m1" else "2")
    assert answer.json()["text"] == "salam donya"
    assert grown < 8 * 1024, f"{grown} KiB"
    wait_until(lambda: not recordings(house.folder), "the file is removed")


def test_a_failover_sends_every_byte_again(house, upstream):
    upstream.script = [503]
    digest, answer = send(house, False, "either", 3)
    assert [(taken.size, taken.sha256) for taken in upstream.taken] == [(3 * MIB, digest)] * 2
    assert {taken.version for taken in upstream.taken} == {"1.1", "2"}
    assert answer.headers["x-hoosh-provider"] == "two"


def test_the_limit_is_told_before_the_body_has_come(house):
    headers, pieces, _ = form("m1", 1)
    headers["content-length"] = "60000001"
    with socket.create_connection(("127.0.0.1", house.port)) as client:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        client.sendall(f"POST {TRANSCRIBE} HTTP/1.1\r\nhost: g\r\n{lines}\r\n".encode() + pieces[0])
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_over_the_limit_is_refused_on_its_way(house):
    def endless():
        yield form("m1", 0)[1][0]
        for _ in range(70):
            yield BLOCK

    headers, _, _ = form("m1", 0)
    del headers["content-length"]
    with httpx.Client(timeout=60, trust_env=False) as client:
        try:
            status = client.post(house.url + TRANSCRIBE, headers=headers, content=endless()).status_code
        except httpx.WriteError:  # refused, and closed, while it was still sending
            status = 413
    assert status == 413
    wait_until(lambda: not recordings(house.folder), "the file is removed")


@pytest.mark.parametrize("http2", [False, True])
def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(house, http2):
    class Leaves(Exception):
        pass

    def some():
        yield from form("m1", 4)[1][:3]
        wait_until(lambda: recordings(house.folder), "the file is begun")
        raise Leaves

    headers, _, _ = form("m1", 4)
    with httpx.Client(http1=not http2, http2=http2, timeout=60, trust_env=False) as client:  # noqa: SIM117
        with pytest.raises(Leaves):
            client.post(house.url + TRANSCRIBE, headers=headers, content=some())
    wait_until(lambda: not recordings(house.folder), "the file is removed")
    wait_until(lambda: house.metric("hoosh_in_flight_requests") == 0, "the request has ended")


def test_what_a_killed_gateway_has_left_the_next_one_removes(config, tmp_path, upstream):
    port = free_port()
    text = config.replace(config.partition("\n[discovery]")[0], f"\n[server]\nport = {port}\n")
    headers, pieces, _ = form("m1", 4)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    first = Gateway(tmp_path, text, port=port)
    try:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(f"POST {TRANSCRIBE} HTTP/1.1\r\nhost: g\r\n{lines}\r\n".encode() + b"".join(pieces[:3]))
            wait_until(lambda: recordings(tmp_path), "the file is begun")
            first.signal(signal.SIGKILL)
            first.wait()
            assert recordings(tmp_path)
        next_one = Gateway(tmp_path, text, port=port)
        try:
            wait_until(lambda: not list((tmp_path / "state").glob("hoosh-uploads-*")), "the folder is removed")
            assert next_one.stop() == 0
        finally:
            next_one.kill()
    finally:
        first.kill()


# -- OpenAI's own SDK ----------------------------------------------------------------------------------------------


def test_the_sdk_sends_files_fields_and_lists(house, upstream, tmp_path):
    path = tmp_path / "sound.wav"
    path.write_bytes(BLOCK)
    with OpenAI(base_url=house.base_url, api_key=CLIENT_KEY, max_retries=0) as client, path.open("rb") as file:
        answer = client.audio.transcriptions.create(
            model="m1", file=file, language="fa", prompt="سلام", response_format="verbose_json",
            timestamp_granularities=["word", "segment"], temperature=0.2,
        )  # fmt: skip
    assert answer.text == "salam donya"
    [taken] = upstream.taken
    assert (taken.filename, taken.sha256) == ("sound.wav", hashlib.sha256(BLOCK).hexdigest())
    assert sorted(taken.fields) == [
        ("language", "fa"), ("model", "m1"), ("prompt", "سلام"), ("response_format", "verbose_json"),
        ("temperature", "0.2"), ("timestamp_granularities[]", "segment"), ("timestamp_granularities[]", "word"),
    ]  # fmt: skip


def test_the_sdk_streams_and_translates(house, upstream):
    with OpenAI(base_url=house.base_url, api_key=CLIENT_KEY, max_retries=0) as client:
        with client.audio.transcriptions.create(model="m2", file=("a.wav", b"RIFF"), stream=True) as stream:
            events = list(stream)
        with pytest.warns(DeprecationWarning, match="deprecated"):  # so the SDK calls it; OpenAI's reference does not
            answer = client.audio.translations.create(model="m2", file=("a.wav", b"RIFF"))
    assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]
    assert events[-1].usage.input_tokens == 7
    assert answer.text == "salam donya"
    assert upstream.taken[-1].path == "/v1/audio/translations"


async def test_the_asynchronous_sdk_does_the_same(house, upstream):
    async with AsyncOpenAI(base_url=house.base_url, api_key=CLIENT_KEY, max_retries=0) as client:
        answer = await client.audio.transcriptions.create(model="m1", file=("a.wav", BLOCK, "audio/wav"), language="de")
        assert answer.text == "salam donya"
        stream = await client.audio.transcriptions.create(model="m1", file=("a.wav", BLOCK), stream=True)
        assert [event.type async for event in stream] == ["transcript.text.delta", "transcript.text.done"]
    assert [taken.size for taken in upstream.taken] == [MIB, MIB]
