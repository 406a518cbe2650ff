"""A gateway with real books, killed and started again on the same folder, and people who note what they were told.

    house = BookedHouse(folder, upstream)           one folder, one database, many lives
    with house.life() as gateway: …                 `python -m hoosh serve`; killed when the block is left
    load = Load(gateway, dice); load.run(80)        clients that ask without a pause, and note each answer
    books = read_books(house.database)              rows of the file, folded with the house's own fold

What a client was told is the only thing that a test may take for true: the request's id, its pool, the token counts,
and that it has read the answer to its last byte.
"""

from __future__ import annotations

import http.client
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from e2e_house import (
    CLIENT_KEY,
    PATIENCE_S,
    Gateway,
    OpenAIServer,
    config_text,
    environment,
    fetch_json,
    free_port,
    wait_until,
)
from msgspec import Struct

from hoosh.budget import Ledger
from hoosh.cost import CostsReset, Totals
from hoosh.gateway.journal import JournalEntry, decode_row
from hoosh.storage.reading import rows_of
from hoosh.values import Settlement

__all__ = [
    "ADA_KEY",
    "BOB_KEY",
    "ENDLESS",
    "AuditVerdict",
    "BookedHouse",
    "Books",
    "Load",
    "Told",
    "hoosh",
    "pools_of",
    "read_books",
    "rows_of",
    "wait_written",
]

ADA_KEY = "sk-e2e-ada-1c9d0b7f44"
BOB_KEY = "sk-e2e-bob-82f6a03e5c"
AUDIT_KEY = "an audit key of the tests, 0123456789"
OLD_AUDIT_KEY = "an older audit key of the tests, 987"
ENDLESS = """
[[budgets]]
name = "words"
capacity = 1_000_000_000

[[budgets]]
name = "money"
capacity = 1_000_000
unit = "usd"
"""
"""Two pools that no test runs dry: tokens for Ada, money for Bob."""


class BookedHouse:
    """One folder in which gateways live one after another.  Their database, their audit key and their log stay."""

    def __init__(self, folder: Path, upstream: OpenAIServer) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.database = folder / "state" / "hoosh.db"
        self.key_file = folder / "audit.key"
        self.key_file.write_text(AUDIT_KEY)
        (folder / "old-audit.key").write_text(OLD_AUDIT_KEY)
        self._upstream = upstream
        self.last: Gateway | None = None

    def config(
        self,
        *,
        durability: str = "batched",
        storage: str = "",
        budgets: str = ENDLESS,
        audit: str = 'signing_key = "file:audit.key"',
        pools: tuple[str, str] = ("words", "money"),
        more: str = "",
    ) -> str:
        text = f"""
[[keys]]
name = "ada"
key = "{ADA_KEY}"
scopes = ["inference"]
pool = "{pools[0]}"

[[keys]]
name = "bob"
key = "{BOB_KEY}"
scopes = ["inference"]
pool = "{pools[1]}"

[[prices]]
model = "*"
provider = "tiny"
input = 3.5
output = 14.25

[storage]
durability = "{durability}"
{storage}

[audit]
enabled = true
{audit}
{budgets}
{more}
"""
        return config_text(self._upstream.url, self.port, server="drain_s = 5", more=text)

    def start(self, config: str | None = None, **how: Any) -> Gateway:
        self.last = Gateway(self.folder, config or self.config(), port=self.port, **how)
        return self.last

    @contextmanager
    def life(self, config: str | None = None, **how: Any) -> Iterator[Gateway]:
        """A gateway that is killed, whatever happens, where it has not ended by itself."""
        gateway = self.start(config, **how)
        try:
            yield gateway
        finally:
            gateway.kill()
            gateway.check_secrets()

    def verify_audit(self, *more: str) -> AuditVerdict:
        return AuditVerdict.of(hoosh("audit", "verify", str(self.database), "--key-file", str(self.key_file), *more))


class AuditVerdict(Struct, frozen=True):
    """What `hoosh-trio audit verify` has said."""

    exit_code: int
    words: str

    @classmethod
    def of(cls, done: subprocess.CompletedProcess[str]) -> AuditVerdict:
        assert "Traceback" not in done.stderr, done.stderr
        return cls(done.returncode, done.stdout + done.stderr)

    @property
    def is_valid(self) -> bool:
        return self.exit_code == 0 and self.words.startswith("valid: ")


