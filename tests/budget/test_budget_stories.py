"""The ledger's behaviour, told as stories in `stories/*.txt`: commands, a line `----`, one line of answer for each.

# A comment begins a new story, with an empty ledger at 1970-01-01.
pools shared=1000 money=5usd/month:finish      name=capacity[usd][/window][:on_exhausted]; `-` has no end
at 2024-02-29T23:59:59.999                     the clock; it may go back
hold a shared 600                              a hold called `a`
extend a 100
settle a 550
free shared
show shared
reserve ada shared 100 r1 [ttl]                an outsider's reservation `r1`
report ada r1 80                               or, without an id:  report ada shared 100 80
release ada r1                                 with `root` for a caller's name: an administrator
expire
restart                                        the process dies; the journal is read again, or snapshot and rest
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hoosh.budget import Budget, Hold, Ledger, decode_entry, encode_entry
from hoosh.errors import BudgetExceeded, HooshError
from hoosh.values.settlement import Settlement

STORIES = sorted((Path(__file__).parent / "stories").glob("*.txt"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TTL_S = 600


def stories() -> Iterator[object]:
    for path in STORIES:
        text = path.read_text()
        for number, story in enumerate(("\n" + text).split("\n# ")[1:]):
            yield pytest.param(story, id=f"{path.stem}-{number}: {story.partition(chr(10))[0]}")


def blocks(story: str) -> Iterator[tuple[list[str], list[str]]]:
    for block in story.split("\n\n"):
        asked, _, answered = block.partition("\n----\n")
        lines = [line for line in asked.splitlines() if line and not line.startswith("#")]
        yield lines, answered.splitlines()


@pytest.mark.parametrize("story", list(stories()))
def test_the_ledger_behaves_as_told(story: str):
    _, _, body = story.partition("\n")
    while body.startswith("# "):
        body = body.partition("\n")[2]
    teller = Teller()
    for asked, answered in blocks(body):
        assert [(line, teller.tell(line)) for line in asked] == list(zip(asked, answered, strict=True))


class Teller:
    def __init__(self) -> None:
        self.ledger = Ledger()
        self.at_ms = 0
        self.holds: dict[str, Hold] = {}
        self.journal: list[bytes] = []
        self.saved: tuple[bytes, int] | None = None

    def tell(self, line: str) -> str:
        command, *words = line.split()
        try:
            return getattr(self, command)(*words)
        except BudgetExceeded as error:
            wait = "" if error.retry_after_s is None else f", wait {error.retry_after_s:g} s"
            return f"refused: asked {error.asked}, free {error.free}{wait}"
        except (HooshError, RuntimeError) as error:
            return type(error).__name__

    def write(self, entry) -> None:
        if entry is not None:
            self.journal.append(encode_entry(entry))

    def at(self, time: str) -> str:
        since = datetime.fromisoformat(time).replace(tzinfo=UTC) - EPOCH
        self.at_ms = since // timedelta(milliseconds=1)
        return "ok"

    def pools(self, *words: str) -> str:
        self.write(self.ledger.configure([budget(word) for word in words], self.at_ms))
        return " ".join(state.name for state in self.ledger.pools(self.at_ms))

    def hold(self, name: str, pool: str, amount: str) -> str:
        self.holds[name] = self.ledger.hold(pool, int(amount), self.at_ms)
        return f"held {amount}"

    def extend(self, name: str, amount: str) -> str:
        hold = self.holds[name]
        granted = self.ledger.extend(hold, int(amount), self.at_ms)
        return f"granted {granted}, held {hold.amount}"

    def settle(self, name: str, charge: str) -> str:
        hold = self.holds[name]
        self.write(self.ledger.settle(hold, Settlement(name, self.at_ms, "ada", hold.pool, int(charge))))
        return "settled"

    def free(self, pool: str) -> str:
        free = self.ledger.free(pool, self.at_ms)
        return "no end" if free is None else str(free)

    def show(self, pool: str) -> str:
        state = self.ledger.pool(pool, self.at_ms)
        unit = "" if state.unit == "tokens" else " micro-USD"
        until = "" if state.window_ends_ms is None else f" until {moment(state.window_ends_ms)}"
        balances = f"used {state.used}, held {state.held}, reserved {state.reserved}, free {state.available}"
        return f"{balances} of {state.capacity}{unit}{until}"

    def reserve(self, owner: str, pool: str, amount: str, identity: str, ttl_s: str = "600") -> str:
        self.write(
            self.ledger.reserve(pool, owner, int(amount), ttl_s=float(ttl_s), at_ms=self.at_ms, reservation_id=identity)
        )
        return f"reserved {amount}"

    def report(self, owner: str, what: str, first: str, second: str | None = None) -> str:
        admin = owner == "root"
        if second is None:
            entry = self.ledger.report(what, owner, None, 0, int(first), at_ms=self.at_ms, is_admin=admin)
        else:
            entry = self.ledger.report(None, owner, what, int(first), int(second), at_ms=self.at_ms, is_admin=admin)
        self.write(entry)
        return "reported"

    def release(self, owner: str, identity: str) -> str:
        self.write(self.ledger.release(identity, owner, at_ms=self.at_ms, is_admin=owner == "root"))
        return "released"

    def expire(self) -> str:
        entries = self.ledger.expire(self.at_ms)
        for entry in entries:
            self.write(entry)
        return "expired: " + (" ".join(entry.id for entry in entries) or "none")

    def save(self) -> str:
        self.saved = (self.ledger.state(), len(self.journal))
        return "ok"

    def restart(self) -> str:
        """Both ways of starting must come to the same; holds are gone."""
        whole, rest = Ledger(), Ledger()
        for row in self.journal:
            whole.apply(decode_entry(row))
        state, position = self.saved or (rest.state(), 0)
        rest.restore(state)
        for row in self.journal[position:]:
            rest.apply(decode_entry(row))
        assert whole.pools(self.at_ms) == rest.pools(self.at_ms)
        self.ledger = rest
        return "ok"


def budget(word: str) -> Budget:
    word, _, on_exhausted = word.partition(":")
    word, _, window = word.partition("/")
    name, _, capacity = word.partition("=")
    unit = "usd" if capacity.endswith("usd") else "tokens"
    number = float("inf") if capacity == "-" else float(capacity.removesuffix("usd"))
    return Budget(name=name, capacity=number, unit=unit, window=window or "none", on_exhausted=on_exhausted or "stop")


def moment(at_ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=at_ms)).replace(tzinfo=None).isoformat()
