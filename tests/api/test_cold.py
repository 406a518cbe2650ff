"""The app behind the hot routes: it may take its time, and a start that fails is tried again."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import trio

from hoosh.api import cold
from hoosh.config import Config, Discovery, Logging
from hoosh.testing.house import memory_house

QUIET = Config(discovery=Discovery(local=False, environment=False), logging=Logging(level="error"))


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), ImportError("Too many open files")], ids=repr)
async def test_an_app_that_cannot_be_loaded_is_loaded_later_and_whoever_asked_for_it_waits(
    error: Exception, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    tries = 0
    load = cold._import_app

    def load_at_the_third_try() -> object:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise error
        return load()

    monkeypatch.setattr(cold, "_import_app", load_at_the_third_try)
    async with memory_house(QUIET) as house:
        assert (await house.get("/livez"))[0] == 200
        assert trio.current_time() >= 2 * cold.IMPORT_AGAIN_S
    assert tries == 3


async def test_an_installation_that_is_not_whole_ends_the_house(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    def missing() -> object:
        raise ImportError("No module named 'quart'")

    monkeypatch.setattr(cold, "_import_app", missing)
    with pytest.RaisesGroup(pytest.RaisesExc(ImportError), flatten_subgroups=True):
        async with memory_house(QUIET):
            await trio.sleep_forever()


async def test_an_app_that_has_been_loaded_needs_no_thread(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """A thread takes real time, and a simulation that waits for it cannot be repeated."""
    cold._import_app()
    threads: list[object] = []
    run_sync = trio.to_thread.run_sync

    async def watched(function: Any, *arguments: Any, **options: Any) -> object:
        threads.append(function)
        return await run_sync(function, *arguments, **options)

    monkeypatch.setattr(trio.to_thread, "run_sync", watched)
    async with memory_house(QUIET) as house:
        assert (await house.get("/livez"))[0] == 200
    assert cold._import_app not in threads


FAILS_AT_SOME_FILE = """
import sys
from hoosh.api import cold
opened, fails_at = 0, int(sys.argv[1])
def deny(event, arguments):
    global opened
    if event == "open":
        opened += 1
        if fails_at <= opened < fails_at + 3:  # a module's cached code, and its source
            raise OSError(24, "Too many open files")
sys.addaudithook(deny)
try:
    cold._import_app()
except (OSError, ImportError):
    pass
else:
    sys.exit("the first try has not failed")
print(cold._import_app().build_app.__name__)
"""


@pytest.mark.parametrize("fails_at", [1, 20, 60, 120])
def test_a_load_that_fails_half_way_leaves_nothing_that_the_next_one_stumbles_over(fails_at: int) -> None:
    program = [sys.executable, "-c", FAILS_AT_SOME_FILE, str(fails_at)]
    done = subprocess.run(program, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("build_app", 0), done.stderr
