"""Hours in which upstreams do all that the catalogue of faults knows, alone and together: every rule is kept.

`HOOSH_HOURS` is how many, `just sim --seeds n` runs others, `just sim --seed n` tells one; see docs/reliability.md.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

import pytest
import trio
from msgspec.structs import replace
from sim_faults_checks import RuleBroken, check_hour
from sim_faults_run import hours, run_hour, told
from sim_faults_schedule import FAULTS, schedule
from sim_faults_upstream import PLAYS
from sim_faults_world import FaultHouse, JumpingClock, fault_house, play

HOURS = int(os.environ.get("HOOSH_HOURS", 1_000))
FIRST = 0
WELL = 4
"""A seed of an hour in which a request was answered at the second attempt."""


def test_in_a_thousand_hours_of_faults_every_rule_is_kept():
    report = hours(FIRST, HOURS)
    print(*told(FIRST, HOURS, report), sep="\n")
    assert not report.failures, f"{len(report.failures)} hours broke a rule, told above"
    assert report.counts.hours == HOURS


@pytest.mark.parametrize("seed", [2, 11])
def test_the_same_seed_gives_the_same_trace_byte_for_byte(seed):
    def once() -> str:
        gc.collect()
        return run_hour(seed, traced=True).trace

    trace = once()
    assert "hears ask" in trace
    assert once() == trace


def test_every_fault_can_be_played_and_comes():
    assert PLAYS.keys() == set(FAULTS)
    assert {spell.fault for seed in range(40) for spell in schedule(seed).spells} == set(FAULTS)


# -- the rules are not blind -------------------------------------------------------------------------------------------


def loses_a_word(house: FaultHouse) -> None:
    heard = next(each for each in house.heard.values() if each.verdict == "whole" and len(each.words) == 10)
    text = heard.seen.text
    heard.seen.text = text.replace(heard.words[4], "", 1)


def says_a_word_twice(house: FaultHouse) -> None:
    heard = next(each for each in house.heard.values() if each.verdict == "whole" and len(each.words) == 10)
    heard.seen.text += f" {heard.words[-1]}"


def is_asked_while_another_answers(house: FaultHouse) -> None:
    attempt = house.log.attempts[-1]
    house.log.attempts.append(replace(attempt, at_s=attempt.at_s - 1))


def is_asked_too_early(house: FaultHouse) -> None:
    attempt = house.log.attempts[-1]
    before = house.log.attempts[-2]
    before.host, before.account, before.model = attempt.host, attempt.account, attempt.model
    before.retry_at_s = attempt.at_s + 50


def is_asked_for_ever(house: FaultHouse) -> None:
    house.log.attempts[-1].ended_s = None


def is_told_of_success(house: FaultHouse) -> None:
    number = next(number for number, each in house.heard.items() if each.verdict == "whole")
    house.heard[number].verdict = "told"


def is_told_what_is_none_of_its_business(house: FaultHouse) -> None:
    heard = next(each for each in house.heard.values() if each.verdict == "whole")
    heard.verdict, heard.status = "refused", 500
    heard.body = b'{"error": {"message": "internal error"}, "type": "error"}'


SABOTAGE: dict[Callable[[FaultHouse], None], str] = {
    loses_a_word: "never_truncated_as_success",
    says_a_word_twice: "never_truncated_as_success",
    is_asked_while_another_answers: "attempts_do_not_overlap",
    is_asked_too_early: "a_retry_after_is_respected",
    is_asked_for_ever: "attempts_do_not_overlap|nothing_is_left|deadlines_are_kept",
    is_told_of_success: "one_outcome",
    is_told_what_is_none_of_its_business: "one_outcome|an_error_is_typed",
}


@pytest.mark.parametrize("sabotage", SABOTAGE, ids=lambda sabotage: sabotage.__name__)
def test_a_rule_that_is_broken_is_named(sabotage):
    async def hour() -> None:
        async with fault_house(PLAN) as house:
            await play(house, PLAN)
            sabotage(house)
            with pytest.raises(RuleBroken, match=SABOTAGE[sabotage]):
                await check_hour(house)

    trio.run(hour, clock=JumpingClock())


PLAN = schedule(WELL)
"""Fair weather, so that nothing else is wrong."""
PLAN = replace(PLAN, spells=(), house=replace(PLAN.house, hedge_after_ms=None, max_concurrent=None))
