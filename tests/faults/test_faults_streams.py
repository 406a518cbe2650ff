"""Streams that break after a part has gone out: finished word for word, or ended with a clear error, and never a lie.

    the target takes a trailing assistant message    what was said is sent, the rest comes as the same choice
    it does not                                      asked afresh; what the client has is dropped, if it is the same
    neither, or no plain text                        an error event

Real sockets; each story with upstreams of each language, unless it is about one.
"""

from __future__ import annotations

import json
from random import Random

import pytest
from faults_house import PAIRS, SAME, TEXT, faulty_house, no_prefill, prefill

from hoosh.config import Alias, Retry, Routing
from hoosh.testing.faults import DIES_AFTER, OTHER_WORDS, WORDS, Asked, FaultyUpstream, breaks_at
from hoosh.testing.upstream import Cut, Script
from hoosh.values import Outcome

pairs = pytest.mark.parametrize(("primary", "fallback"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
same = pytest.mark.parametrize("language", [first for first, _ in SAME])
deaths = pytest.mark.parametrize("fault", ["s08", "s08-reset", "s08-end", "s08-error", "s09"])

SAID = "".join(WORDS[:DIES_AFTER])
LAST_WORD = 0.95
"""Of a stream: behind it the end is told, and an answer may be whole though its counts have not come."""


@pairs
@deaths
async def test_what_was_said_is_continued_by_a_model_that_can(primary: str, fallback: str, fault: str):
    aliases = [prefill("it", f"primary/{fault}", "fallback/plain")]
    async with faulty_house(primary, fallback, aliases=aliases) as house:
        heard = await house.ask("it", stream=True)
        heard.must_be_whole()
        [asked] = house.fallback.asked
        assert asked.said, "asked afresh, though it can go on"
        assert TEXT.startswith(asked.said)
        assert asked.body["messages"][0] == house.primary.asked[0].body["messages"][0] or primary != fallback
        await house.must_be_at_rest()
        assert house.used >= len(WORDS), "not all that was said is paid"
        await house.must_live()


@pairs
@deaths
async def test_asked_afresh_the_client_gets_nothing_twice(primary: str, fallback: str, fault: str):
    aliases = [no_prefill("it", f"primary/{fault}", "fallback/plain")]
    async with faulty_house(primary, fallback, aliases=aliases) as house:
        heard = await house.ask("it", stream=True)
        heard.must_be_whole()
        assert [asked.said for asked in house.fallback.asked] == [""]
        await house.must_live()


@pairs
async def test_a_continuation_in_other_words_is_still_one_answer(primary: str, fallback: str):
    aliases = [prefill("it", "primary/s08", "fallback/other")]
    async with faulty_house(primary, fallback, aliases=aliases) as house:
        heard = await house.ask("it", stream=True)
        heard.must_be_whole(SAID + "".join(OTHER_WORDS[DIES_AFTER:]))
        await house.must_live()


@pairs
async def test_an_answer_in_other_words_is_never_glued_to_the_first(primary: str, fallback: str):
    aliases = [no_prefill("it", "primary/s08", "fallback/other")]
    async with faulty_house(primary, fallback, aliases=aliases) as house:
        heard = await house.ask("it", stream=True)
        heard.must_be_an_error()
        assert "else" not in heard.text
        await house.must_live()


@same
@pytest.mark.parametrize("can", [True, False], ids=["continued", "afresh"])
async def test_a_blank_at_the_end_of_what_was_said_is_there_once(language: str, can: bool):
    words = [f"word{number:02} " for number in range(60)]
    aliases = [(prefill if can else no_prefill)("it", "primary/s08", "fallback/plain")]
    async with faulty_house(language, language, aliases=aliases, words=words) as house:
        heard = await house.ask("it", stream=True)
        heard.must_be_whole("".join(words))
        await house.must_live()


@pairs
async def test_before_the_first_content_a_failover_is_invisible(primary: str, fallback: str):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s08-early", stream=True)
        heard.must_be_whole()
        assert heard.by[:2] == ("fallback", "plain"), "the head has gone before there was anything to say"
        assert house.fallback.asked[-1].said == ""
        await house.must_live()


@pairs
async def test_switched_off_a_broken_stream_ends_with_an_error(primary: str, fallback: str):
    aliases = [prefill("it", "primary/s08", "fallback/plain")]
    async with faulty_house(primary, fallback, aliases=aliases, routing=Routing(continuation="off")) as house:
        heard = await house.ask("it", stream=True)
        heard.must_be_an_error()
        assert heard.text == SAID, "what has come is the client's"
        assert house.asked == [("primary", "s08")]
        (await house.ask("it", stream=False)).must_be_whole()
        await house.must_live()


# -- S14 -----------------------------------------------------------------------------------------------------------


@pairs
async def test_s14_a_model_that_is_known_to_take_no_prefill_is_never_asked_for_one(primary: str, fallback: str):
    aliases = [no_prefill("it", "primary/s14", "fallback/plain-no-prefill")]
    async with faulty_house(primary, fallback, aliases=aliases) as house:
        heard = await house.ask("it", stream=True)
        heard.must_be_whole()
        assert [asked.said for asked in house.fallback.asked] == [""]
        await house.must_live()


@pairs
async def test_s14_a_model_that_was_thought_to_take_one_is_asked_afresh(primary: str, fallback: str):
    aliases = [prefill("it", "primary/s14", "fallback/plain-no-prefill")]
    async with faulty_house(primary, fallback, aliases=aliases) as house:
        heard = await house.ask("it", stream=True)
        heard.must_be_whole()
        assert [bool(asked.said) for asked in house.fallback.asked] == [True, False]
        assert b"prefill" not in heard.body
        await house.must_live()


@pairs
async def test_s14_where_nothing_helps_the_error_is_the_one_that_broke_the_stream(primary: str, fallback: str):
    aliases = [prefill("it", "primary/s14", "fallback/other-no-prefill")]
    async with faulty_house(primary, fallback, aliases=aliases) as house:
        heard = await house.ask("it", stream=True)
        heard.must_be_an_error()
        assert b"prefill" not in heard.body
        await house.must_live()


# -- what is never spliced -------------------------------------------------------------------------------------------


async def test_structured_output_is_never_spliced():
    aliases = [Alias(name="it", targets=("primary/s08", "fallback/plain"))]
    async with faulty_house(aliases=aliases) as house:
        heard = await house.ask("it", stream=True, response_format={"type": "json_object"})
        heard.must_be_an_error()
        assert not house.fallback.asked
        await house.must_live()


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}]},
        {"reasoning_content": "Let me see"},
    ],
    ids=["tool call", "reasoning"],
)
async def test_what_is_no_text_is_never_spliced(delta: dict[str, object]):
    def script(upstream: FaultyUpstream, asked: Asked) -> Script:
        chunk = {"id": "c", "object": "chat.completion.chunk", "model": asked.model, "created": 1}
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        events = [b"data: %b\n\n" % json.dumps({**chunk, "choices": [choice]}).encode()] * 3
        return upstream.stream(events, Cut())

    aliases = [Alias(name="it", targets=("primary/breaks", "fallback/plain"))]
    async with faulty_house(aliases=aliases) as house:
        house.primary.faults["breaks"] = script
        heard = await house.ask("it", stream=True)
        heard.must_be_an_error()
        assert not house.fallback.asked
        await house.must_live()


