"""Clients of a schedule: each asks, reads as far as its script goes, and tells what it has heard."""

from __future__ import annotations

import json
from typing import Any

import trio
from client_forms import CLIENTS
from msgspec import Struct
from sim_schedule import Ask
from sim_world import World

from hoosh.errors import TransportError
from hoosh.http.message import Header, HttpRequest, RequestHead
from hoosh.testing.house import GATEWAY, PATIENCE

FORM = b"sim-form"


class Heard(Struct):
    """What a client has got."""

    ask: Ask
    status: int | None = None
    request_id: str = ""
    cache: str = ""
    retry_after: str | None = None
    body: bytes = b""
    is_whole: bool = False
    """It came to the response's own end."""
    broke: str | None = None


async def ask(world: World, script: Ask) -> Heard:
    """Play one client."""
    heard = Heard(script)
    pool = world.h2 if script.http2 else world.h1
    with trio.move_on_after(float("inf") if script.leaves_after_s is None else script.leaves_after_s):
        try:
            async with pool.exchange(request_of(script), PATIENCE) as response:
                heard.status = response.status
                heard.request_id = response.headers.text(b"x-request-id") or ""
                heard.cache = response.headers.text(b"x-hoosh-cache") or ""
                heard.retry_after = response.headers.text(b"retry-after")
                receives = 0
                while receives != script.leaves_after_receives:
                    data = await response.receive()
                    if not data:
                        heard.is_whole = True
                        break
                    heard.body += data
                    receives += 1
        except TransportError as error:
            heard.broke = str(error)
    return heard


def request_of(script: Ask) -> HttpRequest:
    path, kind, body = _body_of(script)
    key = "nobody" if script.mistake == "key" else f"{script.caller}-key"
    headers: list[Header] = [(b"content-type", kind), (b"authorization", f"Bearer {key}".encode())]
    headers.append((b"x-sim-ask", b"%d" % script.number))
    pool = "nowhere" if script.mistake == "pool" else script.pool
    if pool is not None:
        headers.append((b"x-hoosh-pool", pool.encode()))
    return HttpRequest(RequestHead(GATEWAY, "POST", path, tuple(headers)), body)


def _body_of(script: Ask) -> tuple[str, bytes, bytes]:
    model = "nothing-1" if script.mistake == "model" else script.model
    if script.language == "transcription":
        return "/v1/audio/transcriptions", b"multipart/form-data; boundary=" + FORM, _form(script, model)
    path, body = BODIES[script.language](script, model)
    body["model"] = model
    encoded = json.dumps(body).encode()
    return path, b"application/json", encoded[:-1] if script.mistake == "body" else encoded


def _prompt(script: Ask) -> str:
    return f"mood {script.mood} please"


def _chat(script: Ask, model: str) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": _prompt(script)}], "stream": script.stream}
    if script.stream and script.number % 3:
        body["stream_options"] = {"include_usage": True}
    return "/v1/chat/completions", _settings(script, body, "max_completion_tokens")


def _completions(script: Ask, model: str) -> tuple[str, dict[str, Any]]:
    body = {"prompt": _prompt(script), "stream": script.stream}
    return "/v1/completions", _settings(script, body, "max_tokens")


def _embeddings(script: Ask, model: str) -> tuple[str, dict[str, Any]]:
    return "/v1/embeddings", {"input": _prompt(script)}


def _messages(script: Ask, model: str) -> tuple[str, dict[str, Any]]:
    body = {"messages": [{"role": "user", "content": _prompt(script)}], "stream": script.stream, "max_tokens": 400}
    return "/v1/messages", _settings(script, body, "max_tokens")


def _responses(script: Ask, model: str) -> tuple[str, dict[str, Any]]:
    body = {"input": _prompt(script), "stream": script.stream, "store": False}
    return "/v1/responses", _settings(script, body, "max_output_tokens")


def _ollama(script: Ask, model: str) -> tuple[str, dict[str, Any]]:
    options: dict[str, Any] = {"temperature": 0} if script.is_cacheable else {}
    if script.max_tokens is not None:
        options["num_predict"] = script.max_tokens
    messages = [{"role": "user", "content": _prompt(script)}]
    return "/api/chat", {"messages": messages, "stream": script.stream, "options": options}


def _speech(script: Ask, model: str) -> tuple[str, dict[str, Any]]:
    return "/v1/audio/speech", {"input": _prompt(script), "voice": "nova"}


def _settings(script: Ask, body: dict[str, Any], limit: str) -> tuple[dict[str, Any]]:
    if script.is_cacheable:
        body["temperature"] = 0
    if script.max_tokens is not None:
        body[limit] = script.max_tokens
    return body


BODIES = {
    "chat": _chat,
    "completions": _completions,
    "embeddings": _embeddings,
    "messages": _messages,
    "responses": _responses,
    "ollama": _ollama,
    "speech": _speech,
}


def _form(script: Ask, model: str) -> bytes:
    fields = {"model": model, "prompt": _prompt(script)}
    parts = [
        f'--sim-form\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    file = '--sim-form\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF....WAVE\r\n'
    return "".join([*parts, file, "--sim-form--\r\n"]).encode()


# -- what was understood -----------------------------------------------------------------------------------------

READERS = {"chat": "chat", "messages": "messages", "responses": "responses", "ollama": "ollama"}


def tokens_told(heard: Heard) -> tuple[int, int] | None:
    """Prompt and completion, as a whole answer tells its client; None where it says nothing of it."""
    language = heard.ask.language
    if heard.status != 200 or not heard.is_whole or language not in READERS:
        return None
    forms = CLIENTS[READERS[language]]
    seen = forms.read_stream(heard.body) if heard.ask.stream else forms.read(json.loads(heard.body))
    return seen.tokens if seen.is_ended and seen.error is None else None
