"""What has to be true after an hour of faults, whatever has happened in it.

Each rule looks at what clients have heard, what upstreams have seen and what the house has written down; none knows
how the gateway came to it.  A broken rule raises `RuleBroken`, with the ask that it is about.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from math import inf

import trio
from client_forms import CLIENTS
from msgspec import Struct
from sim_books import check_costs, check_nothing_runs, check_pools, check_replay, settlements_of
from sim_faults_client import Heard
from sim_faults_schedule import FAIR_AT_S, ROLL_CALL_AT_S
from sim_faults_upstream import Attempt
from sim_faults_world import TIMEOUTS, FaultHouse

__all__ = ["Counts", "RuleBroken", "check_hour", "counts_of"]

AT_ONCE_S = 0.001
SOON_S = 0.3
"""For a connection to be closed, and for the last words of a stream."""
OURS = {408, 429, 502, 503, 504}
SAID_BY = {"broken": {500, 502}, "too long": {400}, "policy": {400}, "prefill": {400}}


class RuleBroken(AssertionError):
    def __init__(self, rule: str, ask: int, what: object) -> None:
        super().__init__(f"{rule} (ask {ask}): {what}")
        self.rule, self.ask = rule, ask


async def check_hour(house: FaultHouse) -> None:
    """All rules.  Raises RuleBroken, and AssertionError of the books."""
    attempts = by_ask(house.log.attempts)
    for number, heard in house.heard.items():
        for rule in RULES_OF_ONE:
            try:
                what = rule(house, heard, attempts[number])
            except (AssertionError, LookupError, ValueError) as error:
                what = f"its client cannot read it: {error!r}"
            if what:
                raise RuleBroken(rule.__name__.removeprefix("_"), number, what)
    for rule_of_all in RULES_OF_ALL:
        rule_of_all(house)
    await check_books(house, attempts)


def by_ask(attempts: Sequence[Attempt]) -> dict[int, list[Attempt]]:
    found: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        found[attempt.ask].append(attempt)
    return found


# -- of one request ----------------------------------------------------------------------------------------------------


def _one_outcome(house: FaultHouse, heard: Heard, attempts: list[Attempt]) -> object:
    """Its record says what its client has heard."""
    record = house.records.get(heard.ask.number)
    if record is None:
        return "" if heard.status is None and not attempts else "no record"
    fits = {
        "whole": {"ok"},
        "refused": {"error"},
        "told": {"cut", "error"},
        "broken": set(),
        "left": {"ok", "error", "cut", "client_left"},
    }[heard.verdict]
    return (
        "" if record.outcome.value in fits else f"{heard.verdict} for its client, {record.outcome.value} in its record"
    )


def _never_truncated_as_success(house: FaultHouse, heard: Heard, attempts: list[Attempt]) -> object:
    if heard.verdict != "whole":
        return ""
    script, words = heard.ask, heard.words
    due = script.words if script.max_tokens is None else min(script.words, script.max_tokens)
    if [word[1:] for word in words] != [str(number) for number in range(len(words))]:
        return f"put together wrongly: {' '.join(words)}"
    continued = sum(attempt.said != "" for attempt in attempts)
    if len(words) != due and not (due < script.words and abs(len(words) - due) <= GUESSED * continued):
        return f"{len(words)} words, {due} are due: {' '.join(words)}"
    finish = "length" if len(words) < script.words else "stop"
    if heard.seen.finish != finish:
        return f"it ends with `{heard.seen.finish}`, not `{finish}`"
    voices = {word[0] for word in words}
    return "" if len(voices) == 1 or continued else f"of two voices: {' '.join(words)}"


GUESSED = 3
"""Tokens: how many of `max_tokens` are left for another to say is a guess by the length of what was said."""


def _an_error_is_typed(house: FaultHouse, heard: Heard, attempts: list[Attempt]) -> object:
    if heard.verdict != "refused":
        return ""
    message = CLIENTS[heard.ask.language].read_error(json.loads(heard.body))
    if not message or "Traceback" in message or "the-key" in message:
        return f"its words are not fit for a client: {message}"
    said = set().union(*(SAID_BY.get(attempt.fault, set()) for attempt in attempts))
    status = 503 if heard.status == 529 else heard.status  # Anthropic's word for it
    return "" if status in OURS | said else f"status {heard.status}: {message}"


def _waits_make_sense(house: FaultHouse, heard: Heard, attempts: list[Attempt]) -> object:
    if heard.retry_after is None:
        return ""
    return "" if heard.retry_after.isdigit() and int(heard.retry_after) < 3600 else f"retry-after: {heard.retry_after}"


def _attempts_do_not_overlap(house: FaultHouse, heard: Heard, attempts: list[Attempt]) -> object:
    if house.plan.house.hedge_after_ms is not None:
        return ""
    for first, second in itertools.pairwise(attempts):
        if first.ended_s is None or second.at_s < first.ended_s - AT_ONCE_S:
            return f"{second} at {second.at_s:.3f} s, and {first} until {first.ended_s}"
    return ""


def _deadlines_are_kept(house: FaultHouse, heard: Heard, attempts: list[Attempt]) -> object:
    if heard.ask.reads_every_s:  # its own slowness is its own affair
        return ""
    total_s = min(house.plan.house.request_timeout_s, heard.ask.timeout_s or TIMEOUTS.total_s)
    due_s = heard.began_s + total_s + SOON_S
    for attempt in attempts:
        if attempt.ended_s is None or attempt.ended_s > due_s:
            return f"{attempt} until {attempt.ended_s}, it was due at {due_s:.3f} s"
    return (
        "" if heard.ended_s <= due_s else f"its client was told at {heard.ended_s:.3f} s, it was due at {due_s:.3f} s"
    )


def _nothing_goes_on(house: FaultHouse, heard: Heard, attempts: list[Attempt]) -> object:
    """Once its client has the end, or has left, nobody works for it any more."""
    for attempt in attempts:
        if attempt.ended_s is None or attempt.ended_s > heard.ended_s + SOON_S:
            return f"{attempt} until {attempt.ended_s}, its client was gone at {heard.ended_s:.3f} s"
    return ""


def _silence_is_noticed(house: FaultHouse, heard: Heard, attempts: list[Attempt]) -> object:
    """S06, S09, S11: whatever the client is told meanwhile."""
    if heard.ask.reads_every_s:
        return ""
    limits_s = {
        "mute": TIMEOUTS.first_byte_s,
        "silent": TIMEOUTS.idle_s + PLAYED_WITHIN_S,
        "no done, open": FINISHED_WITHIN_S + PLAYED_WITHIN_S,
    }
    for attempt in attempts:
        limit_s = limits_s.get(attempt.fault)
        if limit_s is not None and (attempt.ended_s or inf) - attempt.at_s > limit_s + SOON_S:
            return f"{attempt} from {attempt.at_s:.3f} s, and was left at {attempt.ended_s}"
    return ""


PLAYED_WITHIN_S = 12.0
"""The tokens before a fault."""
FINISHED_WITHIN_S = 8.0
"""Whatever an upstream has forgotten (S11)."""


def _some_are_not_asked_again(house: FaultHouse, heard: Heard, attempts: list[Attempt]) -> object:
    """Whoever was silent (S06), or has said what he would say again (S12); and nobody after a verdict (S13)."""
    over_s: dict[tuple[str, int, str], float] = {}
    for attempt in attempts:
        place = (attempt.host, attempt.account, attempt.model)
        if attempt.at_s >= over_s.get(place, inf):
            return f"{attempt} once more"
        if attempt.fault == "too long" or (attempt.fault == "mute" and not _was_beaten(house, attempt)):
            over_s[place] = attempt.ended_s or inf
    for before, after in itertools.pairwise(attempts):
        if before.fault == "policy" and after.at_s >= (before.ended_s or inf):
            return f"{before}, and somebody else was asked"
    return ""


def _was_beaten(house: FaultHouse, attempt: Attempt) -> bool:
    """Left for another who was asked beside it: it was slow, and may have been about to answer."""
    record = house.records.get(attempt.ask)
    tried = () if record is None else record.tried
    member = _members(house)[attempt.host][attempt.account]
    return any(each.reason == "hedged" and (each.provider, each.model) == (member, attempt.model) for each in tried)


def _members(house: FaultHouse) -> dict[str, list[str]]:
    """Names of each host's accounts in the gateway."""
    return {host.name: host.members for host in house.plan.house.hosts}