# -- combinations ----------------------------------------------------------------------------------------------------


@same
@pytest.mark.parametrize("can", [True, False], ids=["continued", "afresh"])
async def test_a_stream_that_dies_everywhere_is_not_passed_off_as_whole(language: str, can: bool):
    aliases = [(prefill if can else no_prefill)("it", "primary/s08", "fallback/s08-end")]
    async with faulty_house(language, language, aliases=aliases) as house:
        (await house.ask("it", stream=True)).must_not_lie()
        await house.must_live()


@same
@pytest.mark.parametrize("can", [True, False], ids=["continued", "afresh"])
async def test_a_stream_that_is_cut_at_any_byte_is_finished_word_for_word(language: str, can: bool):
    seed = 5
    random = Random(seed)
    shares = [0.0, *sorted(random.uniform(0, LAST_WORD) for _ in range(40)), 1.0]
    print(f"seed {seed}: {shares}")
    alias = prefill if can else no_prefill
    aliases = [alias(f"it-{at}", f"primary/breaks-{at}", "fallback/plain") for at in range(len(shares))]
    async with faulty_house(language, language, aliases=aliases, retry=Retry(budget_ratio=1.0)) as house:
        for at, share in enumerate(shares):
            house.primary.faults[f"breaks-{at}"] = breaks_at(share)
            heard = await house.ask(f"it-{at}", stream=True)
            heard.must_be_whole()
        await house.must_live()


# -- what is written down --------------------------------------------------------------------------------------------

REASONS = {
    "s01": ("429",),
    "s03": ("500",),
    "s05": ("broke",),
    "s06": ("first_token", "first_byte"),
    "s07": ("first_token",),
    "s08": ("broke", "cut"),
    "s08-end": ("broke", "cut"),
    "s09": ("idle",),
    "s16": ("503",),
}


@pytest.mark.parametrize("fault", REASONS)
async def test_the_record_says_who_was_tried_and_why_it_did_not_end_there(fault: str):
    async with faulty_house() as house:
        records = house.records()
        (await house.ask(fault, stream=True)).must_be_whole()
        await house.must_be_at_rest()
        [record] = records
        assert record.outcome is Outcome.OK
        assert record.tried, "nothing is said of the attempts"
        assert {(tried.provider, tried.model) for tried in record.tried} == {("primary", fault)}
        assert {tried.reason for tried in record.tried} <= set(REASONS[fault])
        assert record.attempts == len(record.tried) + 1 == len(house.asked)