def hoosh(*arguments: str, stdin: bytes | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `hoosh-trio ARGUMENTS` to its end."""
    command = [sys.executable, "-m", "hoosh", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, env=environment(**env), timeout=PATIENCE_S)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


# -- clients -------------------------------------------------------------------------------------------------------


class Told(Struct, frozen=True):
    """What a client knows of one request that it has seen answered to the last byte."""

    request_id: str
    key: str
    pool: str
    kind: str
    is_hit: bool
    prompt_tokens: int | None
    """None where the client has not asked for a count."""
    completion_tokens: int | None
    at_s: float
    """Monotonic, when its last byte was there."""


WHO = (("ada", ADA_KEY, "words"), ("bob", BOB_KEY, "money"), ("team", CLIENT_KEY, "default"))


class Load:
    """A few clients, each of which asks one thing after another on a connection of its own, until the gateway is gone
    or they have been told enough.  `told` has a list for each client, in the order in which it was told."""

    def __init__(self, gateway: Gateway, dice: random.Random, *, clients: int = 6) -> None:
        self._port = gateway.port
        self._dice = [random.Random(dice.random()) for _ in range(clients)]
        self.told: list[list[Told]] = [[] for _ in range(clients)]
        self.mistakes: list[str] = []
        self._answers, self._is_over = 0, False
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    @property
    def all(self) -> list[Told]:
        return [told for client in self.told for told in client]

    def run(self, answers: int) -> None:
        """Until so many answers have been seen, and those that have been begun by then."""
        self.begin()
        self.wait_answers(answers)
        self._is_over = True
        self.join()

    def begin(self) -> None:
        clients = range(len(self._dice))
        self._threads = [threading.Thread(target=self._client, args=(number,), daemon=True) for number in clients]
        for thread in self._threads:
            thread.start()

    def wait_answers(self, answers: int) -> None:
        """Returns the moment that so many have been seen; the clients go on."""
        with self._lock:
            self._answers = answers
            self._look()
        assert self._enough.wait(PATIENCE_S), f"not answered: {self.mistakes}"

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a client hangs"
        assert not self.mistakes, self.mistakes

    def _client(self, number: int) -> None:
        dice, told = self._dice[number], self.told[number]
        name, key, pool = WHO[number % len(WHO)]
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            while not self._is_over:
                answer = one_request(connection, dice, name, key, pool)
                with self._lock:
                    told.append(answer)
                    self._look()
        except (OSError, http.client.HTTPException):
            pass  # the gateway is gone
        except Exception as mistake:
            self.mistakes.append(repr(mistake))
        finally:
            connection.close()

    def _look(self) -> None:
        if len(self.all) >= self._answers > 0:
            self._enough.set()


def one_request(connection: http.client.HTTPConnection, dice: random.Random, name: str, key: str, pool: str) -> Told:
    """Ask one thing that the dice choose, and read all of the answer."""
    kind, path, body = something_to_ask(dice)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    data = answer.read()
    at_s = time.monotonic()
    assert answer.status == 200, data
    usage = usage_of(data, is_stream=bool(body.get("stream")))
    return Told(
        answer.headers["x-request-id"],
        name,
        pool,
        kind,
        answer.headers["x-hoosh-cache"] == "hit",
        None if usage is None else usage["prompt_tokens"],
        None if usage is None else usage.get("completion_tokens", 0),
        at_s,
    )


def something_to_ask(dice: random.Random) -> tuple[str, str, dict[str, Any]]:
    words = " ".join(["word"] * dice.randrange(1, 60))
    kind = dice.choice(["whole", "stream", "stream", "uncounted", "embedding", "completion", "repeated"])
    if kind == "embedding":
        body: dict[str, Any] = {"model": "tiny-embed", "input": f"{words} {dice.random()}"}
        return kind, "/v1/embeddings", body
    if kind == "completion":
        return kind, "/v1/completions", {"model": "tiny-complete", "prompt": words}
    body = {"model": "tiny-chat", "messages": [{"role": "user", "content": words}]}
    if kind == "repeated":  # out of the cache, but for the first of its client
        body = {**body, "messages": [{"role": "user", "content": "again"}], "temperature": 0}
    elif kind != "whole":
        body["stream"] = True
    if kind == "stream":
        body["stream_options"] = {"include_usage": True}
    return kind, "/v1/chat/completions", body


def usage_of(data: bytes, *, is_stream: bool) -> dict[str, Any] | None:
    if not is_stream:
        usage: dict[str, Any] = json.loads(data)["usage"]
        return usage
    events = [line.removeprefix(b"data: ") for line in data.split(b"\n\n") if line]
    assert events[-1] == b"[DONE]", events[-1]
    found: list[dict[str, Any]] = [use for event in events[:-1] if (use := json.loads(event).get("usage"))]
    return found[-1] if found else None


# -- what is in the file -------------------------------------------------------------------------------------------


class Books(Struct):
    """The journal of a database, and what it comes to."""

    entries: list[JournalEntry]
    ledger: Ledger
    totals: Totals

    def settled(self) -> list[Settlement]:
        return [entry for entry in self.entries if isinstance(entry, Settlement)]

    def by_request(self) -> dict[str, Settlement]:
        """Raises AssertionError where a request has more than one row."""
        settled = self.settled()
        found = {row.request_id: row for row in settled}
        assert len(found) == len(settled), "a request has two rows"
        return found

    def used(self) -> dict[str, int]:
        """By pool, as the fold has it."""
        at_ms = max(entry.at_ms for entry in self.entries)
        return {pool.name: pool.used for pool in self.ledger.pools(at_ms)}


def read_books(database: Path) -> Books:
    """Read the journal without the gateway, and fold it.  Positions must begin at 1 and have no gap."""
    rows = list(rows_of(database, "ledger"))
    assert [row.position for row in rows] == list(range(1, len(rows) + 1)), "the journal has a gap"
    ledger, totals = Ledger(), Totals()
    entries = [decode_row(row.body, row.position) for row in rows]
    for entry in entries:
        if isinstance(entry, Settlement | CostsReset):
            totals.apply(entry)
        if not isinstance(entry, CostsReset):
            ledger.apply(entry)
    return Books(entries, ledger, totals)


def pools_of(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """What the gateway says of its pools, by name."""
    pools: Sequence[dict[str, Any]] = fetch_json(f"{gateway.base_url}/tokens/pools", key=CLIENT_KEY)["pools"]
    return {pool["name"]: pool for pool in pools}


def wait_written(gateway: Gateway) -> None:
    """Until all that has been answered is on the disk."""
    wait_until(lambda: gateway.metric("hoosh_store_waiting_rows") == 0, "all rows are written")
