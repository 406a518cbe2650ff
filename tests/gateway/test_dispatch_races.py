"""A race of two attempts: who begins is handed over open, who does not is closed, and no error is in a group."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio
from gateway_house import ASK, CHAT, STREAM, records_of, text_of
from test_dispatch_failing import PLENTY, SAID, WHOLE, house_of, pool_of

from hoosh.config import Alias, Budget, Routing
from hoosh.cost import PriceOverride
from hoosh.errors import HooshError, InvalidRequest, UpstreamBroke, UpstreamError, Withdrawn
from hoosh.gateway.hedge import Entry, Race
from hoosh.testing.upstream import FakeUpstream, Hang, Head, Pause, error_reply, json_reply
from hoosh.values import Outcome

QUICK = json_reply(WHOLE)
SSE = Head(200, [(b"content-type", b"text/event-stream")])
BROKE = UpstreamBroke("gone", provider="p")
REFUSED = UpstreamError("not that", provider="p", status=400, code="content_policy_violation")


class FakeEntry:
    """Begins, or fails, after so long."""

    def __init__(self, after_s: float, error: BaseException | None = None) -> None:
        self.after_s = after_s
        self.error = error
        self.closed = 0
        self.on_begin = lambda: None

    async def prime(self, call: object, account: object) -> None:
        try:
            await trio.sleep(self.after_s)
            if self.error is not None:
                raise self.error
        except BaseException:
            self.closed += 1
            raise
        self.on_begin()

    async def __aexit__(self, *error: object) -> None:
        self.closed += 1


async def race_of(first: FakeEntry, second: FakeEntry | None, over: list[Any] | None = None) -> Entry:
    told = [] if over is None else over
    race = Race(cast(Any, None), cast(Any, None), lambda entry, failure: told.append((entry, failure)), None)
    return await race.run(cast(Any, first), 0.1, lambda: cast(Any, second))


async def test_a_winner_is_closed_where_the_request_is_cancelled_before_it_is_handed_over(autojump_clock):
    first, second, told = FakeEntry(1.0), FakeEntry(9.0), []
    with trio.CancelScope() as client:
        first.on_begin = client.cancel
        await race_of(first, second, told)
    assert client.cancelled_caught
    assert (first.closed, second.closed) == (1, 1)
    assert [entry for entry, _ in told] == [second], "the winner is told of by whoever it is handed to"


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), Withdrawn()])
async def test_what_is_no_failure_of_an_attempt_ends_the_race_at_once_and_in_no_group(error, autojump_clock):
    first, second = FakeEntry(9.0), FakeEntry(0.5, error)
    with pytest.raises(type(error)):
        await race_of(first, second)
    assert (first.closed, trio.current_time()) == (1, pytest.approx(0.6))


@pytest.mark.parametrize(
    ("mine", "other", "told"),
    [(BROKE, InvalidRequest("x"), BROKE), (BROKE, REFUSED, REFUSED), (InvalidRequest("x"), BROKE, InvalidRequest)],
)
async def test_the_firsts_error_is_told_unless_the_other_says_that_the_request_is_at_fault(
    mine, other, told, autojump_clock
):
    for first, second in ((FakeEntry(1.0, mine), FakeEntry(0.2, other)), (FakeEntry(1.0, mine), FakeEntry(2.0, other))):
        with pytest.raises(HooshError) as raised:
            await race_of(first, second)
        assert raised.value is told or type(raised.value) is told


ENDS = [None, BROKE, ZeroDivisionError(), InvalidRequest("x")]


@pytest.mark.parametrize("ends", [(one, other) for one in ENDS for other in ENDS])
@pytest.mark.parametrize("leaves_s", [0.05, 0.3, 0.5, 9.0])
async def test_each_entry_is_handed_over_or_closed_and_told_of_once(ends, leaves_s, autojump_clock):
    first, second, told = FakeEntry(0.5, ends[0]), FakeEntry(0.4, ends[1]), []
    winner = None
    with trio.move_on_after(leaves_s):
        try:
            winner = await race_of(first, second, told)
        except (HooshError, ZeroDivisionError):  # and never a group
            pass
    ran = [first, second] if leaves_s > 0.1 else [first]
    for entry in ran:
        assert entry.closed == (entry is not winner)
        assert [each for each, _ in told].count(entry) == (entry is not winner) or winner is None


# -- in the house --------------------------------------------------------------------------------------------------


def hedging(**changes: Any) -> dict[str, Any]:
    routing = {"hedge_after_ms": 100, "hedge_max_ratio": 1.0, **changes.pop("routing", {})}
    return {"routing": Routing(**routing), "budgets": PLENTY, **changes}


async def test_who_leaves_before_anybody_has_begun_pays_nothing(autojump_clock):
    silent = FakeUpstream([Hang()])
    async with house_of(silent, FakeUpstream([Hang()]), settings=hedging()) as house:
        records = records_of(house)
        with trio.move_on_after(1):
            await house.post(CHAT, ASK)
        await trio.sleep(1)
        assert (pool_of(house).used, pool_of(house).held) == (0, 0)
        assert (records[0].outcome, records[0].tried) == (Outcome.CLIENT_LEFT, ())


async def test_a_race_is_no_way_around_the_most_attempts(autojump_clock):
    second = FakeUpstream(QUICK)
    settings = hedging(routing={"max_attempts": 1})
    async with house_of(FakeUpstream([Pause(1.0), *QUICK]), second, settings=settings) as house:
        assert (await house.post(CHAT, ASK))[0] == 200
        assert not second.requests


async def test_who_has_failed_beside_the_first_is_not_asked_again(autojump_clock):
    first, second = FakeUpstream([Pause(0.5), *error_reply(503)]), FakeUpstream(error_reply(401))
    async with house_of(first, second, FakeUpstream(QUICK), settings=hedging()) as house:
        status, headers, _ = await house.post(CHAT, ASK)
        assert (status, headers.text(b"x-hoosh-provider")) == (200, "p3")
        assert len(second.requests) == 1


async def test_nobody_is_hedged_whom_the_pool_cannot_pay_for(autojump_clock):
    settings = hedging(
        prices=(PriceOverride(model="m", provider="mock", input=1.0, output=1.0),),
        budgets=(Budget(name="default", capacity=1.0, unit="usd"),),
    )
    second = FakeUpstream(QUICK)
    async with house_of(FakeUpstream([Pause(1.0), *QUICK]), second, settings=settings) as house:
        assert (await house.post(CHAT, ASK))[0] == 200
        assert not second.requests
        assert pool_of(house).held == 0


async def test_where_no_more_may_be_hedged_the_first_is_waited_for_as_one_that_is_alone(autojump_clock):
    silent, second = FakeUpstream([SSE, Hang()]), FakeUpstream(SAID)
    settings = hedging(routing={"hedge_max_ratio": 0.0})
    async with house_of(silent, second, settings=settings) as house:
        status, _, body = await house.post(CHAT, STREAM)
        assert (status, text_of(body)[:5]) == (200, "word0")
        assert trio.current_time() < 15.0


async def test_the_owner_can_end_a_race(autojump_clock):
    silent = FakeUpstream([Hang()])
    async with house_of(silent, FakeUpstream([Hang()]), settings=hedging()) as house, trio.open_nursery() as nursery:
        records = records_of(house)
        nursery.start_soon(house.post, CHAT, ASK)
        await trio.sleep(1)
        assert house.gateway.interrupt_all(Withdrawn()) == 1
        await trio.sleep(0.1)
        assert [(each.outcome, each.status, each.error_code) for each in records] == [
            (Outcome.ERROR, 503, "request_cancelled")
        ]
        assert (pool_of(house).used, pool_of(house).held) == (0, 0)


async def test_loads_and_places_are_given_back_whoever_wins(autojump_clock):
    settings = hedging(each={"p2": {"max_concurrent": 1}}, provider={"max_concurrent": 1})
    settings["models"] = (Alias(name="a", targets=("mock/m", "p2/m")),)
    first = FakeUpstream([Pause(1.0), *QUICK], QUICK, [Hang()])
    async with house_of(first, FakeUpstream(QUICK, QUICK, [Hang()]), settings=settings) as house:
        for wait_s in (9, 9, 0.5):
            with trio.move_on_after(wait_s):
                await house.post(CHAT, {**ASK, "model": "a"})
        await trio.sleep(1)
        gate = house.gateway.books.admission.gate.statistics(trio.current_time())
        assert [each.running for each in gate.scopes] == [0, 0]
        assert {each.in_flight for each in house.gateway.loads.statistics()} == {0}
