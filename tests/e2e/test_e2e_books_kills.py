"""`kill -9` in the middle of load, again and again on the same database: what was answered is in the books.

    sync      every request whose answer was read to its last byte has its row, with the counts that its client was told
    batched   rows are a prefix without a gap; of each client the missing answers are its last ones; and whatever was
              answered before a moment at which all rows were written is there

and always: one row a request, the audit chain verifies, balances are a replay of the journal, nothing is held.

The seed is printed; `HOOSH_SEED=n` repeats it.  `just kills` kills fifty times.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest
from books_house import ENDLESS, BookedHouse, Books, Load, Told, pools_of, read_books, wait_written
from e2e_house import CLIENT_KEY, Gateway, OpenAIServer, fetch_json

from hoosh.testing.seeds import seed_of_run
from hoosh.values import Settlement

KILLS = int(os.environ.get("HOOSH_KILLS", "3"))


@pytest.fixture
def house(tmp_path: Path, upstream: OpenAIServer) -> BookedHouse:
    return BookedHouse(tmp_path / "house", upstream)


def test_whatever_was_answered_before_a_kill_is_in_the_books(house: BookedHouse) -> None:
    seed = seed_of_run()
    dice, figures, kept = random.Random(seed), Figures(), dict[str, Told]()
    for number in range(KILLS):
        durability = ("sync", "batched")[number % 2]
        flags = ("--server", "hypercorn") if number % 5 == 4 else ()
        with house.life(house.config(durability=durability), flags=flags) as gateway:
            safe, load, killed_at_s = answered_before_a_kill(gateway, dice)
        books = read_books(house.database)
        lost = check_rows(books.by_request(), kept | safe, load, is_sync=durability == "sync")
        verdict = house.verify_audit()
        assert verdict.is_valid, verdict.words
        with house.life() as gateway:
            check_balances(gateway, books)
        kept |= safe | {told.request_id: told for told in load.all if told not in lost}
        figures.count(durability, len(safe) + len(load.all), [killed_at_s - told.at_s for told in lost])
    print(f"killed {KILLS} times: {figures}; {len(read_books(house.database).entries)} rows")


def answered_before_a_kill(gateway: Gateway, dice: random.Random) -> tuple[dict[str, Told], Load, float]:
    """Some load, a pause in which all of it is written, and a burst into which the kill falls.

    Returns what was answered before the pause, the burst, and when the kill came.
    """
    before, burst = Load(gateway, dice), Load(gateway, dice)
    before.run(dice.randrange(5, 40))
    wait_written(gateway)
    burst.begin()
    burst.wait_answers(dice.randrange(1, 150))
    time.sleep(dice.choice([0.0, dice.uniform(0.0, 0.03)]))  # else a kill would always follow upon an answer
    killed_at_s = time.monotonic()
    gateway.kill()
    burst.join()
    return {told.request_id: told for told in before.all}, burst, killed_at_s


def check_rows(rows: dict[str, Settlement], safe: dict[str, Told], load: Load, *, is_sync: bool) -> list[Told]:
    """Returns what was answered in the burst and has no row."""
    gone = [told for told in safe.values() if told.request_id not in rows]
    assert not gone, "answered before all was written, and not there"
    lost = [told for told in load.all if told.request_id not in rows]
    assert not (is_sync and lost), lost
    for client in load.told:
        are_there = [told.request_id in rows for told in client]
        assert are_there == sorted(are_there, reverse=True), f"one was lost, and a later one was not: {client}"
    for told in (*safe.values(), *load.all):
        if told not in lost:
            check_row(rows[told.request_id], told)
    return lost


def check_row(row: Settlement, told: Told) -> None:
    assert (row.caller, row.pool, row.cached, row.outcome) == (told.key, told.pool, told.is_hit, "ok")
    if told.is_hit:
        assert (row.charge, row.cost_micro_usd) == (0, 0)
        return
    usage = row.usage
    if told.prompt_tokens is not None:
        assert (usage.prompt_tokens, usage.completion_tokens) == (told.prompt_tokens, told.completion_tokens)
    assert row.cost_micro_usd is not None
    assert row.charge == (row.cost_micro_usd if row.pool == "money" else usage.total_tokens) > 0


def check_balances(gateway: Gateway, books: Books) -> None:
    """A gateway that has been started behind `books` knows what they come to, holds nothing, and its chain is good."""
    pools, settled = pools_of(gateway), books.settled()
    charged = Counter[str]()
    for row in settled:
        charged[row.pool] += row.charge
    assert (
        {name: pool["used"] for name, pool in pools.items()} == books.used() == {**dict.fromkeys(pools, 0), **charged}
    )
    assert {pool["reserved"] for pool in pools.values()} == {0}
    costs, total = fetch_json(f"{gateway.base_url}/costs", key=CLIENT_KEY), books.totals.total()
    assert costs["total_requests"] == total.requests == len(settled)
    assert costs["total_cost_micro_usd"] == total.cost_micro_usd == sum(row.cost_micro_usd or 0 for row in settled)
    verdict = fetch_json(f"{gateway.base_url}/audit/verify", key=CLIENT_KEY)
    assert verdict["valid"], verdict


def test_a_kill_while_the_house_opens_its_books_leaves_them_whole(house: BookedHouse) -> None:
    """Each start has the audit key handed over, and other budgets to write down."""
    seed = seed_of_run()
    dice = random.Random(seed)
    with house.life(handing_over(house, 0)) as gateway:
        before = Load(gateway, dice)
        before.run(20)
        wait_written(gateway)
    books, old_key = read_books(house.database), ("--key-file", str(house.folder / "old-audit.key"))
    for number in range(1, KILLS + 1):
        with house.life(handing_over(house, number), wait=False) as gateway:
            time.sleep(dice.uniform(0.3, 2.0))  # from before its modules are loaded until it serves
        assert "Traceback" not in gateway.stderr
        assert house.verify_audit(*old_key).is_valid
    with house.life(handing_over(house, KILLS + 1)) as gateway:
        check_balances(gateway, books)
        assert gateway.stop() == 0
    assert read_books(house.database).by_request() == books.by_request()
    assert house.verify_audit(*old_key).is_valid


def handing_over(house: BookedHouse, number: int) -> str:
    keys = ("audit.key", "old-audit.key")
    new, old = keys[number % 2], keys[1 - number % 2]
    audit = f'signing_key = "file:{new}"\nprevious_key = "file:{old}"'
    return house.config(audit=audit, budgets=ENDLESS.replace("1_000_000_000", str(10**9 + number)))


class Figures:
    """How much was answered and lost, for the eye: nothing is asserted of times."""

    def __init__(self) -> None:
        self.answered, self.lost = Counter[str](), Counter[str]()
        self.oldest_s = 0.0

    def count(self, durability: str, answered: int, lost_s: list[float]) -> None:
        self.answered[durability] += answered
        self.lost[durability] += len(lost_s)
        self.oldest_s = max([self.oldest_s, *lost_s])

    def __str__(self) -> str:
        each = [f"{durability} answered {n}, lost {self.lost[durability]}" for durability, n in self.answered.items()]
        return f"{'; '.join(each)}; the oldest of these was seen {self.oldest_s * 1000:.0f} ms before its kill"
