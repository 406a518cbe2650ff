"""The turnstile: whose turn it is, who gives up, and that no place is ever lost."""

from __future__ import annotations

import contextlib
import gc
import math
import random
import weakref
from collections.abc import Callable
from functools import partial

import pytest
import trio

from hoosh.admission import Ticket, Turnstile
from hoosh.errors import QueueFull, Unavailable, Withdrawn
from hoosh.values import PRIORITIES, Priority


class House:
    """A turnstile, and a story of who came in, who did not, and when."""

    def __init__(self, max_concurrent: int | None = 1, max_queue: int = 1000, timeout_s: float = 1000.0) -> None:
        self.turnstile = Turnstile(max_concurrent, max_queue, timeout_s)
        self.story: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.tickets: dict[str, Ticket] = {}

    async def visit(self, name: str, priority: Priority = "normal", *, stay_s: float = 1.0) -> None:
        """`name` is the caller's, with a number behind it that tells its requests apart."""
        ticket = self.tickets[name] = self.turnstile.ticket(name.rstrip("0123456789"), priority)
        try:
            await ticket.enter()
            self.story.append(name)
            await trio.sleep(stay_s)
        except Exception as error:
            self.errors[name] = error
        finally:
            ticket.leave()

    async def come(self, nursery: trio.Nursery, *names: str, **kinds: object) -> None:
        """One after another, so that they wait in this order."""
        for name in names:
            nursery.start_soon(partial(self.visit, *name.split("/"), **kinds))
            await trio.testing.wait_all_tasks_blocked()

    def check_empty(self) -> None:
        state = self.turnstile.statistics()
        assert (state.running, sum(state.queued.values()), state.longest_wait_s) == (0, 0, 0.0)


async def test_with_room_entering_is_no_checkpoint():
    house = House(max_concurrent=2)
    with trio.testing.assert_no_checkpoints():
        first, second = house.turnstile.ticket("ada", "normal"), house.turnstile.ticket("ada", "normal")
        await first.enter()
        await second.enter()
        assert house.turnstile.statistics().running == 2
        first.leave()
        first.leave()
        assert house.turnstile.statistics().running == 1
        second.leave()
    house.check_empty()


@pytest.mark.parametrize(
    ("wait", "order"),
    [
        ("a1 a2 a3", "a1 a2 a3"),
        ("a1/low b1/high c1/critical d1/background e1/normal", "c1 b1 e1 a1 d1"),
        ("a1 a2 a3 b1 c1 b2", "a1 b1 c1 a2 b2 a3"),
    ],
)
async def test_turns_come_by_class_and_in_a_class_by_caller(autojump_clock, wait, order):
    house = House()
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "first", *wait.split())
    assert house.story == ["first", *order.split()]
    house.check_empty()


async def test_a_key_with_a_thousand_waiting_delays_the_one_of_another_by_a_turn(autojump_clock):
    house = House(max_queue=1001)
    async with trio.open_nursery() as nursery:
        for number in range(1001):
            nursery.start_soon(house.visit, f"greedy{number}")
        await trio.testing.wait_all_tasks_blocked()
        await house.come(nursery, "ada")
        await trio.sleep(2.5)
        assert house.story[2] == "ada"
        nursery.cancel_scope.cancel()
    house.check_empty()


async def test_a_key_that_fills_the_queue_does_not_keep_another_out_of_it(autojump_clock):
    house = House(max_queue=3)
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "greedy0", "greedy1", "greedy2", "greedy3", "ada")
        assert isinstance(house.errors["greedy3"], QueueFull)
        await house.come(nursery, "greedy4")
        assert isinstance(house.errors["greedy4"], QueueFull)
    assert house.story == ["greedy0", "greedy1", "ada", "greedy2"]


async def test_what_waits_in_the_background_has_its_turn_though_better_ones_never_end(autojump_clock):
    house = House(timeout_s=30.0)
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "first", "patient/background")
        for number in range(40):
            await house.come(nursery, f"ada{number}/critical", f"bob{number}/critical")
            await trio.sleep(1)
            if "patient" in house.story:
                break
        nursery.cancel_scope.cancel()
    assert 20 <= number <= 23  # critical after four sixths of the thirty seconds, then at most three turns
    house.check_empty()


async def test_whose_turn_comes_too_late_is_told_so(autojump_clock):
    house = House(timeout_s=5.0)
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "first", stay_s=20.0)
        await house.come(nursery, "ada")
        await trio.sleep(4.99)
        assert "ada" not in house.errors
        await trio.sleep(0.02)
        assert str(house.errors["ada"]) == "The turn of this request has not come within 5 seconds."
        assert house.turnstile.statistics().queued["normal"] == 0
    assert house.story == ["first"]
    house.check_empty()


