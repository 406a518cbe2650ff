"""What an owner does by hand to see that the books balance, as one story.

Two keys on one pool run it dry in the middle of streams; `kill -9`; start again; ask `hoosh-trio` what it has come to.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from books_house import ADA_KEY, AUDIT_KEY, BOB_KEY, BookedHouse, hoosh, pools_of, read_books, wait_written
from e2e_house import CLIENT_KEY, PATIENCE_S, Gateway, OpenAIServer, ask, fetch_json, wait_until
from openai import APIError, OpenAI

CAPACITY = 1260
"""For both prompts, and less than both replies."""
PURSE = f"""
[[budgets]]
name = "purse"
capacity = {CAPACITY}
"""
LONG: Any = [{"role": "user", "content": "again and " * 150}]
"""`waits` repeats it in some 300 pieces."""


@pytest.fixture
def house(tmp_path: Path, upstream: OpenAIServer) -> BookedHouse:
    return BookedHouse(tmp_path / "house", upstream)


def test_two_keys_run_a_pool_dry_and_the_books_say_so_after_a_kill(house: BookedHouse, upstream: OpenAIServer) -> None:
    config = house.config(budgets=PURSE, pools=("purse", "purse"))
    with house.life(config) as gateway:
        assert both_stream(gateway, upstream) == ["budget_exceeded", "budget_exceeded"]
        before = pools_of(gateway)["purse"]
        assert before["reserved"] == 0
        assert CAPACITY - 2 <= before["used"] <= CAPACITY + 2  # a piece for each stream, at most
        wait_written(gateway)
        gateway.kill()
    settled = read_books(house.database).settled()
    assert sorted((row.caller, row.outcome, row.estimated) for row in settled) == [
        ("ada", "cut", True),
        ("bob", "cut", True),
    ]
    assert sum(row.charge for row in settled) == before["used"]
    with house.life(config) as gateway:
        assert pools_of(gateway)["purse"] == before
        shown = hoosh("costs", "--by", "key,pool", "--server", gateway.url, "--key", CLIENT_KEY)
        assert shown.returncode == 0
        head, *rows, total = [line.split() for line in shown.stdout.splitlines()]
        assert head == ["key", "pool", "requests", "input", "output", "USD"]
        assert {tuple(row[:2]) for row in rows} == {("ada", "purse"), ("bob", "purse")}
        assert total[0] == "total"
        assert int(total[1]) == len(settled)
        assert_the_same_in_json(gateway, settled_usd=sum(row.cost_micro_usd or 0 for row in settled))
    verified = hoosh("audit", "verify", str(house.database), HOOSH_AUDIT_KEY=AUDIT_KEY)
    assert verified.returncode == 0, verified.stdout
    assert verified.stdout.startswith("valid: ")


def assert_the_same_in_json(gateway: Gateway, *, settled_usd: int) -> None:
    flags = ("--server", gateway.url, "--key", CLIENT_KEY)
    done = hoosh("costs", "--by", "day,model", "--json", *flags)
    costs = json.loads(done.stdout)
    assert costs["group_by"] == ["day", "model"]
    assert [(row["day"][:2], row["model"]) for row in costs["records"]] == [("20", "waits")]
    assert costs["total_cost_micro_usd"] == settled_usd > 0
    assert costs["requests_failed"] > 0  # the ones that were cut


def both_stream(gateway: Gateway, upstream: OpenAIServer) -> list[str]:
    """Each key has a stream, and both stand in the middle before they go on.  Returns how they ended."""
    with ThreadPoolExecutor() as clients:
        ends = [clients.submit(end_of_stream, gateway, key) for key in (ADA_KEY, BOB_KEY)]
        wait_until(lambda: upstream.stats()["waiting"] == 2, "both stand in the middle")
        upstream.go()
        return [end.result() for end in ends]


def end_of_stream(gateway: Gateway, key: str) -> str:
    text, finish = "", ""
    with OpenAI(base_url=gateway.base_url, api_key=key, max_retries=0, timeout=PATIENCE_S) as client:
        try:
            for chunk in client.chat.completions.create(model="waits", messages=LONG, stream=True):
                text += chunk.choices[0].delta.content or ""
                finish = chunk.choices[0].finish_reason or ""
        except APIError as error:
            assert text.startswith("you said: again and again and")
            return error.code or ""
    return finish


def test_a_key_that_was_made_by_hand_is_let_in_and_counted_by_its_name(house: BookedHouse) -> None:
    made = hoosh("keys", "new", "--name", "eve")
    assert made.returncode == 0
    key, _, _, _, *block = made.stdout.splitlines()
    assert key.startswith("sk-hoosh-")
    assert block[0] == "[[keys]]"
    assert key not in "\n".join(block)
    with house.life(house.config(more="\n".join(block))) as gateway:
        body = json.dumps(ask("tiny-chat")).encode()
        fetch_json(f"{gateway.base_url}/chat/completions", body, key=key)
        costs = fetch_json(f"{gateway.base_url}/costs?group_by=key", key=key)
        assert [row["key"] for row in costs["records"]] == ["eve"]
        assert gateway.stop() == 0
        assert key not in gateway.stdout + gateway.stderr
    for path in house.database.parent.iterdir():
        assert key.encode() not in path.read_bytes()
