"""The wait list against a dumb one, and what it promises: ageing, fairness among callers, a bound for everybody."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hoosh.admission.queue import RANK, Waiter, WaitList
from hoosh.values import PRIORITIES

AGE_S = 8
"""A whole number, and times are quarters: sums of them are exact."""
CALLERS = ("ada", "bob", "eve")
priorities = st.sampled_from(PRIORITIES)


class DumbList:
    """One list of everybody; each answer is looked for in all of it."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self.everybody: list[list] = []
        """[waiter, rank, since], by the time of coming into the class."""
        self.turns: list[list[str]] = [[] for _ in PRIORITIES]
        self.grew: dict[tuple[int, str], int] = {}
        """When the count of a caller in a class has last changed: a number."""
        self.changes = 0

    def of(self, rank: int, caller: str | None = None) -> list[Waiter]:
        return [w for w, at, _ in self.everybody if at == rank and caller in (None, w.caller)]

    def put(self, waiter: Waiter, rank: int, since_s: float) -> None:
        self.everybody.append([waiter, rank, since_s])
        self.changed(rank, waiter.caller)

    def drop(self, waiter: Waiter) -> None:
        entry = next(entry for entry in self.everybody if entry[0] is waiter)
        self.everybody.remove(entry)
        self.changed(entry[1], waiter.caller)

    def changed(self, rank: int, caller: str) -> None:
        self.changes += 1
        self.grew[rank, caller] = self.changes
        waits, turns = bool(self.of(rank, caller)), self.turns[rank]
        if waits and caller not in turns:
            turns.append(caller)
        if not waits:
            turns.remove(caller)

    def age(self, now_s: float) -> None:
        def due(entry: list) -> tuple[float, int]:
            return entry[2] + AGE_S, -entry[1]

        while late := [entry for entry in self.everybody if entry[1] and due(entry)[0] <= now_s]:
            waiter, rank, since_s = min(late, key=due)
            self.drop(waiter)
            self.put(waiter, rank - 1, since_s + AGE_S)

    def add(self, waiter: Waiter, now_s: float) -> Waiter | None:
        self.age(now_s)
        rank, loser = RANK[waiter.priority], None
        if len(self.everybody) >= self.max_length:
            lowest = max((at for _, at, _ in self.everybody), default=-1)
            counts = {w.caller: len(self.of(lowest, w.caller)) for w in self.of(lowest)}
            if lowest < rank or (lowest == rank and max(counts.values()) < counts.get(waiter.caller, 0) + 2):
                return waiter
            longest = max(counts, key=lambda caller: (counts[caller], self.grew[lowest, caller]))
            loser = self.of(lowest, longest)[-1]
            self.drop(loser)
        self.put(waiter, rank, now_s)
        return loser

    def take(self, now_s: float) -> Waiter | None:
        self.age(now_s)
        for rank, turns in enumerate(self.turns):
            if turns:
                turns.append(turns.pop(0))
                waiter = self.of(rank, turns[-1])[0]
                self.drop(waiter)
                return waiter
        return None


class WaitListMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.list: WaitList[Waiter] = WaitList(6, AGE_S)
        self.dumb = DumbList(6)

    @rule(quarters=st.one_of(st.integers(0, 3), st.integers(0, 4 * AGE_S * 5)))
    def time_passes(self, quarters):
        self.now_s += quarters / 4

    @rule(caller=st.sampled_from(CALLERS), priority=priorities)
    def one_comes(self, caller, priority):
        waiter = Waiter(caller, priority)
        assert self.list.add(waiter, self.now_s) is self.dumb.add(waiter, self.now_s)

    @rule()
    def a_turn_comes(self):
        assert self.list.take(self.now_s) is self.dumb.take(self.now_s)

    @rule(data=st.data())
    def one_leaves(self, data):
        if self.dumb.everybody:
            waiter = data.draw(st.sampled_from(self.dumb.everybody))[0]
            self.list.remove(waiter)
            self.dumb.drop(waiter)

    @rule(max_length=st.integers(0, 8))
    def the_list_gets_another_length(self, max_length):
        self.list.max_length = self.dumb.max_length = max_length

    @invariant()
    def the_same_wait(self):
        assert len(self.list) == len(self.dumb.everybody)
        assert set(self.list) == {waiter for waiter, _, _ in self.dumb.everybody}

    def teardown(self) -> None:
        while self.dumb.everybody:
            assert self.list.take(self.now_s) is self.dumb.take(self.now_s)
        assert self.list.take(self.now_s) is None


TestWaitList = WaitListMachine.TestCase
TestWaitList.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def filled(*names: str, max_length: int = 100) -> tuple[WaitList[Waiter], dict[str, Waiter]]:
    """A list of `caller/priority` waiters, who have come one after another at once."""
    waiting: WaitList[Waiter] = WaitList(max_length, AGE_S)
    waiters = {}
    for number, name in enumerate(names):
        waiter = waiters[f"{number} {name}"] = Waiter(*name.split("/"))
        assert waiting.add(waiter, 0.0) is None
    return waiting, waiters


def taken(waiting: WaitList[Waiter], now_s: float = 0.0) -> list[str]:
    story = []
    while (waiter := waiting.take(now_s)) is not None:
        story.append(f"{waiter.caller}/{waiter.priority}")
    return story


