"""A chat, completion or embedding call in OpenAI's language, as a request in our own words.

The fields of the call are decoded as one typed body, so what is read is what `read` has decided on: a key given twice
counts once, our own fields are gone, a limit is in force.

A completion is a chat of one user message.  What only a completion can do (several prompts, tokens, `suffix`, `echo`,
`best_of`) is refused here, since only a provider of OpenAI's own language could do it.

Source: `openai-openapi.trimmed.json`; wire notes 2.1.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from hoosh.dialects.bodies import decode_fields, raw_of
from hoosh.dialects.mistakes import (
    below_minimum,
    empty_array,
    invalid_value,
    missing,
    only_openai,
    wrong_type,
)
from hoosh.dialects.openai.body import ChatBody, CompletionBody
from hoosh.dialects.openai.conversation import read_conversation
from hoosh.dialects.openai.extension import extensions_of
from hoosh.dialects.openai.settings import read_choice, read_format, read_reasoning, read_sampling, read_tools
from hoosh.values import Call, ChatRequest, EmbeddingEncoding, EmbeddingRequest, Message, Role, TextPart

__all__ = ["chat_request", "completion_request", "embedding_request", "hides_reasoning"]


class EmbeddingBody(Struct, gc=False):
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None
    user: str | None = None


class Display(Struct, gc=False):
    """What a client says of the reasoning in its answer, to OpenRouter."""

    exclude: bool | None = None


_decode_chat = msgspec.json.Decoder(ChatBody).decode
_decode_completion = msgspec.json.Decoder(CompletionBody).decode
_decode_embedding = msgspec.json.Decoder(EmbeddingBody).decode
_decode_display = msgspec.json.Decoder(Display).decode


def chat_request(call: Call) -> ChatRequest:
    body = decode_fields(call.fields, _decode_chat)
    tools = read_tools(body)
    return ChatRequest(
        model=call.model,
        messages=read_conversation(body.messages),
        stream=call.stream,
        tools=tools,
        tool_choice=read_choice(body, tools),
        parallel_tool_calls=body.parallel_tool_calls if tools else None,
        reply_format=read_format(body.response_format),
        reasoning=read_reasoning(body),
        sampling=read_sampling(
            body,
            call.max_tokens,
            logprobs=body.logprobs is True,
            top_logprobs=body.top_logprobs if body.logprobs else None,
        ),
        user=body.user or body.safety_identifier,
        extensions=extensions_of(body),
    )


def completion_request(call: Call) -> ChatRequest:
    body = decode_fields(call.fields, _decode_completion)
    if body.suffix:
        raise only_openai("suffix", "A 'suffix'")
    if body.echo:
        raise only_openai("echo", "An 'echo' of the prompt")
    if body.best_of is not None and body.best_of > 1:
        raise only_openai("best_of", "'best_of' more than one")
    if call.max_tokens == 0:
        raise below_minimum("max_tokens", 0, 1)
    prompt = Message(Role.USER, (TextPart(_prompt(body)),))
    asks_logprobs = body.logprobs is not None and body.logprobs is not False
    top = int(body.logprobs) if asks_logprobs and body.logprobs is not True and body.logprobs else None
    return ChatRequest(
        model=call.model,
        messages=(prompt,),
        stream=call.stream,
        sampling=read_sampling(body, call.max_tokens, logprobs=asks_logprobs, top_logprobs=top),
        user=body.user,
        extensions=extensions_of(body),
    )


def embedding_request(call: Call) -> EmbeddingRequest:
    body = decode_fields(call.fields, _decode_embedding)
    if body.dimensions is not None and body.dimensions < 1:
        raise below_minimum("dimensions", body.dimensions, 1)
    try:
        encoding = EmbeddingEncoding(body.encoding_format or "float")
    except ValueError:
        raise invalid_value("encoding_format", body.encoding_format or "", ("float", "base64")) from None
    return EmbeddingRequest(call.model, _inputs(body.input), body.dimensions, encoding, body.user)


def hides_reasoning(call: Call) -> bool:
    """Whether the client wants no reasoning in its answer: OpenRouter's `reasoning.exclude`, `include_reasoning`."""
    fields = dict(call.fields)
    if raw_of(fields, "include_reasoning") == b"false":
        return True
    asked = raw_of(fields, "reasoning")
    try:
        return asked is not None and _decode_display(asked).exclude is True
    except msgspec.MsgspecError:
        return False


def _prompt(body: CompletionBody) -> str:
    prompt = body.prompt
    if prompt is None:
        raise missing("prompt")
    if isinstance(prompt, str):
        return prompt
    if len(prompt) != 1:
        raise only_openai("prompt", "Several prompts in one request")
    if not isinstance(prompt[0], str):
        raise only_openai("prompt", "A prompt of tokens")
    return prompt[0]


def _inputs(given: str | list[str | int | list[int]]) -> tuple[str | tuple[int, ...], ...]:
    """A text, several, one list of tokens, or several lists: never a mixture of numbers and the rest."""
    if isinstance(given, str):
        return (given,)
    if not given:
        raise empty_array("input")
    tokens = [item for item in given if isinstance(item, int)]
    if tokens:
        if len(tokens) != len(given):
            raise wrong_type("input", "an array of strings or of integers", "a mixture")
        return (tuple(tokens),)
    return tuple([item if isinstance(item, str) else tuple(item) for item in given if not isinstance(item, int)])
