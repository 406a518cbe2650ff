"""What is logged, and what is not: samples, levels of rooms, changes while it runs, secrets wherever they hide."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import trio
from msgspec import Struct
from msgspec.structs import replace
from test_logs import RECORD

from hoosh.config import Config, Key, Provider, Telemetry
from hoosh.http.message import Headers
from hoosh.observe import ROOMS, AccessLog, Logging
from hoosh.values import Outcome, Secret

SEED = 11
KEY = "sk-abc-secret"


async def lines(say: Callable[[AccessLog], object], settings: Logging = Logging(format="json")) -> list[Any]:  # noqa: B008
    """What is written of what `say` says while the log runs."""
    stream = io.StringIO()
    log = AccessLog(stream, settings, chance=Random(SEED))
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run)
        say(log)
        nursery.cancel_scope.cancel()
    text = stream.getvalue().splitlines()
    return [json.loads(line) if line.startswith("{") else line for line in text]


# -- samples ---------------------------------------------------------------------------------------------------------


async def test_of_requests_that_went_well_a_share_has_a_line_and_the_others_are_counted():
    stream = io.StringIO()
    log = AccessLog(stream, Logging(access_sample=0.1), chance=Random(SEED))
    for _ in range(1000):
        log.write(RECORD)
    now = log.statistics()
    assert now.queued + now.sampled_out == 1000
    assert 70 < now.queued < 130


async def test_what_went_wrong_or_was_slow_always_has_one():
    records = [
        replace(RECORD, outcome=Outcome.ERROR, status=502),
        replace(RECORD, outcome=Outcome.ERROR, status=404),
        replace(RECORD, outcome=Outcome.CUT),
        replace(RECORD, outcome=Outcome.CLIENT_LEFT, status=499),
        replace(RECORD, status=401),
        replace(RECORD, duration_s=5.0),
    ]

    def say(log: AccessLog) -> None:
        for record in [RECORD, *records, replace(RECORD, duration_s=4.9)]:
            log.write(record)

    said = await lines(say, Logging(format="json", access_sample=0.0, slow_s=5.0))
    assert [(line["outcome"], line["status"]) for line in said] == [(each.outcome, each.status) for each in records]


# -- levels ----------------------------------------------------------------------------------------------------------


async def test_each_room_has_its_level():
    def say(log: AccessLog) -> None:
        log.debug("of http", room="http")
        log.debug("of health", room="health")
        log.info("of health", room="health")
        log.warning("of health", room="health")
        log.info("of the gateway")
        log.write(RECORD)

    levels = {"http": "debug", "health": "warning", "access": "error"}
    said = await lines(say, Logging(format="json", levels=levels))  # type: ignore[arg-type]
    assert [(line["room"], line["level"]) for line in said] == [
        ("http", "debug"),
        ("health", "warning"),
        ("gateway", "info"),
    ]


async def test_everything_can_be_changed_while_it_runs():
    stream = io.StringIO()
    log = AccessLog(stream, Logging(format="json", level="error"), chance=Random(SEED))
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run)
        log.info("not yet")
        log.configure(Logging(format="console", level="debug", levels={"http": "error"}, access_sample=0.0))
        log.debug("now")
        log.warning("nor this", room="http")
        logging.getLogger("hoosh.http").warning("nor this")
        logging.getLogger("hoosh.health").debug("and this")
        log.write(RECORD)
        nursery.cancel_scope.cancel()
    first, second = stream.getvalue().splitlines()
    assert " now " in first
    assert "and this room=health" in second
    assert log.statistics().sampled_out == 1


# -- Python's own logging --------------------------------------------------------------------------------------------


async def test_what_rooms_say_to_pythons_logging_is_a_line_with_its_stack():
    def say(log: AccessLog) -> None:
        logging.getLogger("hoosh.cache").error("kept %s of %d", "one", 2)
        try:
            raise ValueError("why")
        except ValueError:
            logging.getLogger("hoosh.budget").exception("it failed")
        logging.getLogger("hoosh.audit.deep").critical("deep")

    kept, failed, deep = await lines(say)
    assert (kept["room"], kept["level"], kept["message"]) == ("cache", "error", "kept one of 2")
    assert failed["room"] == "budget"
    assert failed["stack"].endswith("ValueError")
    assert "in test_what_rooms_say" in failed["stack"]
    assert (deep["room"], deep["level"]) == ("audit", "error")


async def test_a_thread_may_speak_too():
    stream = io.StringIO()
    log = AccessLog(stream, Logging(format="json"))
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run)
        await trio.to_thread.run_sync(logging.getLogger("hoosh.observe").warning, "from a thread")
        while log.statistics().written < 1:
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert json.loads(stream.getvalue())["message"] == "from a thread"


async def test_pythons_logging_is_left_as_it_was():
    logger = logging.getLogger("hoosh")
    before = (logger.level, list(logger.handlers))
    stream = io.StringIO()
    async with trio.open_nursery() as nursery:
        first, second = AccessLog(stream, Logging(level="debug")), AccessLog(io.StringIO(), Logging(level="error"))
        await nursery.start(first.run)
        await nursery.start(second.run)
        assert logger.level == logging.DEBUG
        assert len(logger.handlers) == len(before[1]) + 1, "two houses, one bridge"
        nursery.cancel_scope.cancel()
    assert (logger.level, list(logger.handlers)) == before


def test_every_logger_of_the_house_is_of_a_room():
    import re
    from pathlib import Path

    house = Path(__file__).parents[2] / "hoosh"
    named = {name for path in house.rglob("*.py") for name in re.findall(r'getLogger\("hoosh\.(\w+)', path.read_text())}
    rooms = {name for path in house.rglob("*.py") for name in re.findall(r'\broom="(\w+)"', path.read_text())}
    assert named | rooms <= {*ROOMS, "ROOM"}


# -- secrets ---------------------------------------------------------------------------------------------------------


class Holder(Struct):
    key: Secret


class Keeper:
    def __init__(self) -> None:
        self.key = Secret(KEY)

    def __repr__(self) -> str:
        return f"Keeper({self.key!r}, {self.key}, {self.__dict__})"


@dataclasses.dataclass
class Data:
    key: Secret


class Failed(Exception):
    pass


HIDING = {
    "itself": lambda key: key,
    "a list": lambda key: [key, (key,), {key}],
    "a dict": lambda key: {"key": key, key: 1},
    "a struct": Holder,
    "a dataclass": Data,
    "an object": lambda key: Keeper(),
    "an error": lambda key: Failed("no", key),
    "a group": lambda key: ExceptionGroup("many", [Failed(key), ValueError([key])]),
    "a provider": lambda key: Provider(type="openai", api_key=key, keys=(key,), headers={"x-key": key}),
    "a configuration": lambda key: Config(
        keys=(Key(name="a", key=key),), telemetry=Telemetry(headers={"authorization": key})
    ),
    "headers": lambda key: Headers([(b"authorization", key.reveal().encode())]),
}


@pytest.mark.parametrize("format", ["json", "text"])
@pytest.mark.parametrize("place", HIDING)
async def test_no_way_into_a_line_tells_a_secret(place, format):
    hiding = HIDING[place](Secret(KEY))

    def say(log: AccessLog) -> None:
        log.error("as a field", value=hiding, values=[hiding])
        log.error(f"in a message {hiding} {hiding!r}")
        for room in ("http", "health"):
            logging.getLogger(f"hoosh.{room}").error("as an argument %s %r", hiding, hiding)
        try:
            raise Failed(hiding) from (hiding if isinstance(hiding, BaseException) else None)
        except Failed:
            logging.getLogger("hoosh.api").exception("with a stack, %s", hiding)

    stream = io.StringIO()
    log = AccessLog(stream, Logging(format=format))
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run)
        say(log)
        nursery.cancel_scope.cancel()
    text = stream.getvalue()
    assert len(text.splitlines()) == 5
    assert KEY not in text
    assert "a log line failed" not in text
    if place != "headers":
        assert "***" in text


async def test_only_an_owner_who_asks_for_it_reads_what_a_bug_says():
    def say(log: AccessLog) -> None:
        try:
            raise KeyError(KEY)
        except KeyError:
            logging.getLogger("hoosh.budget").exception("it failed")
        log.configure(Logging(format="json", exception_text=True))
        try:
            raise KeyError("a word")
        except KeyError:
            logging.getLogger("hoosh.budget").exception("it failed")

    kept, shown = await lines(say)
    assert kept["stack"].endswith("KeyError")
    assert shown["stack"].endswith("KeyError: 'a word'")
