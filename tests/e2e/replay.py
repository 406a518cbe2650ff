"""Upstreams that say what was recorded, byte for byte, and remember what they were asked.  On a real port.

    replay.play(recorded("anthropic/messages-stream-otel-"))       the next one who asks for that gets it
    client.messages.create(model="anthropic/claude", stream=True, …)
    replay.asked.json["tools"]                                     what the gateway has made of it

All providers live at one address, each beneath its own name: `http://127.0.0.1:PORT/anthropic/v1/messages`.  An
answer is chosen by its place: provider, last word of the path, streamed or not.  What nobody has prepared is a 500,
but for lists of models, which gateways ask for when they like.  Nothing here waits for a clock.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import trio
from e2e_house import ASKED_ONCE
from msgspec import Struct
from msgspec.structs import replace

from hoosh.testing.upstream import Body, End, FakeUpstream, Head, Received, Script

WIRE = Path(__file__).resolve().parents[2].parent / "shared" / "wire"
PROVIDERS = {  # our type → the folder of its recordings
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "gemini",
    "ollama": "ollama",
    "mistral": "mistral",
    "groq": "groq",
    "deepseek": "deepseek",
    "whisper": "whispercpp",
}
FOLDERS = {folder: provider for provider, folder in PROVIDERS.items()}
MEDIA_TYPES = {"json": "application/json", "sse": "text/event-stream", "ndjson": "application/x-ndjson"}
LEFT_OUT = frozenset({"content-length", "content-encoding", "transfer-encoding", "connection"})
"""Of recorded headers: the bodies are stored decoded, and framed anew here."""
PIECE_BYTES = 9973
"""A body comes in pieces that respect no event, line or letter."""


class Recorded(Struct, frozen=True):
    """One exchange: where it was asked for, and what came back."""

    provider: str
    action: str
    """The last word of the path: `messages`, `completions`, `generateContent`, …"""
    streamed: bool
    status: int
    headers: Mapping[str, str]
    request: bytes
    response: bytes

    @property
    def asked(self) -> dict[str, Any]:
        """The recorded request."""
        value: dict[str, Any] = json.loads(self.request)
        return value

    @property
    def answer(self) -> dict[str, Any]:
        """The recorded answer, where it is one JSON object."""
        value: dict[str, Any] = json.loads(self.response)
        return value

    @property
    def events(self) -> list[dict[str, Any]]:
        """The objects of a recorded stream, in order, read as simply as can be."""
        lines = [line.removeprefix("data:").strip() for line in self.response.decode().splitlines()]
        return [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def script(self) -> Script:
        pieces = [self.response[at : at + PIECE_BYTES] for at in range(0, len(self.response), PIECE_BYTES)]
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items() if name not in LEFT_OUT]
        return [Head(self.status, headers), *map(Body, pieces), End()]


_numbers = count()


def some_model(provider: str) -> str:
    """Of its own for each test: a provider that has said `retry-after` is not asked for that model before it is due."""
    return f"{provider}/some-model-{next(_numbers)}"


@cache
def recorded(beginning: str) -> Recorded:
    """The one recording whose `folder/name` is or begins so."""
    trees = ("fixtures", "documented")
    found = [path for tree in trees for path in WIRE.glob(f"{tree}/{beginning}.meta.json")]
    found = found or [path for tree in trees for path in WIRE.glob(f"{tree}/{beginning}*.meta.json")]
    assert len(found) == 1, f"{beginning}: {len(found)} recordings"
    meta = json.loads(found[0].read_text())
    files = {role: (found[0].parent / name) for role, name in meta["files"].items()}
    kind = files["response"].suffix[1:]
    headers = {name.lower(): value for name, value in (meta.get("response_headers") or {}).items()}
    return Recorded(
        FOLDERS[meta["provider"]],
        action_of(meta["endpoint"]),
        meta["streaming"],
        meta["status"],
        {"content-type": MEDIA_TYPES.get(kind, "application/octet-stream"), **headers},
        files["request"].read_bytes() if "request" in files else b"{}",
        files["response"].read_bytes(),
    )


def made(
    provider: str, action: str, answer: Any, *, streamed: bool = False, status: int = 200, **headers: str
) -> Recorded:
    """An answer written by hand, where nobody has recorded one."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    kind = {"content-type": MEDIA_TYPES["sse" if streamed else "json"]}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Recorded(provider, action, streamed, status, {**kind, **named}, b"{}", body)


def breaks_late(recording: Recorded, times: int = 10) -> Recorded:
    """The events of a stream again and again before its error: far more than fits between two sockets at once.

    What breaks before anything has been sent on is answered with a status; this cannot be.
    """
    first, *rest = recording.response.split(b"\n\n")
    at = next(number for number, event in enumerate(rest) if b'"error"' in event)
    return replace(recording, response=b"\n\n".join([first, *rest[:at] * times, *rest[at:]]))


