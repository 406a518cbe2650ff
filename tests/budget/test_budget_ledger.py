"""What the stories cannot tell: entries and snapshots as bytes, capacities as the owner may write them, and races."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.budget import (
    Budget,
    Configured,
    Expired,
    Ledger,
    Released,
    Reported,
    Reserved,
    decode_entry,
    encode_entry,
)
from hoosh.budget.pool import MOST, Terms, terms_of
from hoosh.budget.reservations import MOST_LIVING, SLACK
from hoosh.errors import BudgetExceeded, MoneySpent, Refused, StorageError
from hoosh.values.settlement import Settlement

ENTRIES = [
    Settlement("req_1", 5, "ada", "p", 7, unit="usd"),
    Reserved(5, "r1", "ada", "p", 7, 605),
    Reported(5, "ada", "p", 7),
    Reported(5, "ada", "p", 7, "r1"),
    Reported(5, "ada", "p", 7, None, 70),
    Released(5, "r1", "p"),
    Expired(5, "r1", "p"),
    Configured(5, (Terms("default"), Terms("p", 7, "usd", "month", "finish")), {"p": 9}),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=repr)
def test_an_entry_comes_back_from_its_bytes(entry):
    assert decode_entry(encode_entry(entry)) == entry


@pytest.mark.parametrize(
    "row",
    [b"", b"{", b"[]", b"{}", b'{"type":"leased","at_ms":1}', b'{"type":"reserved"}', b"\xff", b'{"x":' * 50_000],
    ids=lambda row: repr(row[:30]),
)
def test_what_is_no_entry_of_this_version_is_told_with_advice(row):
    with pytest.raises(StorageError, match="newer hoosh"):
        decode_entry(row)


@pytest.mark.parametrize(
    ("capacity", "unit", "units"),
    [
        (0.0, "tokens", 0),
        (1e6, "tokens", 1_000_000),
        (1.9, "tokens", 1),
        (1e300, "tokens", MOST),
        (float("inf"), "tokens", None),
        (float("nan"), "tokens", 0),
        (-1.0, "tokens", 0),
        (0.29, "usd", 290_000),
        (1.1, "usd", 1_100_000),
        (0.0000005, "usd", 0),
        (1e300, "usd", MOST),
        (float("inf"), "usd", None),
    ],
)
def test_a_capacity_is_whole(capacity, unit, units):
    assert terms_of(Budget(name="p", capacity=capacity, unit=unit)).capacity == units


def test_money_is_refused_as_money():
    ledger = Ledger([Budget(name="p", capacity=1, unit="usd")])
    with pytest.raises(MoneySpent, match=r"1\.000000 USD left; this request may cost 1\.000001 USD"):
        ledger.hold("p", 1_000_001, 0)


@pytest.mark.parametrize("seed", range(5))
def test_of_many_who_want_the_last_tokens_each_is_served_or_refused_whole(seed):
    order = random.Random(seed)
    ledger = Ledger([Budget(name="p", capacity=100)])
    holds, refused = [], 0
    for amount in order.sample([1, 2, 3, 5, 8, 13, 21, 34, 55] * 3, 27):
        free = ledger.free("p", 0)
        if amount <= free:
            holds.append(ledger.hold("p", amount, 0))
            continue
        with pytest.raises(BudgetExceeded) as refusal:
            ledger.hold("p", amount, 0)
        assert (refusal.value.asked, refusal.value.free, ledger.free("p", 0)) == (amount, free, free)
        refused += 1
    assert sum(hold.amount for hold in holds) == 100 - ledger.free("p", 0) <= 100
    assert refused


def test_a_pool_counts_no_further_than_it_can():
    ledger = Ledger()
    for _ in range(2):
        ledger.apply(Settlement("r", 0, "ada", "default", 2**63 - 10))
    ledger.report(None, "ada", "default", 2**64, 2**64, at_ms=0)
    assert ledger.pool("default", 0).used == MOST
    other = Ledger()
    other.restore(ledger.state())
    assert other.pools(0) == ledger.pools(0)


def test_a_charge_below_nothing_gives_nothing_back():
    ledger = Ledger()
    ledger.apply(Settlement("r", 0, "ada", "default", 5))
    ledger.apply(Settlement("r", 0, "ada", "default", -3))
    assert ledger.pool("default", 0).used == 5


@pytest.mark.parametrize("unit", ["tokens", "usd"])
def test_entries_of_a_pool_nobody_has_told_of_are_remembered(unit):
    ledger = Ledger()
    ledger.apply(Settlement("r", 0, "ada", "p", 5))
    ledger.apply(Reserved(0, "r1", "ada", "p", 7, 600))
    other = Ledger()
    other.restore(ledger.state())
    assert [state.name for state in other.pools(0)] == ["default"]
    other.configure([Budget(name="p", capacity=1000, unit=unit)], 0)
    state = other.pool("p", 0)
    assert (state.unit, state.used, state.reserved) == (unit, 5, 7)


def test_a_ledger_made_with_budgets_keeps_their_terms_when_it_is_restored():
    old = Ledger([Budget(name="p", capacity=100, window="day"), Budget(name="gone", capacity=5)])
    old.apply(Settlement("r", 86_400_000, "ada", "p", 60))
    new = Ledger([Budget(name="p", capacity=1000, window="day", on_exhausted="finish")], at_ms=90_000_000_000)
    new.restore(old.state())
    new.apply(Settlement("r", 86_400_001, "ada", "p", 1))
    states = new.pools(86_400_001)
    assert [(state.name, state.capacity, state.used) for state in states] == [("default", None, 0), ("p", 1000, 61)]


def test_a_replay_into_a_ledger_made_today_counts_in_the_entries_own_days():
    today_ms = 20_000 * 86_400_000
    ledger = Ledger([Budget(name="p", capacity=100, window="day")], at_ms=today_ms)
    ledger.apply(Settlement("r", today_ms - 1, "ada", "p", 100))
    assert ledger.pool("p", today_ms - 1).used == 100
    assert ledger.free("p", today_ms) == 100


@pytest.mark.parametrize(
    "change",
    [
        lambda state: b"",
        lambda state: state[:-1],
        lambda state: b"[]",
        lambda state: b'{"x":' * 50_000,
        lambda state: msgspec.json.encode(msgspec.json.decode(state) | {"version": 2}),
        lambda state: msgspec.json.encode(msgspec.json.decode(state) | {"open": ["other"]}),
        lambda state: msgspec.json.encode(msgspec.json.decode(state) | {"reservations": [["r", "a", 9, 1, 1]]}),
    ],
)
def test_a_snapshot_of_another_version_is_told_and_changes_nothing(change):
    ledger = Ledger([Budget(name="p", capacity=100)])
    ledger.apply(Settlement("r", 0, "ada", "p", 5))
    before = ledger.pools(0)
    with pytest.raises(StorageError, match="newer hoosh"):
        ledger.restore(change(ledger.state()))
    assert ledger.pools(0) == before


def test_a_reload_that_changes_nothing_writes_nothing():
    ledger = Ledger([Budget(name="p", capacity=100)])
    assert ledger.configure([Budget(name="p", capacity=100.0)], 5) is None
    entry = ledger.configure([Budget(name="p", capacity=101)], 5)
    assert entry == Configured(5, (Terms("default"), Terms("p", 101)))
    assert ledger.configure([], 5) == Configured(5, (Terms("default"),))


def test_a_running_ledger_is_not_restored():
    ledger = Ledger()
    ledger.hold("default", 1, 0)
    with pytest.raises(RuntimeError):
        ledger.restore(ledger.state())


@pytest.mark.parametrize("amount", [-1, -(10**30)])
def test_an_amount_below_nothing_is_a_bug(amount):
    ledger = Ledger()
    with pytest.raises(ValueError, match="cannot hold"):
        ledger.hold("default", amount, 0)
    with pytest.raises(ValueError, match="cannot reserve"):
        ledger.reserve("default", "ada", amount, ttl_s=1, at_ms=0, reservation_id="r")
    with pytest.raises(ValueError, match="cannot report"):
        ledger.report(None, "ada", "default", 0, amount, at_ms=0)
    assert ledger.extend(ledger.hold("default", 0, 0), amount, 0) == 0


def test_an_id_is_given_once():
    ledger = Ledger()
    ledger.reserve("default", "ada", 1, ttl_s=1, at_ms=0, reservation_id="r")
    with pytest.raises(ValueError, match="cannot reserve"):
        ledger.reserve("default", "bob", 1, ttl_s=1, at_ms=0, reservation_id="r")


def test_reservations_that_come_and_go_leave_nothing_behind():
    ledger = Ledger()
    for number in range(1000):
        ledger.reserve("default", "ada", 1, ttl_s=86_400, at_ms=number, reservation_id=f"r{number}")
        ledger.release(f"r{number}", "ada", at_ms=number)
    book = ledger._reservations
    assert len(book._by_end) <= SLACK + 1
    assert [len(each) for each in (book.living, book._by_owner, book._counts)] == [0, 0, 0]


def test_an_owner_has_so_many_reservations_and_no_more():
    ledger = Ledger()
    for number in range(MOST_LIVING):
        ledger.reserve("default", "ada", 1, ttl_s=60, at_ms=0, reservation_id=f"r{number}")
    with pytest.raises(Refused) as refused:
        ledger.reserve("default", "ada", 1, ttl_s=60, at_ms=0, reservation_id="more")
    assert refused.value.code == "too_many_reservations"
    assert ledger.pool("default", 0).reserved == MOST_LIVING
    assert len(ledger.expire(60_000)) == MOST_LIVING
    ledger.reserve("default", "ada", 1, ttl_s=60, at_ms=0, reservation_id="more")


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 50)), max_size=30), st.data())
def test_expiry_is_in_order_whatever_else_ends(promises, data):
    ledger = Ledger()
    ends = {}
    for number, (amount, ttl_s) in enumerate(promises):
        entry = ledger.reserve("default", "ada", amount, ttl_s=ttl_s, at_ms=0, reservation_id=f"r{number}")
        ends[entry.id] = entry.expires_ms
    for identity in data.draw(st.lists(st.sampled_from(sorted(ends)), unique=True)) if ends else ():
        ledger.release(identity, "ada", at_ms=0)
        del ends[identity]
    expired = []
    for at_ms in range(0, 51_000, 1000):
        now = ledger.expire(at_ms)
        assert all(ends[entry.id] == at_ms for entry in now)
        expired += [entry.id for entry in now]
    assert sorted(expired) == sorted(ends)
    assert ledger.pool("default", 0).reserved == 0
