"""A disk that is full while the gateway runs: requests are answered, health says so, and nothing is lost.

The disk is a limit on the size of files (`ulimit -S -f`), which its owner may raise again while the process runs.  The
database, its write-ahead log and the spool file may each grow by a few pages.
"""

from __future__ import annotations

import json
import resource
import shlex
import sys
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from books_house import ADA_KEY, BookedHouse, pools_of, read_books
from e2e_house import CLIENT_KEY, Gateway, OpenAIServer, ask, fetch_json, wait_until

QUIET = '[logging]\nlevel = "error"\n'
"""The log of the process is a file, too."""
MANY = 500


@pytest.fixture
def house(tmp_path: Path, upstream: OpenAIServer) -> BookedHouse:
    """Its database is there already."""
    house = BookedHouse(tmp_path / "house", upstream)
    with house.life() as gateway:
        assert gateway.stop() == 0
    return house


@contextmanager
def on_a_small_disk(house: BookedHouse, *, durability: str = "batched") -> Iterator[Gateway]:
    kib = house.database.stat().st_size // 1024 + 8
    serve = f"ulimit -S -f {kib}; exec {shlex.quote(sys.executable)} -m hoosh serve --config hoosh.toml"
    config = house.config(durability=durability, more=QUIET)
    with house.life(config, argv=["bash", "-c", serve]) as gateway:
        yield gateway


def chat(gateway: Gateway, number: int) -> int:
    """Returns how many tokens that was."""
    body = json.dumps(ask("tiny-chat", f"word {number}")).encode()
    usage = fetch_json(f"{gateway.base_url}/chat/completions", body, key=ADA_KEY)["usage"]
    return int(usage["total_tokens"])


def storage_of(gateway: Gateway) -> dict[str, Any]:
    health = fetch_json(f"{gateway.base_url}/health", key=CLIENT_KEY)
    storage: dict[str, Any] = health["storage"]
    assert health["status"] == ("ok" if storage["status"] == "ok" else "degraded")
    return storage


def chat_until_spooling(gateway: Gateway, *, spooled_rows: int = 20) -> int:
    """Returns how many tokens have been used: each is answered as if nothing were."""
    tokens = 0
    for number in range(MANY):
        tokens += chat(gateway, number)
        if storage_of(gateway)["spooled_rows"] >= spooled_rows:
            return tokens
    raise AssertionError("the disk is not full")


def check_all_there(house: BookedHouse, tokens: int) -> None:
    """A gateway started on a larger disk."""
    with house.life() as gateway:
        whole = {"kind": "sqlite", "status": "ok", "waiting_rows": 0, "spooled_rows": 0}
        wait_until(lambda: storage_of(gateway) == whole, "all is in the database")
        assert pools_of(gateway)["words"]["used"] == tokens
        assert fetch_json(f"{gateway.base_url}/audit/verify", key=CLIENT_KEY)["valid"]
        assert gateway.stop() == 0
    assert read_books(house.database).used()["words"] == tokens
    assert house.verify_audit().is_valid
    assert not house.database.with_name("hoosh.db.spool").exists()


@pytest.mark.parametrize("is_killed", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_requests_are_answered_and_found_again_by_the_next_gateway(house: BookedHouse, is_killed: bool) -> None:
    with on_a_small_disk(house) as gateway:
        tokens = chat_until_spooling(gateway)
        assert fetch_json(f"{gateway.url}/readyz") == {"status": "ready"}
        if is_killed:
            wait_until(lambda: is_put_aside(gateway), "all rows are in the spool file")
            gateway.kill()
        else:
            assert gateway.stop() == 0
    check_all_there(house, tokens)


def is_put_aside(gateway: Gateway) -> bool:
    gateway.metrics()  # has all that is over written down
    storage = storage_of(gateway)
    return bool(storage["waiting_rows"] == storage["spooled_rows"])


def test_a_gateway_that_runs_on_goes_back_to_its_database_when_there_is_room_again(house: BookedHouse) -> None:
    with on_a_small_disk(house) as gateway:
        tokens = chat_until_spooling(gateway)
        unlimited = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        wait_until(lambda: storage_of(gateway)["status"] == "ok", "it writes into the database again")
        tokens += chat(gateway, MANY)
        wait_until(lambda: gateway.metric("hoosh_store_waiting_rows") == 0, "all is written")
        assert gateway.metric("hoosh_store_ok") == 1
        gateway.kill()
    check_all_there(house, tokens)


def test_where_answers_wait_for_the_disk_those_that_cannot_be_kept_are_503_and_all_others_are_kept(
    house: BookedHouse,
) -> None:
    with on_a_small_disk(house, durability="sync") as gateway:
        tokens, refused = 0, None
        for number in range(MANY):
            try:
                tokens += chat(gateway, number)
            except urllib.error.HTTPError as error:
                refused = error
                break
        assert refused is not None
        assert refused.code == 503
        assert json.loads(refused.read())["error"]["code"] == "storage_error"
        assert storage_of(gateway)["status"] != "ok"
        gateway.kill()
    check_all_there(house, tokens)


def test_what_can_be_written_nowhere_is_said_at_the_end_and_with_the_exit_code(house: BookedHouse) -> None:
    with on_a_small_disk(house) as gateway:
        for number in range(MANY):
            chat(gateway, number)
            if number % 20 == 0:
                storage = storage_of(gateway)
                if storage["spooled_rows"] and storage["waiting_rows"] > storage["spooled_rows"] + 200:
                    break  # more than a log that is begun anew could take
        assert gateway.stop() == 1
        assert "rows could not be written before the end" in gateway.stderr
        assert "Traceback" not in gateway.stderr
    with house.life() as gateway:  # what is there is whole all the same
        used = pools_of(gateway)["words"]["used"]
        assert used == read_books(house.database).used()["words"] > 0
        assert fetch_json(f"{gateway.base_url}/audit/verify", key=CLIENT_KEY)["valid"]
