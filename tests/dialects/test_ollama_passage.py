"""An Ollama client's own bytes, on their way to an Ollama upstream and back."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw
from msgspec.structs import replace

from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.ollama import OllamaUpstream
from hoosh.dialects.ollama.tap import OllamaTap
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.values import Call, CallKind, Usage

UPSTREAM = OllamaUpstream(now=lambda: 0.0)
STAMP = Stamp("1", "m", 0)
CALL = Call(CallKind.CHAT, "m", {}, stream=True, language="ollama")
END = b'{"model":"m","message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":2}\n'


def said(text: str) -> bytes:
    return b'{"message":{"content":%b},"done":false}\n' % json.dumps(text).encode()


def passing(kind: CallKind, **fields: object) -> Call:
    raws = {name: Raw(json.dumps(value).encode()) for name, value in fields.items()}
    return Call(kind, "client's", raws, language="ollama")


@pytest.mark.parametrize(
    ("kind", "fields", "path"),
    [
        (CallKind.CHAT, {"messages": []}, "/api/chat"),
        (CallKind.COMPLETION, {"prompt": "x"}, "/api/generate"),
        (CallKind.EMBEDDING, {"input": "x"}, "/api/embed"),
        (CallKind.EMBEDDING, {"prompt": "x"}, "/api/embeddings"),
    ],
)
def test_an_ollama_clients_fields_go_on_as_they_are(kind: CallKind, fields: dict[str, object], path: str):
    call = passing(kind, model="client's", **fields)
    passage = UPSTREAM.passage(call)
    assert passage is not None
    outgoing = passage.outgoing(call, model="own")
    assert (outgoing.path, json.loads(outgoing.body)) == (path, {"model": "own", **fields})
    assert UPSTREAM.passage(replace(call, language="openai")) is None


def test_what_was_cached_is_counted_in_passing():
    end = END.replace(b'"eval_count":2', b'"prompt_eval_cached_count":1,"eval_count":2')
    tap = OllamaTap(CALL, STAMP, provider="p")
    assert tap.feed(end) == end
    whole = UPSTREAM.passage(passing(CallKind.CHAT)).read_reply(passing(CallKind.CHAT), end, STAMP, provider="p")
    assert tap.usage == whole.usage == Usage(3, 2, cached_tokens=1)


def test_whole_replies_are_passed_and_counted():
    call = passing(CallKind.CHAT)
    passage = UPSTREAM.passage(call)
    assert passage is not None
    body = json.dumps(json.loads(END), indent=1).encode()
    whole = passage.read_reply(call, body, STAMP, provider="p")
    assert (whole.body, whole.usage, whole.model, whole.finish_reason) == (body, Usage(3, 2), "m", "stop")
    streamed = passage.as_stream(call, body, STAMP, provider="p").body
    assert streamed.count(b"\n") == 1
    assert json.loads(streamed) == json.loads(END)
    for wrong, kind in ((b"x", UpstreamBroke), (b"{}", UpstreamBroke), (b'{"error":"x"}', UpstreamError)):
        with pytest.raises(kind):
            passage.read_reply(call, wrong, STAMP, provider="p")


def test_the_tap_leaves_out_what_clients_die_of():
    wire = b"\n" + said("a") + b"nonsense\n\r\n" + b'{"message":{"content":7}}\n' + END + said("late")
    expected = said("a") + b'{"message":{"content":7}}\n' + END
    for size in (len(wire), 1):
        tap = OllamaTap(CALL, STAMP, provider="p")
        passed = b"".join([tap.feed(wire[at : at + size]) for at in range(0, len(wire), size)])
        assert (passed, tap.malformed, tap.chunks, tap.terminated) == (expected, 1, 3, True)
        assert tap.close() == (b"", Ending.COMPLETE)
        assert (tap.usage, tap.has_content) == (Usage(3, 2), True)


def test_the_tap_keeps_an_error_to_itself():
    tap = OllamaTap(CALL, STAMP, provider="p")
    assert tap.feed(said("a") * 3 + b'{"error":"gone"}\n' + END) == said("a") * 3
    assert (str(tap.error), tap.close()[1]) == ("gone", Ending.FAILED)


def test_the_tap_does_not_pass_half_a_line():
    tap = OllamaTap(CALL, STAMP, provider="p")
    assert tap.feed(said("a") + END[:-9]) == said("a")
    assert tap.close() == (b"", Ending.CUT)
    tap = OllamaTap(CALL, STAMP, provider="p")
    tap.feed(END[:-1])
    assert tap.close() == (END, Ending.COMPLETE)