def _attempts_have_a_limit(house: FaultHouse, heard: Heard, attempts: list[Attempt]) -> object:
    attempts, most = counted(attempts), house.plan.house.max_attempts
    if len(attempts) > most:
        return f"{len(attempts)} attempts, {most} are allowed"
    record = house.records.get(heard.ask.number)
    if record is not None and record.attempts < len(attempts):
        return f"the record says {record.attempts} attempts, upstreams have seen {len(attempts)}"
    return ""


def counted(attempts: list[Attempt]) -> list[Attempt]:
    """Without those that the connection pool has made by itself: at once, where a kept connection turned out broken."""
    found: list[Attempt] = []
    for attempt in attempts:
        last = found[-1] if found else None
        is_of_the_pool = (
            last is not None
            and last.fault in CLOSED_UNHEARD
            and attempt.at_s - (last.ended_s or 0.0) < AT_ONCE_S
            and (last.host, last.account, last.model) == (attempt.host, attempt.account, attempt.model)
        )
        if is_of_the_pool:
            found.pop()
        found.append(attempt)
    return found


CLOSED_UNHEARD = ("reset", "refused")


def _in_fair_weather_everybody_is_answered(house: FaultHouse, heard: Heard, attempts: list[Attempt]) -> object:
    """No spell anywhere for so long that whatever was remembered of the last one is forgotten."""
    script = heard.ask
    if heard.began_s < FAIR_AT_S + RECOVERED_AFTER_S or heard.verdict == "whole":
        return ""
    return f"{heard.brief()}, {script.at_s - FAIR_AT_S:.0f} s after the last trouble"