@pytest.mark.parametrize(
    ("max_queue", "words"),
    [
        (0, "The gateway is busy with 1 requests, and none may wait."),
        (2, "The gateway is busy with 1 requests, and 2 more wait for their turn."),
    ],
)
async def test_to_a_full_queue_nobody_comes(autojump_clock, max_queue, words):
    house = House(max_queue=max_queue)
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "first", *"ab"[:max_queue], "late")
        assert str(house.errors["late"]) == words
        assert house.errors["late"].code == "queue_full"
        assert house.turnstile.statistics().refused == 1
    assert len(house.story) == max_queue + 1


async def test_a_better_one_pushes_out_the_worst(autojump_clock):
    house = House(max_queue=2)
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "first", "ada/low", "bob/background", "eve/high", "zoe/low")
    assert house.story == ["first", "eve", "ada"]
    assert "has taken the place" in str(house.errors["bob"])
    assert "wait for their turn" in str(house.errors["zoe"])
    house.check_empty()


async def test_when_to_come_again_is_told_by_how_fast_turns_come_and_how_many_are_ahead(autojump_clock):
    house = House(max_concurrent=2, max_queue=6)
    async with trio.open_nursery() as nursery:
        for number in range(8):
            await house.come(nursery, f"ada{number}", stay_s=3.0)
        await house.come(nursery, "ada8")
        assert house.errors["ada8"].retry_after_s == 1.0  # nothing is known, and none has kept the others waiting yet
        await trio.sleep(2.0)
        await house.come(nursery, "ada9")
        assert house.errors["ada9"].retry_after_s == pytest.approx(2 * 7)  # nobody has left for two seconds
        await trio.sleep(4.1)  # four have left in six seconds
        for number in range(10, 15):
            await house.come(nursery, f"ada{number}", stay_s=3.0)
        assert house.errors["ada14"].retry_after_s == pytest.approx(1.5 * 7)
        nursery.cancel_scope.cancel()


async def test_idle_hours_are_no_sign_of_a_slow_house(autojump_clock):
    house = House(max_concurrent=2, max_queue=0)
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "ada0", "ada1", stay_s=2.0)
        await trio.sleep(36_000)
        await house.come(nursery, "bob0", stay_s=1.0)
        await trio.sleep(36_000)
        await house.come(nursery, "ada2", "ada3", "ada4", stay_s=2.0)
        assert house.errors["ada4"].retry_after_s == 2.0
        await trio.sleep(1.0)
        await house.come(nursery, "ada5")
        assert house.errors["ada5"].retry_after_s == 2.0
        await trio.sleep(36_000)


async def test_the_longest_wait_that_is_told_is_a_minute(autojump_clock):
    house = House(max_queue=1)
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "ada0", stay_s=500.0)
        await trio.sleep(400)
        await house.come(nursery, "ada1", "ada2")
        assert house.errors["ada2"].retry_after_s == 60.0


# -- leaving the queue -------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_is_out_of_the_list_at_once():
    house = House()
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "first", stay_s=float("inf"))
        scope = trio.CancelScope()
        nursery.start_soon(within, scope, partial(house.visit, "ada"))
        await trio.testing.wait_all_tasks_blocked()
        assert house.turnstile.statistics().queued["normal"] == 1
        scope.cancel()
        assert house.turnstile.statistics().queued["normal"] == 0
        nursery.cancel_scope.cancel()
    house.check_empty()


async def within(scope: trio.CancelScope, work: Callable) -> None:
    with scope:
        await work()


async def test_a_place_handed_to_one_that_leaves_in_that_moment_goes_to_the_next():
    house, scope = House(), trio.CancelScope()
    first = house.turnstile.ticket("first", "normal")
    await first.enter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(within, scope, partial(house.visit, "ada"))
        await trio.testing.wait_all_tasks_blocked()
        await house.come(nursery, "bob", stay_s=0)
        first.leave()
        scope.cancel()
    assert house.story == ["bob"]
    house.check_empty()


@pytest.mark.parametrize("end", ["cancel", "interrupt"])
async def test_a_ticket_that_could_not_enter_holds_no_place_though_nobody_says_that_it_leaves(end):
    turnstile, scope = Turnstile(1, 10, 30.0), trio.CancelScope()
    first, ticket = turnstile.ticket("first", "normal"), turnstile.ticket("ada", "normal")
    await first.enter()

    async def enter() -> None:
        with scope, contextlib.suppress(Withdrawn):
            await ticket.enter()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(enter)
        await trio.testing.wait_all_tasks_blocked()
        first.leave()
        scope.cancel() if end == "cancel" else ticket.interrupt(Withdrawn())
    assert turnstile.statistics().running == 0


