"""The public catalogue of faults, S01 to S16, against real sockets, with upstreams of each language.

What each test is called is what `docs/reliability.md` promises; the stories of streams that break after a part has gone
out are told in full in test_faults_streams.py.
"""

from __future__ import annotations

import pytest
import trio
from faults_house import PAIRS, SCALE, faulty_house

from hoosh.config import Alias
from hoosh.testing.faults import DOWN_S, RETRY_AFTER_S, refuses
from hoosh.testing.voices import PROMPT_TOKENS

pairs = pytest.mark.parametrize(("primary", "fallback"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
streaming = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@pairs
@streaming
async def test_s01_a_short_retry_after_is_waited_out_at_the_same_upstream(primary: str, fallback: str, stream: bool):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s01", stream=stream)
        heard.must_be_whole()
        assert house.asked == [("primary", "s01")] * 2
        first, second = house.primary.asked
        assert second.at_s - first.at_s >= RETRY_AFTER_S * SCALE, "asked again before it was due"
        assert heard.by == ("primary", "s01", "2")
        await house.must_live()


@pairs
async def test_s01_a_long_retry_after_fails_over_at_once(primary: str, fallback: str):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s01-long", stream=True)
        heard.must_be_whole()
        assert house.asked == [("primary", "s01-long"), ("fallback", "plain")]
        assert heard.by == ("fallback", "plain", "2")
        (await house.ask("s01-long", stream=False)).must_be_whole()
        assert len(house.primary.asked) == 1, "asked again before it was due"
        await house.must_live()


@pairs
@streaming
async def test_s02_too_many_requests_for_ever_is_backed_off_from_then_left(primary: str, fallback: str, stream: bool):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s02", stream=stream)
        heard.must_be_whole()
        tries = len(house.primary.asked)
        assert 2 <= tries <= 3, "asked again, but no more than two retries allow"
        assert house.asked == [("primary", "s02")] * tries + [("fallback", "plain")]
        assert heard.by == ("fallback", "plain", str(tries + 1))
        await house.must_live()


@pairs
@streaming
async def test_s03_one_internal_error_is_retried_at_the_same_upstream(primary: str, fallback: str, stream: bool):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s03", stream=stream)
        heard.must_be_whole()
        assert house.asked == [("primary", "s03")] * 2
        assert heard.by == ("primary", "s03", "2")
        await house.must_live()


@pairs
@streaming
async def test_s04_an_upstream_that_is_always_down_is_left_within_the_retries(
    primary: str, fallback: str, stream: bool
):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s04", stream=stream)
        heard.must_be_whole()
        tries = len(house.primary.asked)
        assert 1 <= tries <= 3
        assert house.asked == [("primary", "s04")] * tries + [("fallback", "plain")]
        await house.must_live()


@pairs
@streaming
async def test_s04_with_nowhere_to_go_the_caller_gets_the_original_error(primary: str, fallback: str, stream: bool):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("alone-s04", stream=stream)
        heard.must_be_an_error(status=503)
        assert "too much to do" in heard.error["message"]
        assert 1 <= len(house.primary.asked) <= 3
        assert not house.fallback.asked
        assert house.used == 0
        await house.must_live()


@pairs
@streaming
async def test_s05_a_reset_before_the_headers_is_never_noticed(primary: str, fallback: str, stream: bool):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s05", stream=stream)
        heard.must_be_whole()
        assert house.asked == [("primary", "s05")] * 2
        assert heard.by == ("primary", "s05", "2")
        await house.must_live()


@pairs
@streaming
async def test_s06_an_upstream_that_never_answers_is_asked_exactly_once(primary: str, fallback: str, stream: bool):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s06", stream=stream)
        heard.must_be_whole()
        assert house.asked == [("primary", "s06"), ("fallback", "plain")]
        assert heard.by == ("fallback", "plain", "2")
        assert house.primary.cancelled == 1, "it was left waiting"
        await house.must_live()


async def test_s06_with_nowhere_to_go_the_error_says_which_deadline_fired():
    async with faulty_house() as house:
        heard = await house.ask("alone-s06", stream=True)
        heard.must_be_an_error(status=504)
        assert heard.error["code"] == "upstream_timeout"
        assert len(house.primary.asked) == 1
        await house.must_live()


@pairs
async def test_s07_headers_and_comments_are_no_first_token(primary: str, fallback: str):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s07", stream=True)
        heard.must_be_whole()
        assert house.asked == [("primary", "s07"), ("fallback", "plain")]
        assert heard.by == ("fallback", "plain", "2")
        assert house.primary.cancelled == 1, "its stream runs on"
        await house.must_live()


@pairs
async def test_s07_the_last_candidate_may_take_its_time(primary: str, fallback: str):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("alone-s07", stream=True)
        heard.must_be_whole()
        assert house.asked == [("primary", "s07")]
        await house.must_live()


@pairs
@streaming
async def test_s08_a_reply_that_dies_on_its_way_is_finished_elsewhere(primary: str, fallback: str, stream: bool):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s08", stream=stream)
        heard.must_be_whole()
        assert house.asked[-1] == ("fallback", "plain")
        await house.must_live()


@pairs
@streaming
async def test_s08_with_nowhere_to_go_it_is_never_passed_off_as_whole(primary: str, fallback: str, stream: bool):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("alone-s08", stream=stream)
        heard.must_not_lie()
        await house.must_live()


@pairs
@streaming
async def test_s09_silence_on_an_open_connection_is_ended_and_finished_elsewhere(
    primary: str, fallback: str, stream: bool
):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s09", stream=stream)
        heard.must_be_whole()
        assert house.asked == [("primary", "s09"), ("fallback", "plain")]
        assert house.primary.cancelled == 1, "it was left hanging"
        await house.must_live()


@pairs
@streaming
async def test_s10_an_event_that_is_no_json_never_leaves_a_hole(primary: str, fallback: str, stream: bool):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s10", stream=stream)
        heard.must_be_whole()
        await house.must_live()


async def test_s10_it_is_skipped_in_place_where_bytes_go_through_as_they_came():
    async with faulty_house() as house:
        (await house.ask("s10", stream=True)).must_be_whole()
        assert house.asked == [("primary", "s10")]
        await house.must_live()


@pairs
@pytest.mark.parametrize("ending", ["s11", "s11-cut"])
async def test_s11_a_missing_terminator_is_ours_to_write(primary: str, fallback: str, ending: str):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask(ending, stream=True)
        heard.must_be_whole()
        assert heard.usage["completion_tokens"] == 60
        assert house.asked == [("primary", ending)]
        await house.must_live()


@pairs
async def test_s11_an_answer_that_is_whole_does_not_wait_for_the_connection_to_close(primary: str, fallback: str):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s11-open", stream=True)
        heard.must_be_whole()
        assert heard.usage["completion_tokens"] == 60
        assert house.asked == [("primary", "s11-open")], "the idle timeout is too late to finish"
        await house.must_live()


@pairs
@streaming
async def test_s12_a_prompt_that_is_too_long_is_told_once_and_as_it_is(primary: str, fallback: str, stream: bool):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("alone-s12", stream=stream)
        heard.must_be_an_error(status=400)
        assert heard.error["code"] == "context_length_exceeded"
        assert house.asked == [("primary", "s12")]
        assert house.used == 0
        await house.must_live()


LARGER = {
    "openai": ("gpt-4", "gpt-4.1"),
    "anthropic": ("claude-haiku-4-5", "claude-opus-4-8"),
    "ollama": ("llama3:8b", "llama3.1:8b"),
}
"""Two models of the catalogue, the second with the larger context."""


@pairs
@streaming
async def test_s12_a_candidate_with_a_larger_context_is_asked_instead(primary: str, fallback: str, stream: bool):
    small, large = LARGER[primary][0], LARGER[fallback][1]
    aliases = [Alias(name="long", targets=(f"primary/{small}", f"fallback/{large}"))]
    async with faulty_house(primary, fallback, aliases=aliases) as house:
        house.primary.faults[small] = refuses("too long")
        heard = await house.ask("long", stream=stream)
        heard.must_be_whole()
        assert house.asked == [("primary", small), ("fallback", large)]
        await house.must_live()


@pairs
async def test_s12_one_with_a_smaller_context_is_not(primary: str, fallback: str):
    large, small = LARGER[primary][1], LARGER[fallback][0]
    aliases = [Alias(name="long", targets=(f"primary/{large}", f"fallback/{small}"))]
    async with faulty_house(primary, fallback, aliases=aliases) as house:
        house.primary.faults[large] = refuses("too long")
        heard = await house.ask("long", stream=True)
        heard.must_be_an_error(status=400)
        assert heard.error["code"] == "context_length_exceeded"
        assert house.asked == [("primary", large)]
        await house.must_live()


@pairs
@streaming
async def test_s13_a_verdict_on_the_content_is_final_and_reaches_the_caller(primary: str, fallback: str, stream: bool):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s13", stream=stream)
        heard.must_be_an_error(status=400)
        assert heard.error["code"] == "content_policy_violation"
        assert heard.error["message"] == house.primary.voice.words["policy"]
        assert house.asked == [("primary", "s13")], "routed around"
        assert house.used == 0
        await house.must_live()


@pairs
async def test_s14_the_caller_never_sees_that_a_fallback_takes_no_prefill(primary: str, fallback: str):
    aliases = [Alias(name="s14", targets=("primary/s14", "fallback/plain-no-prefill"))]
    async with faulty_house(primary, fallback, aliases=aliases) as house:
        heard = await house.ask("s14", stream=True)
        heard.must_be_whole()
        assert b"prefill" not in heard.body
        assert not house.fallback.asked[-1].said
        await house.must_live()


@pairs
async def test_s15_the_breaker_opens_the_fallback_serves_and_the_primary_comes_back(primary: str, fallback: str):
    """A minute of 503, a request every 4 s; the primary has recovered for 15 s when it must be back."""
    async with faulty_house(primary, fallback) as house:
        (await house.ask("s15", stream=True)).must_be_whole()
        recovered_at_s = house.primary.asked[0].at_s + DOWN_S * SCALE
        heard = None
        while trio.current_time() < recovered_at_s + 15 * SCALE:
            await trio.sleep(4 * SCALE)
            heard = await house.ask("s15", stream=True)
            heard.must_be_whole()
        assert heard is not None
        asked = house.primary.asked_for("s15")
        down = [one.at_s for one in asked if one.at_s < recovered_at_s]
        assert len(down) <= 3 + DOWN_S / 10 + 1, f"the breaker stays closed: {len(down)} requests while it was down"
        assert len(down) >= 3, f"probed too rarely: {len(down)} requests while it was down"
        heard = await house.ask("s15", stream=True)
        heard.must_be_whole()
        assert heard.by == ("primary", "s15", "1"), "not back 15 s after recovery"
        await house.must_live()


@pairs
async def test_s15_another_model_of_the_same_account_goes_on(primary: str, fallback: str):
    async with faulty_house(primary, fallback) as house:
        for _ in range(4):
            (await house.ask("s15", stream=False)).must_be_whole()
        seen = len(house.primary.asked)
        (await house.ask("s15", stream=False)).must_be_whole()
        assert len(house.primary.asked) == seen, "the breaker is closed"
        await house.must_live()


@pairs
@streaming
async def test_s16_the_answer_names_who_gave_it_and_failures_cost_nothing(primary: str, fallback: str, stream: bool):
    async with faulty_house(primary, fallback) as house:
        heard = await house.ask("s16", stream=stream)
        heard.must_be_whole()
        assert heard.by[:2] == ("fallback", "plain")
        assert heard.models == {"plain"} if stream and fallback != "openai" else "plain" in heard.models
        assert heard.usage["prompt_tokens"] == PROMPT_TOKENS
        assert heard.usage["completion_tokens"] == 60
        await house.must_be_at_rest()
        assert house.used == PROMPT_TOKENS + 60
        await house.must_live()