RECOVERED_AFTER_S = 90.0
"""A key that was refused is tried again after a minute."""

RuleOfOne = Callable[[FaultHouse, Heard, list[Attempt]], object]
RULES_OF_ONE: tuple[RuleOfOne, ...] = (
    _one_outcome,
    _never_truncated_as_success,
    _an_error_is_typed,
    _waits_make_sense,
    _attempts_do_not_overlap,
    _deadlines_are_kept,
    _nothing_goes_on,
    _silence_is_noticed,
    _some_are_not_asked_again,
    _attempts_have_a_limit,
    _in_fair_weather_everybody_is_answered,
)


# -- of all together ---------------------------------------------------------------------------------------------------


def _a_retry_after_is_respected(house: FaultHouse) -> None:
    """Nobody comes before he may, but after a wait so short that it is waited out."""
    not_before: dict[tuple[str, int, str], tuple[float, float]] = {}
    for attempt in house.log.attempts:
        place = (attempt.host, attempt.account, attempt.model)
        said_s, due_s = not_before.get(place, (0.0, 0.0))
        if said_s + AT_ONCE_S < attempt.at_s < due_s - AT_ONCE_S:
            raise RuleBroken("a_retry_after_is_respected", attempt.ask, f"{attempt}, asked not to before {due_s:.3f} s")
        heard_s = attempt.retry_at_s if _was_heard_out(house, attempt) else None
        if heard_s is not None and heard_s - attempt.at_s > house.plan.house.wait_out_s:
            not_before[place] = (attempt.at_s, max(due_s, heard_s))


def _was_heard_out(house: FaultHouse, attempt: Attempt) -> bool:
    """Whose client has left, even in the same moment, hears nothing any more."""
    heard = house.heard.get(attempt.ask)
    client_left = heard is not None and heard.has_left and heard.ended_s <= (attempt.ended_s or inf)
    return not (attempt.was_left or client_left)


def _extra_attempts_have_a_budget(house: FaultHouse) -> None:
    """An hour is too quiet to use up a budget; but who wants no retries gets none."""
    settings = house.plan.house
    extra = [tries for tries in by_ask(house.log.attempts).values() if len(counted(tries)) > 1]
    if settings.budget_ratio == 0 and settings.hedge_after_ms is None and extra:
        raise RuleBroken("extra_attempts_have_a_budget", extra[0][0].ask, f"{extra[0][1]} without a budget")
    most = settings.hedge_max_ratio * len(house.heard) + HEDGES_AT_ONCE
    hedges = sum(map(_hedges, by_ask(house.log.attempts).values()))
    if hedges > most:
        raise RuleBroken("extra_attempts_have_a_budget", -1, f"{hedges} hedges, at most {most} are allowed")


HEDGES_AT_ONCE = 5
"""Of a quiet house."""