async def test_one_that_leaves_before_it_has_begun_to_wait_does_not_wait():
    house = House()
    first = house.turnstile.ticket("first", "normal")
    await first.enter()
    with trio.CancelScope() as scope:
        scope.cancel()
        await house.visit("ada")
    assert scope.cancelled_caught
    first.leave()
    house.check_empty()


async def test_a_deadline_comes_too_late_for_one_whose_turn_has_come(mock_clock):
    house = House(timeout_s=5.0)
    first = house.turnstile.ticket("first", "normal")
    await first.enter()
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "ada", stay_s=0)
        first.leave()
        mock_clock.jump(6.0)
    assert (house.story, house.errors) == (["ada"], {})
    house.check_empty()


async def test_an_interrupted_wait_ends_with_that_error(autojump_clock):
    house = House()
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "first", "ada", "bob")
        error = Withdrawn()
        house.tickets["ada"].interrupt(error)
        assert house.turnstile.statistics().queued["normal"] == 1
        house.tickets["ada"].interrupt(Withdrawn())
        house.tickets["first"].interrupt(Withdrawn())  # it is inside: somebody else's business
    assert (house.story, house.errors) == (["first", "bob"], {"ada": error})
    house.check_empty()


async def test_one_that_is_interrupted_before_it_comes_does_not_come():
    house = House()
    ticket = house.turnstile.ticket("ada", "normal")
    ticket.interrupt(Withdrawn())
    with pytest.raises(Withdrawn):
        await ticket.enter()
    ticket.leave()
    house.check_empty()


async def test_a_place_handed_to_one_that_is_interrupted_in_that_moment_goes_to_the_next(autojump_clock):
    house = House()
    first = house.turnstile.ticket("first", "normal")
    await first.enter()
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "ada", "bob")
        first.leave()
        house.tickets["ada"].interrupt(Withdrawn())
    assert house.story == ["bob"]
    assert isinstance(house.errors["ada"], Withdrawn)
    house.check_empty()


async def test_everybody_who_waits_in_a_draining_house_is_told_so(autojump_clock):
    house = House()
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "first", *(f"ada{number}/low" for number in range(5)), "bob")
        error = Unavailable("The gateway is shutting down.")
        house.turnstile.drain(error)
    assert house.story == ["first"]
    assert set(house.errors.values()) == {error}
    assert len(house.errors) == 6
    house.check_empty()


@pytest.mark.parametrize("is_waiting", [True, False])
async def test_an_interrupted_ticket_leaves_nothing_for_the_garbage_collector(is_waiting):
    house = House()
    await house.turnstile.ticket("first", "normal").enter()
    ticket, error = house.turnstile.ticket("ada", "normal"), Withdrawn()
    alive = weakref.ref(error)

    async def enter(ticket: Ticket) -> None:
        with contextlib.suppress(Withdrawn):
            await ticket.enter()

    gc.disable()
    try:
        async with trio.open_nursery() as nursery:
            if is_waiting:
                nursery.start_soon(enter, ticket)
                await trio.testing.wait_all_tasks_blocked()
                ticket.interrupt(error)
            else:
                ticket.interrupt(error)
                nursery.start_soon(enter, ticket)
        del ticket, error
        assert alive() is None
    finally:
        gc.enable()


async def test_a_ticket_is_good_for_one_turn():
    ticket = House().turnstile.ticket("ada", "normal")
    await ticket.enter()
    with pytest.raises(RuntimeError):
        await ticket.enter()


# -- other limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "inside"), [(3, 3), (None, 6), (1, 1)])
async def test_more_room_lets_in_at_once(autojump_clock, limit, inside):
    house = House()
    async with trio.open_nursery() as nursery:
        await house.come(nursery, *(f"ada{number}" for number in range(6)))
        house.turnstile.configure(limit, 1000, 1000.0)
        assert house.turnstile.is_open is (limit is None)
        assert house.turnstile.statistics().running == inside
    assert len(house.story) == 6
    house.check_empty()


