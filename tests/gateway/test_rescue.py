"""Streams that broke and were gone on with: every client's language × both ways × every upstream, at every event.

The clients are naive readers of the whole of what was sent (tests/matrix/client_forms.py): they complain of a second
beginning, a number left out, a block that nobody opened.  What they read must be the unbroken answer, word for word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from client_forms import CLIENTS, Seen, Wish, events_of
from msgspec.structs import replace
from upstream_forms import PROMPT_TOKENS, REPLY_TOKENS, UPSTREAMS, Answer

from hoosh.dialects.anthropic import AnthropicDownstream
from hoosh.dialects.contract import DownstreamDialect, Ending, Stamp, StreamTap
from hoosh.dialects.ollama import OllamaDownstream
from hoosh.dialects.openai import OpenAIDownstream
from hoosh.dialects.registry import upstream_dialect
from hoosh.dialects.responses import ResponsesDownstream
from hoosh.dialects.responses.store import ResponseStore
from hoosh.dialects.splice import Splice
from hoosh.dialects.translation import Translation
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.gateway.rescue import Rescue, can_be_rescued, continued
from hoosh.gateway.said import Said
from hoosh.values import Call, CallKind, ChatRequest, Message, Reasoning, Role, Sampling, TextPart, Usage

DOWNSTREAMS: dict[str, DownstreamDialect] = {
    "chat": OpenAIDownstream(),
    "responses": ResponsesDownstream(),
    "messages": AnthropicDownstream(),
    "ollama": OllamaDownstream(),
}
FIRST = Stamp("r1", "model-a", 1_700_000_000)
SECOND = replace(FIRST, model="model-b")
TOKENS = tuple(
    "The| first| line| is| plain|.|\n\n|Die| zweite| heißt| «|größer|»|;| |  two| spaces| then|,|\n|  |- a| list|\n|  |"  # noqa: SIM905
    "- سلام| دنیا|\n|\t|tabs|\t|and| 🦉|🦉| owls|.|\n\n|```|py|\n|x| =| {|'a'|:| 'b'|}|\n|```|\n|Done|: |\\n| is| no"
    "| line| end|.| Really| the| end|.|\n".split("|")
)
TEXT = "".join(TOKENS)
WAYS = {"goes on": True, "again": False}

to_every_client = pytest.mark.parametrize("client", CLIENTS)
by_every_upstream = pytest.mark.parametrize("second", UPSTREAMS)
in_both_ways = pytest.mark.parametrize("way", WAYS)


def call_of(client: str, wish: Wish = Wish(stream=True)) -> Call:  # noqa: B008
    body = CLIENTS[client].ask("m", wish)
    return DOWNSTREAMS[client].read(CallKind.CHAT, json.dumps(body).encode())


def pieces(text: str, size: int) -> tuple[str, ...]:
    return tuple(text[at : at + size] for at in range(0, len(text), size))


def stream_of(upstream: str, answer: Answer) -> list[bytes]:
    """Its events, each whole."""
    wire = UPSTREAMS[upstream].stream(answer)
    joint = next(end for end in (b"\r\n\r\n", b"\n\n", b"\n") if end in wire)
    return [event + joint for event in wire.split(joint) if event]


def broken(client: str, first: str, answer: Answer = Answer(TOKENS)) -> Iterator[tuple[bytes, Said]]:  # noqa: B008
    """(what the client has got, the same as it was kept), after each event that may be the last one."""
    call, dialect, downstream = call_of(client), upstream_dialect(UPSTREAMS[first].type), DOWNSTREAMS[client]
    own = None if client == "responses" else dialect.passage(call)
    tap = (own or Translation(downstream, dialect)).tap(call, FIRST, provider="a")
    said, sent = Said(call.language), b""
    for event in stream_of(first, answer):
        if passed := tap.feed(event):
            said.keep(passed)
            sent += passed
        if tap.has_content and said.text() is not None:
            yield sent, said


def broken_after(client: str, first: str, count: int) -> tuple[bytes, Said]:
    """The same, after so many pieces of the answer."""
    return next(islice(broken(client, first), count - 1, None))


def rescue_of(client: str, said: Said, earlier: Usage = Usage()) -> Rescue:  # noqa: B008
    rescue = Rescue.of(call_of(client), DOWNSTREAMS[client], said, earlier=earlier)
    assert rescue is not None
    return rescue


def model_going_on(asked: dict[str, Any], size: int) -> Answer:
    """A model that always gives the same answer, and goes on with what it is given of it."""
    turns = asked.get("messages") or asked["contents"]
    last = turns[-1]
    if last["role"] not in ("assistant", "model"):
        return Answer(pieces(TEXT, size))
    content = last.get("content") or last["parts"]
    given = content if isinstance(content, str) else "".join(part["text"] for part in content)
    assert TEXT.startswith(given)
    assert given == given.rstrip()
    return Answer(pieces(TEXT[len(given) :], size))


def spliced(client: str, rescue: Rescue, second: str, *, way: str, size: int = 9) -> tuple[bytes, Ending, StreamTap]:
    dialect = upstream_dialect(UPSTREAMS[second].type)
    call = call_of(client)
    passage = rescue.passage(dialect, "b/m", prefill=WAYS[way])
    asked = json.loads(passage.outgoing(call, model="m").body)
    tap = passage.tap(call, SECOND, provider="b")
    sent = b"".join([tap.feed(event) for event in stream_of(second, model_going_on(asked, size))])
    rest, ending = tap.close()
    return sent + rest, ending, tap


def understood(client: str, sent: bytes) -> Seen:
    return CLIENTS[client].read_stream(sent + DOWNSTREAMS[client].terminator)


# -- word for word -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "first"),
    [
        *(("chat", "openai"), ("chat", "anthropic"), ("messages", "anthropic"), ("messages", "ollama")),
        *(("ollama", "ollama"), ("ollama", "gemini"), ("responses", "openai"), ("responses", "anthropic")),
    ],
)
@by_every_upstream
@in_both_ways
def test_a_stream_broken_at_any_event_is_finished_word_for_word(client: str, first: str, second: str, way: str):
    whole = understood(client, b"".join(last_of_unbroken(client, first)))
    places = 0
    for sent, said in broken(client, first):
        places += 1
        text = said.text()
        assert text is not None
        rest, ending, tap = spliced(client, rescue_of(client, said), second, way=way, size=7 + len(sent) % 29)
        assert (ending, tap.error) == (Ending.COMPLETE, None)
        assert understood(client, sent + rest) == whole
        assert (whole.text, whole.finish, whole.is_ended) == (TEXT, "stop", True)
        assert tap.usage == Usage(PROMPT_TOKENS, REPLY_TOKENS)
        assert tap.has_content is (tap.chunks > 0) is (text != TEXT)
        assert_one_beginning(client, sent + rest)
    assert places >= len(TOKENS)


def last_of_unbroken(client: str, first: str) -> Iterator[bytes]:
    call, dialect, downstream = call_of(client), upstream_dialect(UPSTREAMS[first].type), DOWNSTREAMS[client]
    own = None if client == "responses" else dialect.passage(call)
    tap = (own or Translation(downstream, dialect)).tap(call, FIRST, provider="a")
    for event in stream_of(first, Answer(TOKENS)):
        yield tap.feed(event)
    yield tap.close()[0]


def assert_one_beginning(client: str, sent: bytes) -> None:
    if client == "ollama":
        assert len({json.loads(line)["model"] for line in sent.splitlines()}) == 1
        return
    events = [json.loads(data) for _, data in events_of(sent)]
    if client == "chat":
        assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in events}) == 1
        roles = [chunk for chunk in events for choice in chunk["choices"] if "role" in choice["delta"]]
        assert len(roles) == 1
        assert [bool(choice["finish_reason"]) for chunk in events for choice in chunk["choices"]].count(True) == 1
        assert [bool(chunk.get("usage")) for chunk in events].count(True) == 1
    elif client == "messages":
        kinds = [event["type"] for event in events]
        once = ("message_start", "content_block_start", "content_block_stop", "message_delta")
        assert [kinds.count(kind) for kind in once] == [1, 1, 1, 1]
    else:
        ids = {event["response"]["id"] for event in events if "response" in event}
        items = {event["item_id"] for event in events if "item_id" in event}
        assert (len(ids), len(items)) == (1, 1)


@to_every_client
@in_both_ways
def test_a_rescue_that_breaks_is_rescued_again(client: str, way: str):
    for count in range(5, 50, 9):
        sent, said = broken_after(client, "openai", count)
        rescue = rescue_of(client, said)
        call, dialect = call_of(client), upstream_dialect("anthropic")
        passage = rescue.passage(dialect, "b/m", prefill=WAYS[way])
        answer = model_going_on(json.loads(passage.outgoing(call, model="m").body), 5)
        tap = passage.tap(call, SECOND, provider="b")
        more = b""
        for event in stream_of("anthropic", answer)[: len(answer.text) - 3]:
            if passed := tap.feed(event):
                said.keep(passed)
                more += passed
        rest, ending, _ = spliced(client, rescue_of(client, said), "ollama", way=way)
        assert ending is Ending.COMPLETE
        assert understood(client, sent + more + rest).text == TEXT
        assert_one_beginning(client, sent + more + rest)


@to_every_client
@in_both_ways
def test_a_second_answer_that_comes_whole_is_told_as_the_rest_of_the_stream(client: str, way: str):
    for count in range(3, 60, 11):
        sent, said = broken_after(client, "anthropic", count)
        passage = rescue_of(client, said).passage(upstream_dialect("openai"), "b/m", prefill=WAYS[way])
        answer = model_going_on(json.loads(passage.outgoing(call_of(client), model="m").body), 400)
        body = json.dumps(UPSTREAMS["openai"].whole(answer)).encode()
        whole = passage.as_stream(call_of(client), body, SECOND, provider="b")
        assert understood(client, sent + whole.body).text == TEXT
        assert (whole.finish_reason, whole.usage) == ("stop", Usage(PROMPT_TOKENS, REPLY_TOKENS))
        other = json.dumps(UPSTREAMS["openai"].whole(Answer(("Something else.",)))).encode()
        if way == "again":
            with pytest.raises(UpstreamBroke, match="cannot go on"):
                passage.as_stream(call_of(client), other, SECOND, provider="b")


@pytest.mark.parametrize("client", ["chat", "messages", "responses", "ollama"])
def test_the_client_is_told_what_all_attempts_have_used_and_the_books_what_the_last_has(client: str):
    sent, said = broken_after(client, "openai", 20)
    rest, _, tap = spliced(client, rescue_of(client, said, Usage(30, 4)), "openai", way="again")
    assert understood(client, sent + rest).tokens == (PROMPT_TOKENS + 30, REPLY_TOKENS + 4)
    assert tap.usage == Usage(PROMPT_TOKENS, REPLY_TOKENS)


@pytest.mark.parametrize("client", ["chat", "messages", "responses", "ollama"])
def test_also_where_the_budget_ends_it_the_client_is_told_what_all_attempts_have_used(client: str):
    sent, said = broken_after(client, "openai", 20)
    passage = rescue_of(client, said, Usage(30, 4)).passage(upstream_dialect("openai"), "b/m", prefill=False)
    tap = passage.tap(call_of(client), SECOND, provider="b")
    more = b"".join([tap.feed(event) for event in stream_of("openai", Answer(pieces(TEXT, 9)))[:-3]])
    rest = tap.finish_early(Usage(5, 2))
    assert rest is not None
    assert understood(client, sent + more + rest).tokens == (35, 6)


def test_a_response_that_was_finished_elsewhere_is_kept_whole():
    store = ResponseStore()
    downstream = ResponsesDownstream(store, caller="me")
    _, said = broken_after("responses", "openai", 20)
    rescue = Rescue.of(call_of("responses", Wish(stream=True)), downstream, said)
    assert rescue is not None
    call = downstream.read(CallKind.CHAT, json.dumps({"model": "m", "input": "x", "stream": True}).encode())
    rescue = Rescue.of(call, downstream, said)
    assert rescue is not None
    tap = rescue.passage(upstream_dialect("openai"), "b/m", prefill=False).tap(call, SECOND, provider="b")
    for event in stream_of("openai", Answer(pieces(TEXT, 30))):
        tap.feed(event)
    tap.close()
    kept = store.get("me", "resp_hoosh_r1")
    assert kept is not None
    assert TEXT in json.loads(kept.body)["output"][0]["content"][0]["text"]


# -- what does not fit ---------------------------------------------------------------------------------------------


def tap_after(client: str, said: Said, second: str, *, prefill: bool) -> Splice:
    passage = rescue_of(client, said).passage(upstream_dialect(UPSTREAMS[second].type), "b/m", prefill=prefill)
    tap = passage.tap(call_of(client), SECOND, provider="b")
    assert isinstance(tap, Splice)
    return tap


@to_every_client
@by_every_upstream
def test_an_answer_that_differs_anywhere_ends_in_an_error_and_nothing_of_it_is_sent(client: str, second: str):
    _, said = broken_after(client, "openai", 40)
    text = said.text()
    assert text is not None
    for at in range(0, len(text), 7):
        other = text[:at] + ("x" if text[at] != "x" else "y") + TEXT[at + 1 :]
        tap = tap_after(client, said, second, prefill=False)
        sent = b"".join([tap.feed(event) for event in stream_of(second, Answer(pieces(other, 6)))])
        assert (sent, tap.chunks, tap.has_content) == (b"", 0, False)
        assert tap.close() == (b"", Ending.FAILED)
        assert isinstance(tap.error, UpstreamBroke)
        assert "`b` cannot go on with it" in str(tap.error)
        assert tap.finish_early(Usage()) is None


@by_every_upstream
def test_an_answer_that_ends_before_what_was_said_is_an_error_and_one_that_is_the_same_is_an_end(second: str):
    sent, said = broken_after("chat", "openai", 40)
    text = said.text() or ""
    for length, fits in ((len(text) - 1, False), (0, False), (len(text), True)):
        tap = tap_after("chat", said, second, prefill=False)
        rest = b"".join([tap.feed(event) for event in stream_of(second, Answer(pieces(text[:length], 6)))])
        end, ending = tap.close()
        assert (ending is Ending.COMPLETE) is fits is (tap.error is None)
        if fits:
            assert understood("chat", sent + rest + end).text == text
        else:
            assert rest + end == b""


@to_every_client
@in_both_ways
@pytest.mark.parametrize(("second", "how"), [("openai", "cut"), ("anthropic", "cut"), ("openai", "fails")])
def test_a_second_answer_that_breaks_is_not_whole(client: str, way: str, second: str, how: str):
    _, said = broken_after(client, "openai", 3)
    tap = tap_after(client, said, second, prefill=WAYS[way])
    rest = TEXT if way == "again" else TEXT[len((said.text() or "").rstrip()) :]
    answer = Answer((rest,), cut=how == "cut", fails=how == "fails")
    for event in stream_of(second, answer):
        tap.feed(event)
    assert tap.close()[1] is (Ending.CUT if how == "cut" else Ending.FAILED)


@in_both_ways
def test_calls_and_refusals_after_a_text_are_errors_and_thoughts_are_passed_over(way: str):
    _, said = broken_after("chat", "openai", 1)
    rest = (TEXT,) if way == "again" else (TEXT.removeprefix("The"),)
    thinking = tap_after("chat", said, "openai", prefill=WAYS[way])
    sent = b"".join([thinking.feed(event) for event in stream_of("openai", Answer(rest, thought=("hm", "so")))])
    assert thinking.close()[1] is Ending.COMPLETE
    assert b"hm" not in sent
    calling = tap_after("chat", said, "openai", prefill=WAYS[way])
    for event in stream_of("openai", Answer(rest, calls=(("weather", {"city": "Rasht"}),))):
        calling.feed(event)
    assert calling.close()[1] is Ending.FAILED
    assert "something else than text" in str(calling.error)


@to_every_client
def test_a_rescued_stream_is_ended_early_like_any_other(client: str):
    sent, said = broken_after(client, "openai", 30)
    tap = tap_after(client, said, "anthropic", prefill=True)
    text = said.text() or ""
    for event in stream_of("anthropic", Answer(pieces(TEXT[len(text.rstrip()) :], 8)))[:6]:
        sent += tap.feed(event)
    rest = tap.finish_early(Usage(9, 9))
    assert rest is not None
    seen = understood(client, sent + rest)
    assert (seen.finish, seen.is_ended, seen.tokens) == ("length", True, (9, 9))
    assert len(text) < len(seen.text) < len(TEXT)
    assert TEXT.startswith(seen.text)


# -- what is asked -------------------------------------------------------------------------------------------------

QUESTION = Message(Role.USER, (TextPart("Q"),))


def test_the_text_so_far_goes_last_without_the_white_space_at_its_end():
    request = ChatRequest("m", (QUESTION,), reasoning=Reasoning(enabled=True))
    asked = continued(request, "So far\n ")
    assert asked.messages == (QUESTION, Message(Role.ASSISTANT, (TextPart("So far"),)))
    assert asked.reasoning is None


def test_a_beginning_that_the_client_has_made_itself_is_not_made_longer():
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "Once"}]
    body = {"model": "m", "messages": turns, "stream": True}
    call = DOWNSTREAMS["chat"].read(CallKind.CHAT, json.dumps(body).encode())
    _, said = broken_after("chat", "openai", 20)
    rescue = Rescue.of(call, DOWNSTREAMS["chat"], said)
    assert rescue is not None
    passage = rescue.passage(upstream_dialect("openai"), "b", prefill=True)
    assert not passage.goes_on
    assert json.loads(passage.outgoing(call, model="m").body)["messages"] == turns


@pytest.mark.parametrize(("most", "said", "left"), [(100, "x" * 40, 90), (10, "x" * 400, 1), (None, "x" * 400, None)])
def test_what_was_said_is_taken_off_the_limit(most: int | None, said: str, left: int | None):
    request = ChatRequest("m", (QUESTION,), sampling=Sampling(max_tokens=most))
    assert continued(request, said).sampling.max_tokens == left


def test_a_target_that_refuses_to_go_on_is_asked_again_from_the_beginning_and_no_other_is():
    _, said = broken_after("chat", "openai", 20)
    rescue, call, dialect = rescue_of("chat", said), call_of("chat"), upstream_dialect("anthropic")

    def roles(at: str) -> list[str]:
        passage = rescue.passage(dialect, at, prefill=True)
        return [turn["role"] for turn in json.loads(passage.outgoing(call, model="m").body)["messages"]]

    def refused(status: int, code: str | None = None) -> bool:
        error = UpstreamError("no", provider="b", status=status, code=code)
        return rescue.has_another(rescue.passage(dialect, "b/m", prefill=True), error)

    assert roles("b/m") == ["user", "assistant"]
    assert not refused(500)
    assert not refused(429)
    assert not refused(400, "context_length_exceeded")
    assert not refused(400, "content_policy_violation")
    assert refused(400)
    assert roles("b/m") == ["user"]
    assert roles("c/m") == ["user", "assistant"]
    assert not refused(400), "a request that was not gone on with is refused for another reason"


def test_in_its_own_language_a_restart_is_asked_word_for_word():
    body = {"model": "m", "messages": [{"role": "user", "content": "Q"}], "stream": True, "top_k": 7, "x_mine": [1]}
    call = DOWNSTREAMS["chat"].read(CallKind.CHAT, json.dumps(body).encode())
    _, said = broken_after("chat", "openai", 20)
    rescue = Rescue.of(call, DOWNSTREAMS["chat"], said)
    assert rescue is not None
    asked = json.loads(rescue.passage(upstream_dialect("openai"), "b", prefill=False).outgoing(call, model="b").body)
    assert asked.items() >= {**body, "model": "b"}.items()


# -- which requests ------------------------------------------------------------------------------------------------

PLAIN: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "Q"}], "stream": True},
    "messages": {"model": "m", "messages": [{"role": "user", "content": "Q"}], "stream": True, "max_tokens": 9},
    "ollama": {"model": "m", "messages": [{"role": "user", "content": "Q"}], "stream": True},
    "responses": {"model": "m", "input": "Q", "stream": True},
}
FUNCTION = [{"type": "function", "function": {"name": "f"}, "name": "f", "input_schema": {"type": "object"}}]
REQUESTS = [
    ("chat", {}, True),
    ("chat", {"stream": False}, False),
    ("chat", {"temperature": 1, "stop": "x", "max_tokens": 7, "stream_options": {"include_usage": True}}, True),
    ("chat", {"tools": FUNCTION}, False),
    ("chat", {"tools": [], "functions": None, "n": 1, "logprobs": False}, True),
    ("chat", {"tools": FUNCTION, "tool_choice": "none"}, True),
    ("chat", {"tools": FUNCTION, "tool_choice": "auto"}, False),
    ("chat", {"response_format": {"type": "json_object"}}, False),
    ("chat", {"response_format": {"type": "text"}, "modalities": ["text"]}, True),
    ("chat", {"n": 2}, False),
    ("chat", {"logprobs": True}, False),
    ("chat", {"modalities": ["text", "audio"], "audio": {"voice": "v"}}, False),
    ("chat", {"guided_json": {"type": "object"}}, False),
    ("messages", {}, True),
    ("messages", {"tools": FUNCTION}, False),
    ("messages", {"tools": FUNCTION, "tool_choice": {"type": "none"}}, True),
    ("messages", {"output_config": {"effort": "low"}}, True),
    ("messages", {"output_config": {"format": {"type": "json_schema"}}}, False),
    ("ollama", {}, True),
    ("ollama", {"format": ""}, True),
    ("ollama", {"format": "json"}, False),
    ("ollama", {"tools": FUNCTION}, False),
    ("responses", {}, True),
    ("responses", {"text": {"verbosity": "low"}, "include": ["reasoning.encrypted_content"]}, True),
    ("responses", {"text": {"format": {"type": "json_object"}}}, False),
    ("responses", {"text": {"format": {"type": "text"}}}, True),
    ("responses", {"include": ["message.output_text.logprobs"]}, False),
    ("responses", {"tools": FUNCTION}, False),
    ("responses", {"previous_response_id": "resp_theirs"}, False),
]


@pytest.mark.parametrize(("client", "more", "verdict"), REQUESTS)
def test_only_a_stream_of_one_text_is_rescued(client: str, more: dict[str, Any], verdict: bool):
    call = DOWNSTREAMS[client].read(CallKind.CHAT, json.dumps({**PLAIN[client], **more}).encode())
    assert can_be_rescued(call) is verdict


def test_completions_and_unknown_languages_are_not_rescued():
    body = json.dumps({"model": "m", "prompt": "Q", "stream": True}).encode()
    assert not can_be_rescued(DOWNSTREAMS["chat"].read(CallKind.COMPLETION, body))
    assert not can_be_rescued(DOWNSTREAMS["ollama"].read(CallKind.COMPLETION, body))
    assert not can_be_rescued(Call(CallKind.CHAT, "m", {}, stream=True, language="klingon"))
