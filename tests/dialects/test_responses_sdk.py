"""OpenAI's own SDK against what we answer, without a network: whole, streamed, parsed, with tools, failing."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from hoosh.dialects.contract import ErrorFacts, Stamp
from hoosh.dialects.replies import unfold
from hoosh.dialects.responses import ResponsesDownstream, ResponseStore
from hoosh.values import (
    Annotation,
    CallKind,
    CallSaid,
    ChatReply,
    Finished,
    FinishReason,
    ReasoningSaid,
    RefusalSaid,
    ReplyPart,
    TextSaid,
    Usage,
)


class Gateway:
    """As much of a gateway as the SDK sees: one reply for all, one caller."""

    def __init__(self, *parts: ReplyPart, reason: FinishReason = FinishReason.STOP, fails: bool = False) -> None:
        self.reply = ChatReply(parts, Finished(reason), Usage(9, 3, 2, 1), "x", "true")
        self.fails = fails
        self.store = ResponseStore()
        self.asked = 0

    def client(self) -> OpenAI:
        transport = httpx2.MockTransport(self.answer)
        return OpenAI(
            base_url="http://hoosh/v1", api_key="k", max_retries=0, http_client=httpx2.Client(transport=transport)
        )

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        identity = request.url.path.removeprefix("/v1/responses").strip("/")
        if identity:
            return self.kept(request.method, identity)
        self.asked += 1
        dialect = ResponsesDownstream(self.store).for_caller("ann")
        call = dialect.read(CallKind.CHAT, request.read())
        dialect.chat_request(call)
        stamp = Stamp(f"r{self.asked}", "m", 1700000000)
        if not call.stream:
            return httpx2.Response(200, content=dialect.encode_reply(call, self.reply, stamp))
        encoder = dialect.chat_encoder(call, stamp)
        wire = dialect.keep_alive(call) + encoder.encode(tuple(unfold(self.reply)))
        wire += dialect.error_event(ErrorFacts(500, "broke", "server_error")) if self.fails else encoder.finish()
        return httpx2.Response(200, content=wire, headers={"content-type": dialect.stream_type.decode()})

    def kept(self, method: str, identity: str) -> httpx2.Response:
        identity, _, items = identity.partition("/")
        if items:
            body = self.store.input_items("ann", identity)
        else:
            body = (self.store.delete if method == "DELETE" else self.store.response)("ann", identity)
        missing = b'{"error":{"message":"gone"}}'
        return httpx2.Response(404 if body is None else 200, content=missing if body is None else body)


SAYS = (ReasoningSaid("hm", "sig", origin="anthropic"), TextSaid("hello", (Annotation("https://a", "A", 0, 5),)))
CALLS = (CallSaid("c1", "shout", '{"text":"x"}'), CallSaid("c2", "shout", '{"text":"y"}'))


def test_a_whole_answer():
    with Gateway(*SAYS).client() as client:
        response = client.responses.create(model="m", input="hi", temperature=0.5)
    assert (response.output_text, response.model, response.status) == ("hello", "true", "completed")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens_details.reasoning_tokens) == (9, 1)
    assert [item.type for item in response.output] == ["reasoning", "message"]


def test_a_streamed_answer_through_the_helper():
    with Gateway(*SAYS, *CALLS).client() as client, client.responses.stream(model="m", input="hi") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert "".join([event.delta for event in events if event.type == "response.output_text.delta"]) == "hello"
    snapshots = [event.snapshot for event in events if event.type == "response.function_call_arguments.delta"]
    assert snapshots == ['{"text":"x"}', '{"text":"y"}']
    assert final.output_text == "hello"
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "function_call"]


def test_an_answer_that_was_cut_short():
    gateway = Gateway(TextSaid("hel"), reason=FinishReason.LENGTH)
    with gateway.client() as client:
        *_, last = client.responses.create(model="m", input="hi", stream=True)
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"


class Answer(BaseModel):
    text: str


def test_a_parsed_answer_whole_and_streamed():
    with Gateway(TextSaid('{"text":"x"}')).client() as client:
        parsed = client.responses.parse(model="m", input="hi", text_format=Answer)
        with client.responses.stream(model="m", input="hi", text_format=Answer) as stream:
            streamed = stream.get_final_response()
    assert parsed.output_parsed == streamed.output_parsed == Answer(text="x")


def test_a_refusal_is_not_parsed():
    with Gateway(RefusalSaid("no")).client() as client:
        response = client.responses.parse(model="m", input="hi", text_format=Answer)
    assert response.output_parsed is None


def test_a_tool_loop_by_history_and_by_the_last_response():
    gateway = Gateway(*SAYS, *CALLS)
    outputs: Any = [{"type": "function_call_output", "call_id": call.id, "output": "done"} for call in CALLS]
    with gateway.client() as client:
        first = client.responses.create(model="m", input=[{"role": "user", "content": "hi"}])
        again = client.responses.create(model="m", input=[{"role": "user", "content": "hi"}, *first.output, *outputs])  # type: ignore[list-item]
        second = client.responses.create(model="m", input=outputs, previous_response_id=first.id)
        items = client.responses.input_items.list(second.id).data
    assert again.output_text == "hello"
    assert second.previous_response_id == first.id
    assert [item.type for item in items] == [
        *["function_call_output"] * 2,
        *["function_call"] * 2,
        "message",
        "reasoning",
        "message",
    ]


def test_a_kept_response_is_retrieved_and_deleted():
    with Gateway(*SAYS).client() as client:
        made = client.responses.create(model="m", input="hi")
        assert client.responses.retrieve(made.id) == made
        client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)


def test_an_error_in_a_stream_is_raised():
    with Gateway(*SAYS, fails=True).client() as client, pytest.raises(openai.APIError, match="broke") as caught:
        list(client.responses.create(model="m", input="hi", stream=True))
    assert caught.value.type == "server_error"


def test_an_error_in_a_stream_is_raised_through_the_helper():
    with (
        Gateway(*SAYS, fails=True).client() as client,
        client.responses.stream(model="m", input="hi") as stream,
        pytest.raises(openai.APIError, match="broke"),
    ):
        list(stream)


def test_what_the_sdk_makes_of_types_is_read():
    gateway = Gateway(TextSaid('{"text":"x"}'))
    image: Any = {"type": "input_image", "image_url": "https://h/i", "detail": "auto"}
    tool: Any = {"type": "function", **openai.pydantic_function_tool(Answer, name="shout")["function"]}
    with gateway.client() as client:
        response = client.responses.parse(
            model="m",
            input=[{"role": "user", "content": [image]}],
            tools=[tool],
            reasoning={"effort": "low", "summary": "auto"},
            text_format=Answer,
        )
    assert response.output_parsed == Answer(text="x")
    assert response.text is not None
    assert response.text.format is not None
    assert response.text.format.type == "json_schema"
