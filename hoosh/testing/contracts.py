"""What every upstream dialect must hold, built in or a plugin's: call it from your own tests.

    def test_my_dialect_keeps_the_contract():
        check_dialect(MyDialect, samples=[Sample(stream=b"…", whole=b"…", reply=ChatReply(...))])

Without samples it shows that nothing a client or an upstream sends breaks the dialect; samples show that it decodes
what its vendor really sends, wherever TCP cuts it, that half a stream is never taken for a whole one, and that a stream
can be ended early wherever it stands.

Raises AssertionError with a sentence about what does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from msgspec import Raw, Struct
from msgspec.structs import replace

from hoosh.dialects.contract import Ending, Outgoing, Passage, Stamp, StreamDecoder, UpstreamDialect
from hoosh.dialects.openai import OpenAIDownstream
from hoosh.dialects.replies import fold
from hoosh.dialects.translation import Translation
from hoosh.errors import InvalidRequest, ProtocolViolation, UpstreamError
from hoosh.values import (
    AudioPart,
    Call,
    CallKind,
    Capability,
    ChatReply,
    ChatRequest,
    DataSource,
    Effort,
    EmbeddingRequest,
    Finished,
    ImagePart,
    JsonFormat,
    Message,
    Part,
    Reasoning,
    ReasoningPart,
    ReplyEvent,
    Role,
    Sampling,
    SchemaFormat,
    TextPart,
    Tool,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStarted,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    Usage,
)

__all__ = ["REQUESTS", "Sample", "check_dialect"]

P = "provider"
STAMP = Stamp("1", "m", 0)
LANGUAGES = ("openai", "anthropic", "ollama", "responses")
EARLY_ENDS_MAX = 200
CUTS_MAX = 3_000
"""A longer stream is not cut at each byte, but at so many of them."""


class Sample(Struct, frozen=True):
    """What an upstream sends, and what it means.  b"" where there is no such form."""

    reply: ChatReply
    stream: bytes = b""
    whole: bytes = b""


def check_dialect(make: Callable[[], UpstreamDialect], samples: Sequence[Sample] = (), *, seed: int = 7) -> None:
    """`make` gives a fresh dialect.  `seed` chooses the hostile bytes; it is named in every complaint."""
    dialect = make()
    _check_face(dialect)
    for name, request in REQUESTS.items():
        _check_request(dialect, name, request)
    _check_embeddings(dialect)
    for body in (*HOSTILE, *_noise(seed), *_broken(samples, seed)):
        _check_hostile(dialect, body, f"seed {seed}")
    for sample in samples:
        _check_sample(dialect, sample)


def _hold(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)


# -- requests ----------------------------------------------------------------------------------------------------


def _user(*parts: Part) -> Message:
    return Message(Role.USER, parts)


_HELLO = (_user(TextPart("Salam, dünya 🌍")),)
_SCHEMA = Raw(b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}')
_TOOLS = (Tool("weather", "The weather of a city.", _SCHEMA), Tool("now"))
_CALLS = Message(
    Role.ASSISTANT,
    (
        ReasoningPart("Two cities."),
        ToolCallPart("call_1", "weather", '{"city":"Tehran"}'),
        ToolCallPart("call_2", "weather", '{"city":"Baku"}'),
    ),
)
_RESULTS = Message(
    Role.TOOL,
    (ToolResultPart("call_1", (TextPart("21"),)), ToolResultPart("call_2", (TextPart("cold"),), is_error=True)),
)
_PNG = DataSource("image/png", "iVBORw0KGgo=")

REQUESTS: dict[str, ChatRequest] = {
    "text": ChatRequest("m", _HELLO),
    "stream": ChatRequest("m", _HELLO, stream=True),
    "system": ChatRequest("m", (Message(Role.SYSTEM, (TextPart("Be brief."),)), *_HELLO)),
    "turns": ChatRequest("m", (*_HELLO, Message(Role.ASSISTANT, (TextPart("Salam!"),)), *_HELLO)),
    "prefill": ChatRequest("m", (*_HELLO, Message(Role.ASSISTANT, (TextPart("Sal"),)))),
    "tools": ChatRequest("m", _HELLO, tools=_TOOLS, parallel_tool_calls=False),
    "tool required": ChatRequest("m", _HELLO, tools=_TOOLS, tool_choice=ToolChoice(ToolMode.REQUIRED)),
    "tool named": ChatRequest("m", _HELLO, tools=_TOOLS, tool_choice=ToolChoice(ToolMode.NAMED, "now")),
    "tool none": ChatRequest("m", _HELLO, tools=_TOOLS, tool_choice=ToolChoice(ToolMode.NONE)),
    "tool results": ChatRequest("m", (*_HELLO, _CALLS, _RESULTS), tools=_TOOLS),
    "vision": ChatRequest("m", (_user(TextPart("What is it?"), ImagePart(_PNG)),)),
    "audio": ChatRequest("m", (_user(AudioPart("UklGRg==", "wav")),)),
    "json": ChatRequest("m", _HELLO, reply_format=JsonFormat()),
    "schema": ChatRequest("m", _HELLO, reply_format=SchemaFormat(_SCHEMA, "city", strict=True)),
    "reasoning": ChatRequest("m", _HELLO, reasoning=Reasoning(effort=Effort.HIGH)),
    "no reasoning": ChatRequest("m", _HELLO, reasoning=Reasoning(effort=Effort.NONE)),
    "sampling": ChatRequest(
        "m", _HELLO, sampling=Sampling(temperature=0.5, top_p=0.9, top_k=40, seed=1, stop=("\n", ""), max_tokens=64)
    ),
    "choices": ChatRequest("m", _HELLO, sampling=Sampling(n=2)),
}
"""A request of each kind, by name."""


def _check_face(dialect: UpstreamDialect) -> None:
    _hold(dialect.name.isprintable() and dialect.name != "", "a dialect has a name that can be printed")
    _hold(all(isinstance(one, Capability) for one in dialect.capabilities), "capabilities are Capability's own")
    for name, value in dialect.auth("sk-test"):
        _hold(name == name.lower(), f"header names are lower-case bytes: {name!r}")
        _hold(isinstance(value, bytes), f"header values are bytes: {name!r}")
    listing = dialect.models_request()
    _hold(listing is None or listing.path.startswith("/"), "the path of the model list begins with a slash")
    memory = dialect.memory_request()
    _hold(memory is None or memory.path.startswith("/"), "the path that tells what is in memory begins with a slash")
    foreign = Call(CallKind.CHAT, "m", {}, language="no such language")
    _hold(dialect.passage(foreign) is None, "a call in a language it does not speak has no passage")


def _check_request(dialect: UpstreamDialect, name: str, request: ChatRequest) -> None:
    try:
        outgoing = dialect.encode_chat(request, model="model/of-mine")
    except InvalidRequest as refused:
        _hold(str(refused) != "", f"the request `{name}` is refused without a word")
        _hold(name not in ("text", "stream", "system", "turns"), f"the request `{name}` is refused: {refused}")
        return
    _check_outgoing(outgoing, f"the request `{name}`")


def _check_outgoing(outgoing: Outgoing, what: str) -> None:
    path = outgoing.path
    _hold(path.startswith("/") and path.isascii() and " " not in path, f"{what} goes to no path: {path!r}")
    for name, _ in outgoing.headers:
        _hold(name == name.lower(), f"header names are lower-case bytes: {name!r} of {what}")
        is_ours = name in (b"authorization", b"content-length", b"host")
        _hold(not is_ours, f"{name!r} of {what} is not a dialect's to send")


def _check_embeddings(dialect: UpstreamDialect) -> None:
    request = EmbeddingRequest("m", ("one", "two"))
    try:
        outgoing = dialect.encode_embeddings(request, model="m")
    except InvalidRequest:
        _hold(Capability.EMBEDDINGS not in dialect.capabilities, "it says that it has embeddings, and refuses them")
    else:
        _check_outgoing(outgoing, "a request for embeddings")


# -- hostile bytes -----------------------------------------------------------------------------------------------

HOSTILE = (
    b"",
    b"\x00\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"12e999",
    b"{" * 5_000,
    b"[" * 5_000,
    b'{"error":',
    b'{"error":"text"}',
    b'{"error":{"message":null,"code":[1]}}',
    b'{"choices":[{"delta":{"content":1}}],"usage":"no"}',
    b'{"candidates":[{"content":{"parts":[{"functionCall":7}]}}]}',
    b'{"message":{"content":[]},"done":"yes"}',
    b'{"type":"content_block_delta","index":-1,"delta":null}',
    b"data: {}\n\n" * 3 + b"data: [DONE]\n\n",
    b"event: error\ndata: text\n\n",
    b'data: {"error":{"message":"\\ud800"}}\n\n',
    b"<html><title>502 Bad Gateway</title></html>",
)


def _noise(seed: int) -> Iterator[bytes]:
    random = Random(seed)
    for _ in range(50):
        yield random.randbytes(random.randrange(1, 200))


def _broken(samples: Sequence[Sample], seed: int) -> Iterator[bytes]:
    """What the vendor sends, with a few bytes of it changed."""
    random = Random(seed)
    for body in [form for sample in samples for form in (sample.stream, sample.whole) if form]:
        for _ in range(50):
            broken = bytearray(body)
            for _ in range(random.randrange(1, 4)):
                broken[random.randrange(len(broken))] = random.randrange(256)
            yield bytes(broken)


def _check_hostile(dialect: UpstreamDialect, body: bytes, seed: str) -> None:
    shown = f"{body[:80]!r} ({seed})"
    error = dialect.decode_error(418, "soon", body, provider=P)
    _hold(isinstance(error, UpstreamError), f"an error body gives no UpstreamError: {shown}")
    _hold(str(error) != "", f"an error without a message: {shown}")
    _raises_only(UpstreamError, lambda: dialect.decode_chat(body, provider=P), f"a whole reply {shown}")
    _raises_only(UpstreamError, lambda: dialect.decode_embeddings(body, provider=P), f"embeddings {shown}")
    _raises_only(UpstreamError, lambda: dialect.decode_token_count(body, provider=P), f"a token count {shown}")
    cards = dialect.read_models(body, default_owner="somebody")
    _hold(all(card.id and card.owned_by for card in cards), f"a model without name or owner: {shown}")
    sizes = dialect.read_memory(body)
    _hold(all(isinstance(name, str) for name in sizes), f"models in memory without a name: {shown}")
    _check_events(*_decode(dialect, [body]), shown)


def _raises_only(expected: type[Exception], act: Callable[[], object], what: str) -> None:
    try:
        act()
    except expected:
        pass
    except Exception as error:
        raise AssertionError(f"{what}: {error!r} instead of {expected.__name__}") from error


def _decode(dialect: UpstreamDialect, pieces: Sequence[bytes]) -> tuple[list[ReplyEvent], Ending, StreamDecoder]:
    decoder = dialect.chat_decoder(provider=P)
    events: list[ReplyEvent] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        has_finished = decoder.has_finished
        rest, ending = decoder.close()
    except ProtocolViolation:
        return events, Ending.FAILED, decoder
    _hold(not has_finished or ending is Ending.COMPLETE, f"`has_finished`, and closed it is {ending}: {pieces!r}")
    return events + rest, ending, decoder


def _check_events(events: Sequence[ReplyEvent], ending: Ending, decoder: StreamDecoder, shown: str) -> None:
    finished = [at for at, event in enumerate(events) if isinstance(event, Finished)]
    if ending is Ending.COMPLETE:
        _hold(len(finished) == 1, f"a whole stream has one finish reason, not {len(finished)}: {shown}")
        _hold(decoder.error is None, f"a stream with an error is not whole: {shown}")
    known: set[int] = set()
    for event in events:
        if isinstance(event, ToolCallStarted):
            _hold(event.index == len(known), f"tool calls are numbered from 0 without gaps: {shown}")
            _hold(event.id != "" and event.name != "", f"a tool call has an id and a name: {shown}")
            known.add(event.index)
        elif isinstance(event, ToolCallDelta):
            _hold(event.index in known, f"arguments of a call that has not started: {shown}")


# -- samples -----------------------------------------------------------------------------------------------------


def _check_sample(dialect: UpstreamDialect, sample: Sample) -> None:
    if sample.whole:
        reply = dialect.decode_chat(sample.whole, provider=P)
        _hold(_same(reply, sample.reply), f"the whole reply is read as {reply}, not {sample.reply}")
    if sample.stream:
        _check_stream(dialect, sample)
        for language in LANGUAGES:
            call = Call(CallKind.CHAT, "m", {}, stream=True, language=language)
            if (passage := dialect.passage(call)) is not None:
                _check_early_ends(passage, call, sample.stream)
        call = Call(CallKind.CHAT, "m", {}, stream=True)
        _check_early_ends(Translation(OpenAIDownstream(), dialect), call, sample.stream)


def _check_stream(dialect: UpstreamDialect, sample: Sample) -> None:
    stream = sample.stream
    step = max(1, len(stream) // CUTS_MAX)
    for cut in range(0, len(stream) + 1, step):
        events, ending, decoder = _decode(dialect, [stream[:cut], stream[cut:]])
        _check_events(events, ending, decoder, f"cut at {cut}")
        _hold(ending is Ending.COMPLETE, f"cut at {cut}, the stream ends {ending}: {decoder.error}")
        reply = fold(events)
        _hold(_same(reply, sample.reply), f"cut at {cut}, the stream is read as {reply}, not {sample.reply}")
        events, ending, _ = _decode(dialect, [stream[:cut]])
        if ending is Ending.COMPLETE:  # only what follows the answer is missing
            _hold(fold(events).parts == reply.parts, f"the first {cut} bytes of {len(stream)} are taken for the whole")
    crlf = stream.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    events, ending, _ = _decode(dialect, [crlf[at : at + 1] for at in range(len(crlf))])
    _hold(ending is Ending.COMPLETE and _same(fold(events), sample.reply), "CRLF, byte by byte, is read differently")


def _check_early_ends(passage: Passage, call: Call, stream: bytes) -> None:
    """For a budget that runs dry: after any bytes there is an end for the client, or none; and pieces are counted."""
    for cut in range(0, len(stream) + 1, max(1, len(stream) // EARLY_ENDS_MAX)):
        tap = passage.tap(call, STAMP, provider=P)
        tap.feed(stream[:cut])
        chunks, had_content = tap.chunks, tap.has_content
        try:
            rest = tap.finish_early(Usage(9, 3))
        except Exception as error:
            raise AssertionError(f"ended early after {cut} bytes, the tap raises {error!r}") from error
        _hold(rest is None or isinstance(rest, bytes), f"ended early after {cut} bytes, the tap gives {rest!r}")
        _hold(had_content or not chunks, f"chunks are counted from the first with content on, not at {cut} bytes")


def _same(one: ChatReply, other: ChatReply) -> bool:
    """Equal but for ids that had to be invented ("" in a sample)."""
    if len(one.parts) != len(other.parts):
        return False
    for mine, wanted in zip(one.parts, other.parts, strict=True):
        invented = getattr(wanted, "id", None) == "" and type(mine) is type(wanted)
        if mine != wanted and not (invented and mine == _with_id(wanted, getattr(mine, "id", ""))):
            return False
    return (one.finish.reason, one.usage) == (other.finish.reason, other.usage)


def _with_id(part: object, own: str) -> object:
    return replace(part, id=own)  # type: ignore[type-var]