async def test_with_less_room_whoever_is_inside_stays_and_as_many_must_leave_before_another_comes(autojump_clock):
    house = House(max_concurrent=3)
    async with trio.open_nursery() as nursery:
        for stay_s, name in enumerate(["a", "b", "c", "late"], start=1):
            await house.come(nursery, name, stay_s=stay_s)
        house.turnstile.configure(1, 0, 1000.0)
        await trio.sleep(2.5)
        assert house.story == ["a", "b", "c"]
        await trio.sleep(1)
        assert house.story == ["a", "b", "c", "late"]
    house.check_empty()


async def test_the_statistics_say_who_waits(autojump_clock):
    house = House(max_queue=100, timeout_s=60.0)
    async with trio.open_nursery() as nursery:
        await house.come(nursery, "first", stay_s=50.0)
        await house.come(nursery, "ada1/low", "ada2/high")
        await trio.sleep(20)  # in the eyes of the house the low one is in the second class now
        await house.come(nursery, *(chr(ord("a") + number) for number in range(25)))
        state = house.turnstile.statistics()
        nursery.cancel_scope.cancel()
    assert state.queued == {"critical": 0, "high": 1, "normal": 25, "low": 1, "background": 0}
    assert (state.running, state.max_concurrent, state.max_queue, state.timeout_s) == (1, 1, 100, 60.0)
    assert state.longest_wait_s == pytest.approx(20)
    assert len(state.callers) == 20
    assert (state.callers[0].caller, state.callers[0].queued) == ("ada", 2)
    assert state.callers[0].longest_wait_s == pytest.approx(20)


# -- anything at any time ----------------------------------------------------------------------------------------------


class Crowd:
    """Ten thousand random things that happen to a turnstile; after each of them the books must balance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.limit: int | None = 3
        self.allowed: float = 3
        """The most that may be inside since the last check."""
        self.turnstile = Turnstile(self.limit, 10, 8.0)
        self.scopes: dict[trio.CancelScope, Ticket] = {}
        self.inside: set[Ticket] = set()
        self.ends: dict[str, int] = {}

    async def one(self, scope: trio.CancelScope, stay_s: float) -> None:
        ticket = self.scopes[scope]
        end = "cancelled"
        try:
            with scope:
                await ticket.enter()
                self.inside.add(ticket)
                await trio.sleep(stay_s)
                end = "done"
        except (QueueFull, Withdrawn, Unavailable) as error:
            end = type(error).__name__
        finally:
            self.inside.discard(ticket)
            ticket.leave()
            del self.scopes[scope]
            self.ends[end] = self.ends.get(end, 0) + 1

    def happen(self, nursery: trio.Nursery) -> None:
        chance = self.chance
        what = chance.choices(["come", "cancel", "interrupt", "configure", "drain"], [50, 20, 10, 2, 1])[0]
        if what == "come":
            scope = trio.CancelScope()
            self.scopes[scope] = self.turnstile.ticket(chance.choice("abcd"), chance.choice(PRIORITIES))
            nursery.start_soon(self.one, scope, chance.choice([0.0, 0.5, 2.0]))
        elif what == "configure":
            self.limit = chance.choice([1, 2, 3, 5, None])
            self.allowed = max(self.allowed, self.limit or math.inf)
            self.turnstile.configure(self.limit, chance.choice([0, 5, 10]), chance.choice([0.5, 8.0]))
        elif what == "drain":
            self.turnstile.drain(Unavailable("bye"))
        elif self.scopes:
            scope = chance.choice(list(self.scopes))
            scope.cancel() if what == "cancel" else self.scopes[scope].interrupt(Withdrawn())

    def check(self) -> None:
        """What holds whenever all tasks have come to rest."""
        state = self.turnstile.statistics()
        assert state.running == len(self.inside) <= self.allowed
        self.allowed = max(self.limit or math.inf, state.running)
        queued = sum(state.queued.values())
        assert queued == len(self.scopes) - len(self.inside)
        assert not queued or (self.limit is not None and state.running >= self.limit)


@pytest.mark.parametrize("seed", range(3))
async def test_no_place_is_ever_lost(autojump_clock, seed):
    print("seed", seed)
    crowd = Crowd(seed)
    async with trio.open_nursery() as nursery:
        for number in range(10_000):
            crowd.happen(nursery)
            if crowd.chance.random() < 0.3:
                await trio.sleep(crowd.chance.choice([0.0, 0.0, 0.25]))
            if number % 10 == 0:
                await trio.testing.wait_all_tasks_blocked()
                crowd.check()
    state = crowd.turnstile.statistics()
    assert (state.running, sum(state.queued.values()), crowd.inside) == (0, 0, set())
    assert crowd.ends.keys() == {"done", "cancelled", "QueueFull", "Withdrawn", "Unavailable"}
