"""What outlives a gateway, ended or killed: balances, costs, what has been learnt, what others have reserved."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from books_house import ADA_KEY, BOB_KEY, ENDLESS, BookedHouse, pools_of, read_books, wait_written
from e2e_house import CLIENT_KEY, Gateway, OpenAIServer, ask, fetch_json

from hoosh.budget import Configured, Expired

End = Callable[[Gateway], None]


def by_signal(gateway: Gateway) -> None:
    assert gateway.stop() == 0


def by_kill(gateway: Gateway) -> None:
    wait_written(gateway)
    gateway.kill()


each_end = pytest.mark.parametrize("end", [by_signal, by_kill], ids=["SIGTERM", "SIGKILL"])


@pytest.fixture
def house(tmp_path: Path, upstream: OpenAIServer) -> BookedHouse:
    return BookedHouse(tmp_path / "house", upstream)


def post(gateway: Gateway, path: str, body: Any, key: str = CLIENT_KEY) -> dict[str, Any]:
    return fetch_json(f"{gateway.base_url}/{path}", json.dumps(body).encode(), key=key)


def spend(gateway: Gateway, times: int = 3) -> None:
    for number in range(times):
        post(gateway, "chat/completions", ask("tiny-chat", f"of words {number}"), ADA_KEY)
        post(gateway, "chat/completions", ask("tiny-chat", f"of money {number}"), BOB_KEY)


def state_of(gateway: Gateway) -> dict[str, Any]:
    costs = fetch_json(f"{gateway.base_url}/costs?group_by=key,pool,model", key=CLIENT_KEY)
    costs["records"].sort(key=str)
    return {"pools": pools_of(gateway), "costs": costs}


def guess_of(gateway: Gateway) -> int:
    """A prompt's tokens, by what has been learnt of the model.  The prompt is long, and so shows it well."""
    prompt = {"model": "tiny-chat", "messages": [{"role": "user", "content": "a long sentence " * 200}]}
    tokens: int = post(gateway, "cost/estimate", {**prompt, "output_tokens": 1})["input_tokens"]
    return tokens


@each_end
def test_balances_and_costs_are_as_before(house: BookedHouse, end: End) -> None:
    with house.life() as gateway:
        spend(gateway)
        before = state_of(gateway)
        assert before["pools"]["words"]["used"] > 0
        assert before["pools"]["money"]["used"] > 0
        assert before["costs"]["total_cost_micro_usd"] > 0
        end(gateway)
    with house.life() as gateway:
        assert state_of(gateway) == before


def test_a_snapshot_and_the_rows_behind_it_come_to_the_same_as_all_rows(house: BookedHouse) -> None:
    with house.life() as gateway:
        spend(gateway)
        by_signal(gateway)  # which leaves a snapshot
    with house.life() as gateway:
        spend(gateway)
        before = state_of(gateway)
        by_kill(gateway)  # which does not
    with house.life() as gateway:
        assert state_of(gateway) == before
        gateway.kill()
    without_snapshot(house)
    with house.life() as gateway:
        assert state_of(gateway) == before
        spend(gateway)
    books = read_books(house.database)
    assert len(books.settled()) >= 12  # the last ones may be lost, by a kill that waited for nothing


def without_snapshot(house: BookedHouse) -> None:
    with sqlite3.connect(house.database) as database:
        assert database.execute("DELETE FROM entries WHERE \"table\" = 'books'").rowcount == 1
    database.close()


def test_what_was_learnt_is_known_again_as_of_the_last_snapshot(house: BookedHouse) -> None:
    """A kill loses what was learnt behind it: that is a guess, and not in the journal."""
    with house.life() as gateway:
        unlearnt = guess_of(gateway)
        spend(gateway)
        wait_written(gateway)  # a report is learnt from when its row is handed over
        learnt = guess_of(gateway)
        assert learnt != unlearnt
        by_signal(gateway)
    for _ in range(2):
        with house.life() as gateway:
            assert guess_of(gateway) == learnt
            by_kill(gateway)


