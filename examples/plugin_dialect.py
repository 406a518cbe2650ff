"""A provider type of your own: Hugging Face's text-generation-inference (TGI), spoken to in its native language.

A plugin is one class and one line in the pyproject.toml of *your* package:

    [project.entry-points."hoosh.dialects"]
    tgi = "my_package:TgiDialect"

After `pip install my_package` beside hoosh, hoosh.toml may say

    [[providers]]
    type = "tgi"
    base_url = "http://localhost:3000"
    models = ["zephyr"]

and every client, whichever language it speaks, can ask `zephyr`.  `tests/examples/test_plugin_dialect.py` shows that it
keeps the contract (`hoosh.testing.contracts.check_dialect`) and that the OpenAI and Anthropic routes lead to it.

Source: the OpenAPI document of text-generation-inference, `POST /generate` and `/generate_stream`.
"""

from __future__ import annotations

import msgspec

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.contract import Ending, Outgoing
from hoosh.dialects.faults import error_in
from hoosh.dialects.simple import SimpleUpstream
from hoosh.errors import InvalidRequest, UpstreamBroke, UpstreamError
from hoosh.values import (
    ChatReply,
    ChatRequest,
    Finished,
    FinishReason,
    RefusalPart,
    ReplyEvent,
    ReplyStarted,
    Role,
    TextDelta,
    TextPart,
    TextSaid,
    Usage,
    UsageReported,
)

__all__ = ["TgiDialect"]

FINISH = {"length": FinishReason.LENGTH, "eos_token": FinishReason.STOP, "stop_sequence": FinishReason.STOP}


class Token(msgspec.Struct):
    text: str
    special: bool = False


class Details(msgspec.Struct):
    finish_reason: str
    generated_tokens: int = 0
    prefill: list[msgspec.Raw] = []


class Event(msgspec.Struct):
    """One event of a stream; `details` come with the last."""

    token: Token
    details: Details | None = None


class Answer(msgspec.Struct):
    generated_text: str
    details: Details | None = None


class TgiDialect(SimpleUpstream):
    """Text only: tools, pictures and schemas are refused, by name."""

    name = "tgi"

    def encode_chat(self, request: ChatRequest, *, model: str) -> Outgoing:
        refuse_what_it_cannot(request)
        sampling = request.sampling
        settings = {
            "max_new_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "seed": sampling.seed,
            "stop": list(sampling.stop) or None,
        }
        parameters = {name: value for name, value in settings.items() if value is not None}
        body = {"inputs": transcript(request), "parameters": {**parameters, "details": True}}
        return Outgoing("/generate_stream" if request.stream else "/generate", msgspec.json.encode(body))

    def decode_chat(self, body: bytes, *, provider: str) -> ChatReply:
        try:
            answer = msgspec.json.decode(body, type=Answer)
        except (ValueError, RecursionError) as error:
            raise error_of(body, provider) from error
        if answer.details is None:
            raise UpstreamBroke("The upstream's answer has no details.", provider=provider)
        return ChatReply((TextSaid(answer.generated_text),), finish_of(answer.details), usage_of(answer.details))

    def chat_decoder(self, *, provider: str) -> TgiDecoder:
        return TgiDecoder(provider)


class TgiDecoder:
    """A `StreamDecoder`: server-sent events in, ReplyEvents out."""

    def __init__(self, provider: str) -> None:
        self.usage: Usage | None = None
        self.has_content = False
        self.terminated = False
        self.error: UpstreamError | None = None
        self._provider = provider
        self._events = SseDecoder()
        self._started = False

    @property
    def has_finished(self) -> bool:
        """TGI says all of its end in one event."""
        return self.terminated and self.error is None

    def feed(self, data: bytes) -> list[ReplyEvent]:
        return self._read([event.data for event in self._events.feed(data)])

    def close(self) -> tuple[list[ReplyEvent], Ending]:
        rest = self._read([event.data for event in self._events.close()])
        if self.error is not None:
            return rest, Ending.FAILED
        return rest, Ending.COMPLETE if self.terminated else Ending.CUT

    def _read(self, texts: list[str]) -> list[ReplyEvent]:
        said: list[ReplyEvent] = []
        for text in texts:
            if self.terminated or self.error is not None:
                break
            said += self._take(text)
        return said

    def _take(self, text: str) -> list[ReplyEvent]:
        try:
            event = msgspec.json.decode(text, type=Event)
        except (ValueError, RecursionError):
            self.error = error_of(text.encode("utf-8", "replace"), self._provider)
            return []
        said: list[ReplyEvent] = [] if self._started else [ReplyStarted()]
        self._started = True
        if event.token.text and not event.token.special:
            self.has_content = True
            said.append(TextDelta(event.token.text))
        if event.details is not None:
            self.terminated = True
            self.usage = usage_of(event.details)
            said += [UsageReported(self.usage), finish_of(event.details)]
        return said


def refuse_what_it_cannot(request: ChatRequest) -> None:
    """Raises InvalidRequest: an answer that leaves out what was asked for would look like one that has it."""
    wanted = {
        "tools": request.tools,
        "response_format": request.reply_format,
        "n": request.sampling.n > 1,
        "logprobs": request.sampling.logprobs,
    }
    for name, is_wanted in wanted.items():
        if is_wanted:
            raise InvalidRequest(
                f"text-generation-inference has no `{name}`.", param=name, code="unsupported_parameter"
            )


def transcript(request: ChatRequest) -> str:
    """The conversation as one text.  Yours would follow the template of the model behind it."""
    lines = []
    for message in request.messages:
        said = []
        for part in message.parts:
            if not isinstance(part, TextPart | RefusalPart) or message.role is Role.TOOL:
                kind = type(part).__name__
                raise InvalidRequest(f"text-generation-inference takes text only, no {kind}.", param="messages")
            said.append(part.text)
        lines.append(f"<|{message.role.value}|>\n{''.join(said)}\n")
    return "".join([*lines, "<|assistant|>\n"])


def finish_of(details: Details) -> Finished:
    return Finished(FINISH.get(details.finish_reason, FinishReason.STOP), details.finish_reason)


def usage_of(details: Details) -> Usage:
    return Usage(len(details.prefill), max(0, details.generated_tokens))


def error_of(body: bytes, provider: str) -> UpstreamError:
    """What a body that is no answer tells of: `{"error": "…", "error_type": "…"}`, or nothing we understand."""
    try:
        told = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict) and told.get("error"):
        return error_in(told, provider=provider)
    return UpstreamBroke("The upstream's answer is none of text-generation-inference.", provider=provider)
