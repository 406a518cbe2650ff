"""Running totals are what a plain sum over all settlements gives, however they are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.cost import CostsReset, Totals
from hoosh.cost import totals as module
from hoosh.errors import StorageError
from hoosh.values import Settlement, Usage
from hoosh.values.costs import EARLIER, GROUPS, CostQuery, CostRow, Group

DAY_MS = 86_400_000
TODAY_MS = 20_000 * DAY_MS + 7

settlements = st.builds(
    Settlement,
    request_id=st.just("r"),
    at_ms=st.integers(0, 4).map(lambda day: TODAY_MS + day * DAY_MS),
    caller=st.sampled_from(["ada", "bob"]),
    pool=st.sampled_from(["default", "team"]),
    provider=st.sampled_from(["openai", "ollama"]),
    model=st.sampled_from(["gpt-4o", "llama", "qwen"]),
    usage=st.builds(Usage, *[st.integers(0, 2**70)] * 3),
    cost_micro_usd=st.none() | st.integers(0, 2**63),
    estimated=st.booleans(),
    local=st.booleans(),
    cached=st.booleans(),
    outcome=st.sampled_from(["ok", "error", "cut"]),
)
queries = st.builds(
    CostQuery,
    by=st.lists(st.sampled_from(GROUPS), unique=True).map(tuple),
    since_day=st.sampled_from([None, "2024-10-05"]),
    until_day=st.sampled_from([None, "2024-10-06"]),
    filters=st.dictionaries(st.sampled_from(["key", "provider"]), st.sampled_from(["ada", "openai"])),
)


def names_of(settlement: Settlement) -> dict[Group, str]:
    return {
        "day": (date(1970, 1, 1) + timedelta(days=settlement.at_ms // DAY_MS)).isoformat(),
        "key": settlement.caller,
        "pool": settlement.pool,
        "provider": settlement.provider,
        "model": settlement.model,
    }


def counted(settlement: Settlement) -> Counter[str]:
    usage = settlement.usage
    told = usage.prompt_tokens + usage.completion_tokens
    if settlement.cached:
        return Counter(requests=1, requests_cached=1, saved_tokens=told)
    failed = settlement.outcome != "ok"
    unpriced = settlement.cost_micro_usd is None and (not failed or told > 0)
    return Counter(
        requests=1,
        requests_failed=failed,
        requests_unpriced=unpriced,
        requests_estimated=settlement.estimated,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        cost_micro_usd=settlement.cost_micro_usd or 0,
    )


def naive(given: Iterable[Settlement], query: CostQuery) -> dict[tuple[str, ...], Counter[str]]:
    """The plain sum."""
    rows: dict[tuple[str, ...], Counter[str]] = {}
    for settlement in given:
        names = names_of(settlement)
        is_asked_for = (
            (query.since_day is None or names["day"] >= query.since_day)
            and (query.until_day is None or names["day"] <= query.until_day)
            and all(names[group] == name for group, name in query.filters.items())  # type: ignore[index]
        )
        if is_asked_for:
            place = tuple(names[group] for group in GROUPS if group in query.by)
            rows.setdefault(place, Counter()).update(counted(settlement))
    return rows


def sums(row: CostRow) -> Counter[str]:
    return Counter({name: getattr(row, name) for name in row.__struct_fields__ if isinstance(getattr(row, name), int)})


def reported(totals: Totals, query: CostQuery) -> dict[tuple[str, ...], Counter[str]]:
    report = totals.report(query, max_rows=1000)
    found = {}
    for row in report.rows:
        place = tuple(str(getattr(row, group)) for group in GROUPS if group in query.by)
        numbers = sums(row)
        del numbers["local"]
        found[place] = numbers
    return found


def folded(given: Iterable[Settlement | CostsReset]) -> Totals:
    totals = Totals()
    for entry in given:
        totals.apply(entry)
    return totals


@given(st.lists(settlements, max_size=30), queries)
def test_every_report_is_the_plain_sum(given, query):
    found = reported(folded(given), query)
    assert found == {place: +row for place, row in naive(given, query).items()}


@given(st.lists(settlements, max_size=30), st.lists(settlements, max_size=30), queries)
def test_a_snapshot_with_what_came_behind_it_is_the_whole_journal(before, after, query):
    totals = Totals()
    totals.restore(folded(before).state())
    for settlement in after:
        totals.add(settlement)
    whole = folded([*before, *after])
    assert totals.state() == whole.state()
    assert totals.report(query, max_rows=50) == whole.report(query, max_rows=50)


@given(st.lists(settlements, max_size=20), st.lists(settlements, max_size=20))
def test_after_a_reset_only_what_follows_counts(before, after):
    reset = CostsReset(at_ms=TODAY_MS, by="ada", reason="new month")
    totals = folded([*before, reset, *after])
    assert totals.since_ms == TODAY_MS
    assert sums(totals.total()) == sums(folded(after).total())
    again = Totals()
    again.restore(totals.state())
    assert again.since_ms == TODAY_MS


def at(day: int, model: str = "m", cost: int = 1, **more: object) -> Settlement:
    return msgspec.structs.replace(
        Settlement("r", day * DAY_MS, "ada", "default", model=model, cost_micro_usd=cost, provider="p"), **more
    )


def test_rows_are_told_by_day_and_then_the_dearest_first():
    totals = folded([at(1, "a", 5), at(2, "b", 1), at(2, "c", 9), at(1, "d", 7)])
    rows = totals.report(CostQuery(by=("model", "day")), max_rows=3)
    assert [(row.day, row.model) for row in rows.rows] == [
        ("1970-01-02", "d"),
        ("1970-01-02", "a"),
        ("1970-01-03", "c"),
    ]
    assert rows.truncated
    assert rows.total.cost_micro_usd == 22
    assert [row.model for row in totals.report(CostQuery(by=("model",)), max_rows=9).rows] == ["c", "d", "a", "b"]


def test_a_row_is_local_when_all_of_it_was():
    totals = folded([at(1, local=True), at(1, "n", local=True), at(1, "n")])
    rows = totals.report(CostQuery(by=("model",)), max_rows=9).rows
    assert {row.model: row.local for row in rows} == {"m": True, "n": False}
    assert not Totals().total().local


@pytest.mark.parametrize(
    ("settlement", "unpriced"),
    [
        (at(1, cost_micro_usd=None), 1),
        (at(1, cost_micro_usd=0), 0),
        (at(1, cost_micro_usd=None, cached=True), 0),
        (at(1, cost_micro_usd=None, outcome="error"), 0),
        (at(1, cost_micro_usd=None, outcome="cut", usage=Usage(5)), 1),
    ],
)
def test_nobody_takes_a_request_without_a_price_for_a_free_one(settlement, unpriced):
    assert folded([settlement]).total().requests_unpriced == unpriced


def test_the_oldest_days_go_on_one_heap_and_nothing_is_lost():
    totals = folded(at(day) for day in range(module.MAX_DAYS + 50))
    rows = totals.report(CostQuery(by=("day",)), max_rows=1000).rows
    assert len(rows) == module.MAX_DAYS + 1
    assert (rows[0].day, rows[0].requests) == (EARLIER, 50)
    assert totals.total().requests == module.MAX_DAYS + 50
    since = totals.report(CostQuery(by=(), since_day="1970-01-01"), max_rows=1).total
    assert since.requests == module.MAX_DAYS


@pytest.mark.parametrize("day", [-(10**6), -1, 10**7])
def test_a_clock_that_is_far_off_makes_an_odd_day_and_the_right_sums(day):
    totals = folded([at(5), at(day), at(6)])
    assert totals.total().requests == 3
    assert len(totals.report(CostQuery(by=("day",)), max_rows=9).rows) == 3


def test_names_that_clients_invent_fill_neither_the_memory_nor_the_past(monkeypatch):
    monkeypatch.setattr(module, "DAY_CELLS", 10)
    monkeypatch.setattr(module, "MAX_CELLS", 40)
    given = [at(day, f"m{number}") for day in range(20) for number in range(30)]
    totals = folded(given)
    assert len(totals) <= 40 + 11 + 11
    assert totals.total().requests == len(given)
    newest = totals.report(CostQuery(by=("model",), since_day="1970-01-20"), max_rows=99).rows
    assert {row.model: row.requests for row in newest} == {module.OTHER: 20} | {f"m{n}": 1 for n in range(10)}
    again = Totals()
    again.restore(totals.state())
    for extra in (totals, again):
        extra.add(at(3, "late"))
        extra.add(at(25, "new"))
    assert again.state() == totals.state()


@pytest.mark.parametrize("state", [b"", b"{}", b"[1]", b"\xff", b'{"version":2,"since_ms":null,"heap":[],"days":[]}'])
def test_a_snapshot_that_cannot_be_read_changes_nothing(state):
    totals = folded([at(1)])
    with pytest.raises(StorageError, match="snapshot of the costs"):
        totals.restore(state)
    assert totals.total().requests == 1