def action_of(target: str) -> str:
    return target.partition("?")[0].rstrip("/").rpartition("/")[2].rpartition(":")[2]


class Asked(Struct, frozen=True):
    """What the upstream was asked, apart from lists."""

    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


GPT = {"id": "gpt-5-nano", "object": "model", "created": 1754426384, "owned_by": "system"}
ANTHROPIC_LIST = {
    "data": [
        {"type": "model", "id": "claude-sonnet-4-5", "display_name": "Claude", "created_at": "2025-09-29T00:00:00Z"}
    ],
    "has_more": False,
    "first_id": "claude-sonnet-4-5",
    "last_id": "claude-sonnet-4-5",
}
GOOGLE_LIST = {
    "models": [
        {
            "name": "models/gemini-2.5-flash",
            "inputTokenLimit": 1048576,
            "outputTokenLimit": 65536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }
    ]
}


@cache
def listed(provider: str) -> Recorded | None:
    """What a provider says when it is asked for its models."""
    match provider:
        case "openai":
            return made("openai", "models", {"object": "list", "data": [GPT]})
        case "anthropic":
            return made("anthropic", "models", ANTHROPIC_LIST)
        case "google":
            return made("google", "models", GOOGLE_LIST)
        case "whisper":
            return None
        case _:
            return recorded(f"{PROVIDERS[provider]}/models-rig-")


class Replay:
    """The upstreams' side, for a test: what they will say, and what they have heard."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard: list[Asked] = []
        self.unexpected: list[str] = []
        self._prepared: dict[tuple[str, str], deque[Recorded]] = {}

    def url(self, provider: str) -> str:
        return f"http://127.0.0.1:{self.port}/{provider}"

    def play(self, *answers: Recorded) -> None:
        """Let these be the answers to the next requests of their places, in this order."""
        for answer in answers:
            self._prepared.setdefault((answer.provider, answer.action), deque()).append(answer)

    @property
    def asked(self) -> Asked:
        """The last thing it was asked."""
        return self.heard[-1]

    def forget(self) -> None:
        self.heard.clear()
        self.unexpected.clear()
        self._prepared.clear()

    def answer(self, request: Received) -> Script:
        """In the upstream's own thread."""
        provider = request.target.lstrip("/").partition("/")[0]
        action = action_of(request.target)
        if request.method == "GET" or action == "show":
            return self._about_models(provider, action)
        headers = {name.decode(): value.decode() for name, value in request.headers.raw}
        self.heard.append(Asked(request.target, headers, request.body))
        prepared = self._prepared.get((provider, action))
        if not prepared or not _fits(prepared[0], request):
            self.unexpected.append(f"{request.method} {request.target} {request.body[:300]!r}")
            return made(provider, action, b"nobody has prepared this", status=500).script
        return prepared.popleft().script

    def _about_models(self, provider: str, action: str) -> Script:
        answer = listed(provider) if action in ("models", "tags") else None
        return (answer or made(provider, action, {"error": "no such thing here"}, status=404)).script


def _fits(answer: Recorded, request: Received) -> bool:
    """An error may answer anything; what is streamed answers who wants a stream."""
    if answer.status != 200 or answer.action.startswith("stream"):
        return True
    wants_stream = b'"stream":true' in request.body.replace(b" ", b"")
    return wants_stream == answer.streamed or request.body.startswith(b"--")


class ReplayThread:
    """`Replay`, served by a Trio of its own, so that clients that block can be tested against it."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._serve,), name="replay")
        self._thread.start()
        self._ready.wait()

    async def _serve(self) -> None:
        upstream = FakeUpstream(lambda request: self.replay.answer(request))
        async with trio.open_nursery() as nursery:
            self.replay = Replay(await nursery.start(upstream.serve_tcp))
            self._scope, self._token = nursery.cancel_scope, trio.lowlevel.current_trio_token()
            self._ready.set()

    def stop(self) -> None:
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join()


def config_of(replay: Replay, port: int, providers: Sequence[str] = tuple(PROVIDERS)) -> str:
    """A gateway before all of them, with one key.  It keeps no answers: each test wants its own."""
    text = f"""
[server]
port = {port}

[discovery]
local = false
environment = false

{ASKED_ONCE}
[cache]
enabled = false

[[keys]]
name = "team"
key = "$E2E_CLIENT_KEY"
"""
    for provider in providers:
        key = 'api_key = "$E2E_UPSTREAM_KEY"\n' if provider not in ("ollama", "whisper") else ""
        text += f'\n[[providers]]\ntype = "{provider}"\nbase_url = "{replay.url(provider)}"\n{key}'
    return text