def test_the_better_class_comes_first_and_in_it_callers_take_turns():
    waiting, _ = filled("ada/low", "ada/normal", "ada/normal", "ada/normal", "bob/normal", "eve/critical")
    assert taken(waiting) == ["eve/critical", "ada/normal", "bob/normal", "ada/normal", "ada/normal", "ada/low"]


@pytest.mark.parametrize(
    ("waited_s", "first"),
    [(0, "bob/critical"), (AGE_S * 4 - 0.25, "bob/critical"), (AGE_S * 4, "ada/background")],
)
def test_whoever_waits_moves_up_a_class_at_a_time(waited_s, first):
    waiting, _ = filled("ada/background")
    waiting.add(Waiter("bob", "critical"), waited_s)
    assert taken(waiting, waited_s)[0] == first


@pytest.mark.parametrize(
    ("wait", "newcomer", "loser"),
    [
        ("ada/low bob/background eve/background", "ada/normal", "2 eve/background"),
        ("ada/low bob/background bob/background eve/background", "ada/normal", "2 bob/background"),
        ("ada/low bob/background", "eve/background", "newcomer"),
        ("ada/normal ada/normal ada/normal", "bob/normal", "2 ada/normal"),
        ("ada/normal ada/normal bob/normal", "bob/normal", "newcomer"),
        ("ada/normal ada/normal ada/normal bob/normal", "bob/normal", "2 ada/normal"),
        ("ada/normal", "bob/normal", "newcomer"),
        ("ada/critical ada/critical", "bob/high", "newcomer"),
    ],
)
def test_to_a_full_list_a_newcomer_comes_in_place_of_the_worst(wait, newcomer, loser):
    waiting, waiters = filled(*wait.split())
    waiting.max_length = len(waiting)
    new = waiters["newcomer"] = Waiter(*newcomer.split("/"))
    assert waiting.add(new, 0.0) is waiters[loser]
    assert len(waiting) == len(wait.split())


def test_nobody_may_wait_in_a_list_of_no_length():
    waiting: WaitList[Waiter] = WaitList(0, AGE_S)
    waiter = Waiter("ada", "critical")
    assert waiting.add(waiter, 0.0) is waiter
    assert waiting.take(0.0) is None


def test_one_that_has_left_is_not_taken_wherever_it_was():
    for gone in range(4):
        waiting, waiters = filled("ada/normal", "ada/normal", "bob/normal", "ada/normal")
        waiting.remove(list(waiters.values())[gone])
        assert len(taken(waiting)) == 3


def test_a_shorter_age_moves_up_at_once_those_who_are_due_then():
    waiting, _ = filled("ada/normal")
    waiting.add(Waiter("bob", "high"), 2.0)
    waiting.age_s = 1.0
    assert waiting.take(2.0).caller == "bob"
    waiting.add(Waiter("eve", "critical"), 3.5)
    assert taken(waiting, 3.5) == ["ada/normal", "eve/critical"]


@pytest.mark.parametrize("seed", range(20))
def test_against_a_flood_of_critical_ones_everybody_is_taken_within_the_bound(seed):
    """The worst that others can do: a critical newcomer of some key after every turn, for ever."""
    print("seed", seed)
    chance = random.Random(seed)
    flooders = [f"key{number}" for number in range(chance.randint(1, 12))]
    waiting, _ = filled(*("ada/background",) * chance.randint(1, 6), max_length=500)
    own, now_s, turns_since_critical = len(waiting), 0.0, 0
    for _ in range(200):
        waiting.add(Waiter(chance.choice(flooders), "critical"), now_s)
    left = own
    while left:
        for _ in range(chance.choice([1, 1, 2])):
            waiting.add(Waiter(chance.choice(flooders), "critical"), now_s)
        turns_since_critical += now_s >= 4 * AGE_S
        left -= waiting.take(now_s).caller == "ada"
        now_s += 0.25
    assert turns_since_critical <= own * (len(flooders) + 1)


def test_the_guess_of_who_is_ahead_is_never_too_low_while_nobody_else_comes():
    chance = random.Random(5)
    for _ in range(200):
        names = [f"{chance.choice(CALLERS)}/{chance.choice(PRIORITIES)}" for _ in range(chance.randint(0, 12))]
        waiting, _ = filled(*names)
        new = Waiter(chance.choice(CALLERS), chance.choice(PRIORITIES))
        guess = waiting.ahead_of(new.caller, new.priority)
        waiting.add(new, 0.0)
        order = [waiting.take(0.0) for _ in range(len(waiting))]
        assert order.index(new) <= guess <= len(names)


def test_who_has_moved_up_meanwhile_does_not_depend_on_when_somebody_looks():
    """Ada's lane is empty for half a second before her second one comes into it: so it is Bob's turn first."""
    for looks in ([], [8.0], [8.0, 8.25, 8.5]):
        waiting, _ = filled("ada/normal")
        waiting.add(Waiter("ada", "low"), 0.5)
        waiting.add(Waiter("bob", "normal"), 5.0)
        waiting.max_length = 0
        for at_s in looks:
            assert waiting.add(late := Waiter("eve", "background"), at_s) is late
        assert taken(waiting, 8.5) == ["ada/normal", "bob/normal", "ada/low"]