def _hedges(tries: list[Attempt]) -> int:
    """How many began while another was under way."""
    pairs = itertools.pairwise(tries)
    return sum(first.ended_s is None or second.at_s < first.ended_s - AT_ONCE_S for first, second in pairs)


def _nobody_is_forgotten(house: FaultHouse) -> None:
    """Everybody has been asked when his name was called, and has answered at the first attempt."""
    asked = {(each.ask, each.host) for each in house.log.attempts}
    for script in house.plan.asks:
        if script.at_s >= ROLL_CALL_AT_S and (script.number, (script.provider or "").partition("#")[0]) not in asked:
            raise RuleBroken("nobody_is_forgotten", script.number, f"{script.provider}/{script.model} was not asked")


def _breakers_are_closed(house: FaultHouse) -> None:
    """Of all who have been asked, and have answered, since the weather is fair."""
    last = [each for each in house.log.attempts if each.at_s >= FAIR_AT_S and not (each.fault or each.was_left)]
    members = _members(house)
    for attempt in last:
        member = members[attempt.host][attempt.account]
        breakers = house.gateway.board.state(member, trio.current_time()).breakers
        if not breakers.keys().isdisjoint((attempt.model, "*")):
            raise RuleBroken("breakers_are_closed", attempt.ask, f"{member}: {dict(breakers)}")


def _nothing_is_left(house: FaultHouse) -> None:
    check_nothing_runs(house)
    assert not house.gateway.in_flight, f"in flight: {house.gateway.in_flight}"
    assert not house.witness.bugs, house.witness.bugs[0]
    running = [attempt for attempt in house.log.attempts if attempt.ended_s is None]
    if running:
        raise RuleBroken("nothing_is_left", running[0].ask, f"{running[0]}, and goes on")


RULES_OF_ALL = (
    _nothing_is_left,
    _a_retry_after_is_respected,
    _extra_attempts_have_a_budget,
    _nobody_is_forgotten,
    _breakers_are_closed,
)


async def check_books(house: FaultHouse, attempts: dict[int, list[Attempt]]) -> None:
    """One row a request that was let in; sums; the journal read again gives the same."""
    rows = await settlements_of(house)
    for number, record in house.records.items():
        row = rows.pop(record.request_id, None)
        if row is None and attempts[number]:
            raise RuleBroken("one_row", number, "an upstream was asked, and there is no row")
        if row is not None and row.charge and not attempts[number]:
            raise RuleBroken("one_row", number, f"nobody was asked, and it was charged: {row}")
    assert not rows, f"rows of nobody: {list(rows.values())[:3]}"
    await check_pools(house, 0)
    check_costs(house, await settlements_of(house))
    await check_replay(house)


# -- what has happened -------------------------------------------------------------------------------------------------


class Counts(Struct):
    """Of an hour, or of many."""

    hours: int = 0
    requests: int = 0
    attempts: int = 0
    whole: int = 0
    failovers: int = 0
    """Answered by another than the first who was asked."""
    rescues: int = 0
    """Answered whole after a stream had broken off in the middle."""
    hedges: int = 0
    """Attempts that began while another was under way."""
    left: int = 0
    errors: dict[str, int] = {}

    def add(self, other: Counts) -> None:
        for name in ("hours", "requests", "attempts", "whole", "failovers", "rescues", "hedges", "left"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.errors = dict(Counter(self.errors) + Counter(other.errors))


def counts_of(house: FaultHouse) -> Counts:
    counts = Counts(hours=1, requests=len(house.heard), attempts=len(house.log.attempts))
    attempts = by_ask(house.log.attempts)
    for number, heard in house.heard.items():
        tries, record = attempts[number], house.records.get(number)
        counts.left += heard.verdict == "left"
        counts.hedges += _hedges(tries)
        if heard.verdict == "whole":
            counts.whole += 1
            counts.failovers += len({(each.host, each.account, each.model) for each in tries}) > 1
            counts.rescues += _was_rescued(heard, tries)
        elif heard.verdict != "left":
            code = f"{heard.verdict} {heard.status} {None if record is None else record.error_code}"
            counts.errors[code] = counts.errors.get(code, 0) + 1
    return counts


MID_STREAM = frozenset({"dies", "dies hard", "ends early", "silent", "error event"})


def _was_rescued(heard: Heard, tries: list[Attempt]) -> bool:
    return heard.ask.stream and any(each.fault in MID_STREAM and each.before_fault for each in tries[:-1])
