"""`usage.cost_usd`: told in every language that has a usage object, in the upstream's own bytes and in ours."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.anthropic import AnthropicDownstream, AnthropicUpstream
from hoosh.dialects.contract import DownstreamDialect, Passage, Stamp, UpstreamDialect
from hoosh.dialects.costs import dollars, tell_cost, without_cost
from hoosh.dialects.ollama import OllamaDownstream, OllamaUpstream
from hoosh.dialects.openai import FAMILY, OpenAIDownstream, OpenAIUpstream
from hoosh.dialects.responses import ResponsesDownstream, ResponsesPassage
from hoosh.dialects.translation import Translation
from hoosh.values import Call, CallKind, Usage

FREE = Stamp("r1", "m", 1_700_000_000)
PRICED = replace(FREE, cost_of=lambda usage: usage.prompt_tokens + 10 * usage.completion_tokens)
UNKNOWN = replace(FREE, cost_of=lambda usage: None)
COST = 9 + 10 * 3
COUNTS = b'{"prompt_tokens":9, "completion_tokens": 3,"total_tokens":12}'
CHAT = Call(CallKind.CHAT, "m", {}, include_usage=True)
DOWN: dict[str, DownstreamDialect] = {
    "openai": OpenAIDownstream(),
    "responses": ResponsesDownstream(),
    "anthropic": AnthropicDownstream(),
    "ollama": OllamaDownstream(),
}


def passage(dialect: UpstreamDialect, call: Call) -> Passage:
    found = dialect.passage(call)
    assert found is not None
    return found


OPENAI = passage(OpenAIUpstream(FAMILY["openai"]), CHAT)
ANTHROPIC = passage(AnthropicUpstream(), replace(CHAT, language="anthropic"))


@pytest.mark.parametrize(
    ("micro_usd", "told"),
    [(0, "0"), (1, "0.000001"), (123, "0.000123"), (1_000_000, "1.000000"), (12_345_678, "12.345678")],
)
def test_the_number_is_the_exact_decimal(micro_usd: int, told: str):
    assert dollars(micro_usd).decode() == told
    assert json.loads(dollars(micro_usd), parse_float=Decimal, parse_int=Decimal) == Decimal(micro_usd) / 1_000_000


# -- one document ------------------------------------------------------------------------------------------------

TOLD = b'"cost_usd":0.000039,'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"choices":[],"usage":', b"}"),
        (b'{"choices":[{"message":{"content":"\\"usage\\":{"}}],"usage": ', b',"service_tier":"default"}\n'),
        (b'{\n  "usage" : ', b'\n,"choices":[{"message":{"content":"} ] {"}}]}'),
        (b'{"choices":[{"usage":null}],"usage":', b',"fingerprint":"}{"}'),
        (b'{"choices":[{"usage":{"prompt_tokens":1}}],"usage":', b',"x":[]}'),
        (b'{"usage":', b',"choices":[{"usage":{"prompt_tokens":9},"content":"{"}]}'),
        (b'{"usage":', b',"details":{"usage":{"prompt_tokens":9}}}'),
    ],
)
def test_the_cost_is_put_into_the_usage_and_nothing_else_changes(before: bytes, after: bytes):
    priced = tell_cost(before + COUNTS + after, COST)
    assert len(priced) in (len(before + COUNTS + after) + len(TOLD), len(before + after) + len(COUNTS) + len(TOLD) - 2)
    assert priced.startswith(before)
    assert priced.endswith(after)
    assert json.loads(priced) == with_cost(json.loads(before + COUNTS + after))


def with_cost(whole: dict[str, Any], cost: float = COST / 1e6) -> dict[str, Any]:
    return {**whole, "usage": {**whole["usage"], "cost_usd": cost}}


def test_the_same_usage_twice_is_priced_where_it_counts():
    wire = b'{"usage":%b,"choices":[{"usage":%b}]}' % (COUNTS, COUNTS)
    assert json.loads(tell_cost(wire, COST)) == with_cost(json.loads(wire))
    nested = b'{"usage":%b,"response":{"x":[],"usage":%b,"y":[]}}' % (COUNTS, COUNTS)
    told = json.loads(tell_cost(nested, COST, nested=True))
    assert told == {"usage": json.loads(COUNTS), "response": with_cost(json.loads(nested)["response"])}


def test_an_upstreams_own_number_gives_way_and_its_cost_stays():
    wire = b'{"usage":{"prompt_tokens":9,"cost_usd":7,"cost":0.5}}'
    told = tell_cost(wire, COST)
    assert told.count(b"cost_usd") == 1
    assert json.loads(told)["usage"] == {"prompt_tokens": 9, "cost_usd": 0.000039, "cost": 0.5}


@pytest.mark.parametrize(
    "wire",
    [
        b"{}",
        b'{"usage":null}',
        b'{"usage":[]}',
        b"[]",
        b"",
        b'{"usage":{"\xff":1,"cost_usd":1}}',
        b'{"usage":{"a":\xff',
        b'"usage":{',
    ],
)
def test_what_has_no_usage_is_left_alone(wire: bytes):
    for nested in (False, True):
        assert tell_cost(wire, COST, nested=nested) == wire


# -- whole answers -----------------------------------------------------------------------------------------------

CHAT_BODY = b'{"id":"c","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],"usage":%b}' % COUNTS
TEXT_BODY = b'{"id":"c","choices":[{"index":0,"text":"hi","finish_reason":"stop"}],"usage":%b,"x":{}}' % COUNTS
VECTORS = b'{"data":[{"index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":39,"total_tokens":39},"model":"m"}'
ODD_BODY = b'{"id":7,"model":null,"choices":[{"index":"0","message":{}}],"usage":%b}' % COUNTS.replace(b":9", b":9.0")
MESSAGE = (
    b'{"id":"m","type":"message","role":"assistant","content":[{"type":"tool_use","id":"a","name":"n","input":'
    b'{"cost_usd":5}}],"stop_reason":"tool_use","usage":{"input_tokens":9,"output_tokens":3}}'
)
RESPONSE = (
    b'{"id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}],'
    b'"usage":{"input_tokens":9,"output_tokens":3,"total_tokens":12},"user":null,"metadata":{}}'
)
WHOLES: dict[str, tuple[Passage, Call, bytes]] = {
    "chat": (OPENAI, CHAT, CHAT_BODY),
    "completion": (OPENAI, replace(CHAT, kind=CallKind.COMPLETION), TEXT_BODY),
    "embedding": (OPENAI, replace(CHAT, kind=CallKind.EMBEDDING), VECTORS),
    "odd types": (OPENAI, CHAT, ODD_BODY),
    "message": (ANTHROPIC, CHAT, MESSAGE),
    "response": (ResponsesPassage(), CHAT, RESPONSE),
}


@pytest.mark.parametrize("name", WHOLES)
def test_a_whole_answer_that_is_passed_on_says_what_it_cost(name: str):
    way, call, body = WHOLES[name]
    for stamp in (FREE, UNKNOWN):
        assert way.read_reply(call, body, stamp, provider="p").body == body
    priced = way.read_reply(call, body, PRICED, provider="p")
    assert priced.body.replace(TOLD, b"") == body
    assert json.loads(priced.body) == with_cost(json.loads(body))
    assert replace(priced, body=body) == way.read_reply(call, body, FREE, provider="p")


@pytest.mark.parametrize("name", [name for name in WHOLES if name not in ("embedding", "odd types")])
def test_a_whole_answer_told_as_a_stream_says_what_it_cost_at_its_end(name: str):
    way, call, body = WHOLES[name]
    priced = way.as_stream(call, body, PRICED, provider="p").body
    assert priced.count(b'"cost_usd":0.000039') == 1
    assert priced.replace(b',"cost_usd":0.000039', b"") == way.as_stream(call, body, FREE, provider="p").body


# -- streams -----------------------------------------------------------------------------------------------------


def chunk(*choices: dict[str, Any], usage: object = None) -> bytes:
    return b"data: %b\n\n" % json.dumps({"id": "c", "choices": choices, "usage": usage}).encode()


SAID = {"index": 0, "delta": {"content": "hi"}, "finish_reason": None}
STOP = {"index": 0, "delta": {}, "finish_reason": "stop"}
COUNTED = json.loads(COUNTS)
ZEROS = dict.fromkeys(COUNTED, 0)
CHAT_STREAMS = {
    "usage alone": [chunk(SAID), chunk(STOP), chunk(usage=COUNTED)],
    "usage with the end": [chunk(SAID), chunk(SAID), chunk(STOP, usage=COUNTED)],
    "usage on every chunk": [chunk(SAID, usage=COUNTED), chunk(SAID, usage=COUNTED), chunk(STOP, usage=COUNTED)],
    "zeros before": [chunk(SAID, usage=ZEROS), chunk(STOP, usage=ZEROS), chunk(usage=COUNTED)],
}


@pytest.mark.parametrize("name", CHAT_STREAMS)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_the_last_usage_of_a_chat_says_what_it_cost(name: str, line_end: bytes):
    wire = b"".join(CHAT_STREAMS[name]).replace(b"\n", line_end)
    outs = set()
    for size in (len(wire), 40, 1):
        tap = OPENAI.tap(CHAT, PRICED, provider="p")
        pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
        outs.add(b"".join([tap.feed(piece) for piece in pieces]) + tap.close()[0])
        untold = OPENAI.tap(CHAT, UNKNOWN, provider="p")
        assert b"".join([untold.feed(piece) for piece in pieces]) == wire
    (out,) = outs
    events = [json.loads(event.data) for event in SseDecoder().feed(out)]
    came = [json.loads(event.data) for event in SseDecoder().feed(wire)]
    assert events == [*came[:-1], with_cost(came[-1])]


def test_usage_that_the_client_has_not_asked_for_stays_hidden():
    tap = OPENAI.tap(replace(CHAT, include_usage=False), PRICED, provider="p")
    assert tap.feed(chunk(SAID) + chunk(STOP) + chunk(usage=COUNTED)) == chunk(SAID) + chunk(STOP)


def test_a_message_says_what_it_cost_when_it_ends():
    began = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":9}}}\n\n'
    over = b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":'
    tap = ANTHROPIC.tap(CHAT, PRICED, provider="p")
    assert tap.feed(began + over + b'{"output_tokens":3}}\n\n') == began + over + b'{%b"output_tokens":3}}\n\n' % TOLD


def test_a_response_says_what_it_cost_in_its_last_event():
    last = b'event: response.completed\ndata: {"type":"response.completed","response":%b,"sequence_number":1}\n\n'
    tap = ResponsesPassage().tap(CHAT, PRICED, provider="p")
    assert tap.feed(last % RESPONSE) == b""
    assert tap.close()[0].replace(TOLD, b"") == last % RESPONSE


# -- translated --------------------------------------------------------------------------------------------------

OLLAMA_WHOLE = {
    "model": "m",
    "message": {"role": "assistant", "content": "hi"},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 9,
    "eval_count": 3,
}


@pytest.mark.parametrize(("language", "times"), [("openai", 1), ("responses", 1), ("anthropic", 1), ("ollama", 0)])
def test_a_translated_answer_says_what_it_cost_once(language: str, times: int):
    way = Translation(DOWN[language], OllamaUpstream())
    call = replace(CHAT, language=language)
    body = json.dumps(OLLAMA_WHOLE).encode()
    tap = way.tap(call, PRICED, provider="p")
    streamed = tap.feed(body + b"\n") + tap.close()[0]
    whole = way.read_reply(call, body, PRICED, provider="p").body
    for told in (streamed, whole, way.as_stream(call, body, PRICED, provider="p").body):
        assert told.count(b'"cost_usd":0.000039') == told.count(b"cost_usd") == times
    for stamp in (FREE, UNKNOWN):
        assert b"cost_usd" not in way.read_reply(call, body, stamp, provider="p").body


def test_translated_embeddings_say_what_they_cost():
    body = b'{"model":"m","embeddings":[[0.5]],"prompt_eval_count":39}'
    call = replace(CHAT, kind=CallKind.EMBEDDING)
    told = Translation(DOWN["openai"], OllamaUpstream()).read_reply(call, body, PRICED, provider="p")
    assert json.loads(told.body)["usage"] == {"prompt_tokens": 39, "total_tokens": 39, "cost_usd": 0.000039}


# -- what the gateway has counted itself --------------------------------------------------------------------------


@pytest.mark.parametrize("usage", [b"", b',"usage":null', b',"usage":{"prompt_tokens":0}'])
def test_a_reply_without_usage_gets_one(usage: bytes):
    body = b'{"id":"c", "choices":[{"x": 1.50}]%b,"model":"m"}' % usage
    told = DOWN["openai"].add_usage(CHAT, body, Usage(9, 3), COST)
    assert b'[{"x": 1.50}]' in told
    whole = json.loads(told)
    assert {name: whole["usage"][name] for name in COUNTED} == COUNTED
    assert whole["usage"]["cost_usd"] == COST / 1e6
    assert "cost_usd" not in json.loads(DOWN["openai"].add_usage(CHAT, body, Usage(9, 3), None))["usage"]


def test_embeddings_without_usage_get_one():
    call = replace(CHAT, kind=CallKind.EMBEDDING)
    told = json.loads(DOWN["openai"].add_usage(call, b'{"data":[]}', Usage(9), 0))
    assert told == {"data": [], "usage": {"prompt_tokens": 9, "total_tokens": 9, "cost_usd": 0}}


@pytest.mark.parametrize(
    ("language", "kind", "body"),
    [
        ("openai", CallKind.TOKEN_COUNT, b'{"input_tokens":3}'),
        ("openai", CallKind.CHAT, b"no JSON"),
        ("anthropic", CallKind.CHAT, b'{"content":[]}'),
        ("responses", CallKind.CHAT, b'{"output":[]}'),
        ("ollama", CallKind.CHAT, b'{"message":{}}'),
    ],
)
def test_other_answers_get_none(language: str, kind: CallKind, body: bytes):
    assert DOWN[language].add_usage(replace(CHAT, kind=kind), body, Usage(9, 3), COST) == body


# -- what is served again -----------------------------------------------------------------------------------------

LANGUAGE = {"message": "anthropic", "response": "responses"}


@pytest.mark.parametrize("name", WHOLES)
def test_a_kept_answer_has_cost_nothing(name: str):
    way, call, body = WHOLES[name]
    kept = way.read_reply(call, body, PRICED, provider="p").body
    down = DOWN[LANGUAGE.get(name, "openai")]
    assert json.loads(down.without_cost(kept)) == with_cost(json.loads(body), 0)
    assert down.without_cost(body) == body


@pytest.mark.parametrize("language", DOWN)
def test_a_kept_stream_has_cost_nothing(language: str):
    way = Translation(DOWN[language], OllamaUpstream())
    line = {**OLLAMA_WHOLE, "message": {"role": "assistant", "content": 'it says "cost_usd":7, you see'}}
    streamed = way.as_stream(replace(CHAT, language=language), json.dumps(line).encode(), PRICED, provider="p").body
    freed = DOWN[language].without_cost(streamed)
    assert freed == streamed.replace(b'"cost_usd":0.000039', b'"cost_usd":0')
    assert DOWN[language].without_cost(freed) == freed


def test_what_an_answer_says_of_costs_is_not_touched():
    said = json.dumps({"choices": [{"message": {"content": '"cost_usd":5'}}], "usage": {"cost_usd": 5}})
    told = json.loads(without_cost(said.encode()))
    assert told == {"choices": [{"message": {"content": '"cost_usd":5'}}], "usage": {"cost_usd": 0}}
    schema = Raw(b'{"tools":[{"default":{"cost_usd":5}}],"input":{"cost_usd":5}}')
    assert without_cost(bytes(schema)) == bytes(schema)