def test_a_reservation_made_before_a_kill_can_be_reported_and_released_after_it(house: BookedHouse) -> None:
    with house.life(house.config(durability="sync")) as gateway:
        reserved = [
            post(gateway, "tokens/reserve", {"pool": "words", "tokens": tokens, "ttl_s": 3600}, ADA_KEY)["id"]
            for tokens in (1000, 200, 30)
        ]
        assert pools_of(gateway)["words"]["reserved"] == 1230
        gateway.kill()
    with house.life() as gateway:
        assert pools_of(gateway)["words"]["reserved"] == 1230
        assert post(gateway, "tokens/report", {"id": reserved[0], "actual": 1111}, ADA_KEY)["used"] == 1111
        assert post(gateway, "tokens/release", {"id": reserved[1]}, ADA_KEY)["released"]
        by_signal(gateway)
    with house.life() as gateway:
        pool = pools_of(gateway)["words"]
        assert (pool["used"], pool["reserved"]) == (1111, 30)
        # The form without an id takes off the oldest that the caller has in the pool.
        post(gateway, "tokens/report", {"pool": "words", "reserved": 30, "actual": 5}, ADA_KEY)
        assert (pools_of(gateway)["words"]["used"], pools_of(gateway)["words"]["reserved"]) == (1116, 0)


def test_a_reservation_whose_time_has_passed_meanwhile_is_over(house: BookedHouse) -> None:
    with house.life(house.config(durability="sync")) as gateway:
        identity = post(gateway, "tokens/reserve", {"pool": "words", "tokens": 500, "ttl_s": 1}, ADA_KEY)["id"]
        gateway.kill()
    age(house, 1_000)
    with house.life() as gateway:
        assert pools_of(gateway)["words"]["reserved"] == 0
        with pytest.raises(HTTPError, match="404"):
            post(gateway, "tokens/report", {"id": identity, "actual": 1}, ADA_KEY)
        by_signal(gateway)
    assert [entry.id for entry in read_books(house.database).entries if isinstance(entry, Expired)] == [identity]


def test_windows_that_have_passed_meanwhile_are_new_and_lifetimes_are_not(house: BookedHouse) -> None:
    budgets = (
        ENDLESS
        + """
[[budgets]]
name = "hourly"
capacity = 100_000
window = "hour"

[[budgets]]
name = "monthly"
capacity = 100_000
window = "month"
"""
    )
    config = house.config(durability="sync", budgets=budgets, pools=("hourly", "words"))
    with house.life(config) as gateway:
        spend(gateway)
        before = pools_of(gateway)
        assert before["hourly"]["used"] > 0
        gateway.kill()
    age(house, 3_600_000)
    with house.life(config) as gateway:
        after = pools_of(gateway)
        assert after["hourly"]["used"] == 0
        assert after["hourly"]["window_ends_at"] >= before["hourly"]["window_ends_at"]
        assert after["words"] == before["words"]


def age(house: BookedHouse, by_ms: int) -> None:
    """Let everything in the journal have happened so much earlier: cheaper than to wait, and no clock is set."""
    with sqlite3.connect(house.database) as database:
        found = "SELECT number FROM logs WHERE name = 'ledger'"
        rows = database.execute(f"SELECT id, body FROM rows WHERE id >> 40 = ({found})").fetchall()
        for identity, body in rows:
            entry = json.loads(body)
            aged = {**entry, **{name: entry[name] - by_ms for name in ("at_ms", "expires_ms") if name in entry}}
            database.execute("UPDATE rows SET body = ? WHERE id = ?", (json.dumps(aged).encode(), identity))
    database.close()


def test_tokens_do_not_become_money_when_a_pool_has_another_unit_after_a_kill(house: BookedHouse) -> None:
    with house.life(house.config(durability="sync")) as gateway:
        spend(gateway)
        used = pools_of(gateway)["words"]["used"]
        gateway.kill()
    budgets = '[[budgets]]\nname = "words"\ncapacity = 1\nunit = "usd"\n'
    with house.life(house.config(budgets=budgets, pools=("words", "words"))) as gateway:
        assert pools_of(gateway)["words"]["used"] == 0
        gateway.kill()
    with house.life() as gateway:
        assert pools_of(gateway)["words"]["used"] == used
    configured = [entry for entry in read_books(house.database).entries if isinstance(entry, Configured)]
    assert len(configured) >= 2  # the third may be lost
