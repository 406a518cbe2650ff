"""Recordings that a client sends as it reads them: paths, open files and pipes, waiting and blocking."""

from __future__ import annotations

import io
import os
import threading

import pytest
from served_house import in_loop, scripted

import hoosh
from hoosh import HooshClient, SyncHooshClient
from hoosh.client.retry import Retries
from hoosh.codec.form_upload import FormUpload
from hoosh.codec.multipart import boundary_of, parse_form
from hoosh.testing.upstream import error_reply, json_reply
from hoosh.values import FormPart

SOUND = os.urandom(300_000)
QUICK = Retries(most=2, base_s=0.001, longest_s=0.01)
AGAIN = (error_reply(503, "later"), json_reply({"text": "salam"}))


def files(server):
    """Name and data of each file that has come, and whether its length was told."""
    told = []
    for request in server.upstream.requests:
        parts = parse_form(request.body, boundary_of(request.headers.get(b"content-type")))
        [file] = [part for part in parts if part.name == "file"]
        told.append((file.filename, bytes(file.data), request.headers.get(b"content-length") is not None))
    return told


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp3"
    path.write_bytes(SOUND)
    return path


def ask(face, url, method, audio, **more):
    """What the client of this face hears."""
    if face == "blocking":
        with SyncHooshClient(url, retries=QUICK) as client:
            return getattr(client.audio, method)(audio, model="w", **more)

    async def story():
        async with HooshClient(url, retries=QUICK) as client:
            return await getattr(client.audio, method)(audio, model="w", **more)

    return in_loop(face, story)


@pytest.mark.parametrize("kind", ["path", "text", "file", "bytes"])
@pytest.mark.parametrize("face", ["trio", "asyncio", "blocking"])
def test_a_recording_is_sent_as_it_is_read_and_again_from_its_beginning(kind, face, path):
    with scripted(*AGAIN) as server, path.open("rb") as file:
        audio = {"path": path, "text": str(path), "file": file, "bytes": SOUND}[kind]
        file.seek(100)  # from where it stands
        assert ask(face, server.url, "transcribe", audio).text == "salam"
        assert not file.closed
        name = "sound.wav" if kind == "bytes" else "talk.mp3"
        sent = SOUND[100:] if kind == "file" else SOUND
        assert files(server) == [(name, sent, True)] * 2


def write(sink):
    with open(sink, "wb") as pipe:
        pipe.write(SOUND)


@pytest.mark.parametrize("face", ["trio", "blocking"])
def test_what_comes_through_a_pipe_is_sent_once(face):
    with scripted(*AGAIN) as server:
        source, sink = os.pipe()
        writer = threading.Thread(target=write, args=(sink,))
        writer.start()
        with open(source, "rb") as file, pytest.raises(hoosh.HooshError, match="later"):
            ask(face, server.url, "translate", file, filename="a.ogg")
        writer.join()
        assert files(server) == [("a.ogg", SOUND, False)]


def test_a_file_that_is_not_there_is_told_at_once(tmp_path):
    with SyncHooshClient("http://127.0.0.1:9") as client, pytest.raises(FileNotFoundError):
        client.audio.transcribe(tmp_path / "gone.wav", model="w")


def test_a_form_is_as_long_as_it_says_though_its_file_grows():
    form = FormUpload([], FormPart("file", b"", "a"), lambda: io.BytesIO(b"0123456789"), 4)
    whole = b"".join(form)
    assert len(whole) == form.length
    assert b"\r\n\r\n0123\r\n--" in whole
