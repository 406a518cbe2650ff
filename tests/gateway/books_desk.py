"""What the tests of the books ask for: questions in every language, answers, and the rows that came of it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import trio

from hoosh.audit import AuditEntry
from hoosh.config import Budget, Key
from hoosh.cost import PriceOverride
from hoosh.errors import TransportError
from hoosh.gateway.journal import decode_row
from hoosh.http.message import HeaderList, Headers, HttpRequest, RequestHead
from hoosh.testing.house import GATEWAY, PATIENCE, MemoryHouse
from hoosh.testing.upstream import Body, End, Head, Script, json_reply, sse_chat
from hoosh.values import Secret, Settlement

PRICES = (PriceOverride(model="*", input=2.0, output=8.0, cached_input=0.5, audio_input=40.0),)
MESSAGES = [{"role": "user", "content": "salam"}]
JSON: HeaderList = [(b"content-type", b"application/json")]
FORM: HeaderList = [(b"content-type", b"multipart/form-data; boundary=line")]


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Form(NamedTuple):
    """How one kind is asked for, and how a provider of `type` answers: whole, and whole without a count."""

    path: str
    ask: Any
    type: str
    reply: Script
    uncounted: Script
    tokens: tuple[int, int]


def chat(usage: dict[str, Any] | None, text: str = "salam donya") -> Script:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    told = {} if usage is None else {"usage": usage}
    return json_reply({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], **told})


def completion(usage: dict[str, Any] | None) -> Script:
    told = {} if usage is None else {"usage": usage}
    choice = {"index": 0, "text": "salam donya", "finish_reason": "stop"}
    return json_reply({"id": "c", "object": "text_completion", "model": "m", "choices": [choice], **told})


def embedding(usage: dict[str, Any] | None) -> Script:
    told = {} if usage is None else {"usage": usage}
    data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    return json_reply({"object": "list", "model": "m", "data": data, **told})


def message(usage: dict[str, Any] | None) -> Script:
    shell = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    told = {} if usage is None else {"usage": usage}
    return json_reply({**shell, "stop_sequence": None, "content": [{"type": "text", "text": "salam donya"}], **told})


def response(usage: dict[str, Any] | None) -> Script:
    text = {"type": "output_text", "text": "salam donya", "annotations": []}
    item = {"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": [text]}
    shell = {"id": "r", "object": "response", "status": "completed", "model": "m", "created_at": 1}
    return json_reply({**shell, "output": [item], **({} if usage is None else {"usage": usage})})


def ollama(counts: dict[str, Any]) -> Script:
    said = {"role": "assistant", "content": "salam donya"}
    return json_reply({"model": "m", "created_at": "x", "message": said, "done": True, "done_reason": "stop", **counts})


def sound(*pieces: bytes) -> Script:
    return [Head(200, [(b"content-type", b"audio/mpeg")]), *map(Body, pieces), End()]


MP3 = b"\xff\xf3\xc4" + bytes(500)
COUNTED = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
PROMPT_ONLY = {"prompt_tokens": 11, "total_tokens": 11}
OF_RESPONSES = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
OF_ANTHROPIC = {"input_tokens": 11, "output_tokens": 7}
OF_OLLAMA = {"prompt_eval_count": 11, "eval_count": 7}
TRANSCRIPTION = (
    b'--line\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n'
    b'--line\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF....WAVE'
    + bytes(4000)
    + b"\r\n--line--\r\n"
)
CHAT_ASK = {"model": "m", "messages": MESSAGES}
RESPONSE_ASK = {"model": "m", "input": "salam", "store": False}
CLAUDE_ASK = {**CHAT_ASK, "max_tokens": 50}
OLLAMA_ASK = {**CHAT_ASK, "stream": False}
OPENAI = "openai-compatible"
FORMS: dict[str, Form] = {
    "chat": Form("/v1/chat/completions", CHAT_ASK, OPENAI, chat(COUNTED), chat(None), (11, 7)),
    "completion": Form(
        "/v1/completions", {"model": "m", "prompt": "salam"}, OPENAI, completion(COUNTED), completion(None), (11, 7)
    ),
    "embedding": Form(
        "/v1/embeddings", {"model": "m", "input": "salam"}, OPENAI, embedding(PROMPT_ONLY), embedding(None), (11, 0)
    ),
    "responses": Form("/v1/responses", RESPONSE_ASK, "openai", response(OF_RESPONSES), response(None), (11, 7)),
    "messages": Form("/v1/messages", CLAUDE_ASK, "anthropic", message(OF_ANTHROPIC), message(None), (11, 7)),
    "ollama": Form("/api/chat", OLLAMA_ASK, "ollama", ollama(OF_OLLAMA), ollama({}), (11, 7)),
    "transcription": Form(
        "/v1/audio/transcriptions",
        TRANSCRIPTION,
        OPENAI,
        json_reply({"text": "salam", "usage": OF_RESPONSES}),
        json_reply({"text": "salam"}),
        (11, 7),
    ),
    "speech": Form(
        "/v1/audio/speech", {"model": "m", "input": "salam", "voice": "nova"}, OPENAI, sound(MP3), sound(MP3), (2, 0)
    ),
    "messages of a chat model": Form("/v1/messages", CLAUDE_ASK, OPENAI, chat(COUNTED), chat(None), (11, 7)),
    "chat of Claude": Form(
        "/v1/chat/completions", CHAT_ASK, "anthropic", message(OF_ANTHROPIC), message(None), (11, 7)
    ),
    "ollama of a chat model": Form("/api/chat", OLLAMA_ASK, OPENAI, chat(COUNTED), chat(None), (11, 7)),
}


async def send(house: MemoryHouse, path: str, ask: Any, headers: HeaderList = ()) -> Answer:
    kind, body = (FORM, ask) if isinstance(ask, bytes) else (JSON, json.dumps(ask).encode())
    request = HttpRequest(RequestHead(GATEWAY, "POST", path, (*kind, *headers)), body)
    body = b""
    async with house.client.exchange(request, PATIENCE) as response:
        try:
            while data := await response.receive():
                body += data
        except TransportError:  # it was cut
            pass
        return Answer(response.status, response.headers, body)


async def idle(house: MemoryHouse) -> None:
    """Until nothing runs, and all is written down."""
    while house.gateway.in_flight or house.gateway.caching.flights.statistics().flights:
        await trio.sleep(0.01)
    await trio.sleep(0.5)
    check_nothing_is_taken(house)


def check_nothing_is_taken(house: MemoryHouse) -> None:
    books = house.gateway.books
    assert [state for state in books.ledger.pools(books.now_ms()) if state.held] == []
    assert [scope for scope in books.admission.gate.statistics(trio.current_time()).scopes if scope.running] == []
    assert books.guard._streams == {}


async def rows_of(house: MemoryHouse) -> list[Settlement]:
    """Every settlement in the journal.  Nothing runs any more."""
    await idle(house)
    rows = await house.gateway.store.log("ledger").read(0, 100_000)
    entries = [decode_row(row.body, row.position) for row in rows]
    return [entry for entry in entries if isinstance(entry, Settlement)]


async def row_of(house: MemoryHouse) -> Settlement:
    (row,) = await rows_of(house)
    return row


async def trail_of(house: MemoryHouse) -> list[AuditEntry]:
    await idle(house)
    assert house.gateway.trail is not None
    return await house.gateway.trail.read(0, 10_000)


def used(house: MemoryHouse, pool: str) -> int:
    books = house.gateway.books
    return books.ledger.pool(pool, books.now_ms()).used


def key(name: str, **settings: Any) -> Key:
    return Key(name=name, key=Secret(f"{name}-key"), **settings)


def by(name: str, *more: tuple[bytes, bytes]) -> HeaderList:
    return [(b"authorization", f"Bearer {name}-key".encode()), *more]


def pool(name: str = "purse", capacity: float = 5000, **settings: Any) -> Budget:
    return Budget(name=name, capacity=capacity, **settings)


def told(reply: bytes) -> Any:
    """The usage that an answer of OpenAI's, Anthropic's or Responses' shape shows, whole or streamed; {} for none."""
    if not reply.startswith((b"data:", b"event:")):
        return json.loads(reply).get("usage") or {}
    lines = [line[5:] for line in reply.splitlines() if line.startswith(b"data: {")]
    usages = [event.get("usage") or event.get("response", {}).get("usage") for event in map(json.loads, lines)]
    return next((usage for usage in reversed(usages) if usage), {})


STREAMED = sse_chat("sa", "lam", " don", "ya")
