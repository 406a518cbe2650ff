"""Run hours of faults, one seed each, and say what came of them.

    just sim --seeds 1000              so many hours, of seeds by chance
    just sim --first 0 --seeds 1000    these
    just sim --seed 17                 one, and its trace

Two processes share the seeds.  The exit status is 1 where a rule was broken; the story of it is printed.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom

import msgspec
import trio
from msgspec import Struct
from sim_faults_checks import Counts, RuleBroken, check_hour, counts_of
from sim_faults_schedule import Schedule, schedule
from sim_faults_trace import story, trace
from sim_faults_world import JumpingClock, fault_house, play

__all__ = ["Report", "hours", "run_hour", "run_hours"]

KEPT_S = 200.0
"""No connection that nobody needs is kept for longer."""
TOLD = 3
"""Stories printed at most."""


class Report(Struct):
    """Of one hour, or of many."""

    counts: Counts
    failures: list[str] = []
    trace: str = ""


def run_hour(seed: int, *, traced: bool = False) -> Report:
    """Simulate it, and look whether every rule was kept."""
    gc.disable()  # a collection may wake the scheduler: no run would be like another
    try:
        return trio.run(_hour, schedule(seed), traced, clock=JumpingClock())
    finally:
        gc.enable()


async def _hour(plan: Schedule, traced: bool) -> Report:
    failure = ""
    async with fault_house(plan) as house:
        tasks = _tasks()
        try:
            await play(house, plan)
            await check_hour(house)
            if not plan.house.probe_every_s:  # else connections are used now and then
                await trio.sleep(KEPT_S)
                assert _tasks() <= tasks, f"{_tasks()} tasks at the end, {tasks} at the beginning"
        except AssertionError as error:
            number = error.ask if isinstance(error, RuleBroken) else -1
            words = str(error) if isinstance(error, RuleBroken) else traceback.format_exc()
            bugs = "\n".join(house.witness.bugs[:1])
            failure = f"seed {plan.seed}: {words}\n{bugs}\n{story(house, number)}\n{replay(plan.seed)}"
        return Report(counts_of(house), [failure] if failure else [], trace(house) if traced else "")


def _tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def replay(seed: int) -> str:
    return f"again, with all that happened: just sim --seed {seed}"


def run_hours(first: int, count: int) -> Report:
    """One after the other, in this process."""
    total = Report(Counts())
    gc.collect()
    gc.freeze()  # what is there now stays: a collection after each hour need not look at it
    for number in range(count):
        gc.collect()
        try:
            report = run_hour(first + number)
        except BaseExceptionGroup:
            report = Report(Counts(), [f"seed {first + number}: {traceback.format_exc()}\n{replay(first + number)}"])
        total.counts.add(report.counts)
        total.failures += report.failures
    gc.unfreeze()
    return total


def hours(first: int, count: int, processes: int = 2) -> Report:
    """The same, shared by processes."""
    share = -(-count // processes)
    ranges = [(at, min(share, first + count - at)) for at in range(first, first + count, share)]
    command = [sys.executable, str(Path(__file__).resolve()), "--chunk"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [
        subprocess.Popen([*command, "--first", str(at), "--seeds", str(size)], stdout=subprocess.PIPE, env=environ)
        for at, size in ranges
    ]
    total = Report(Counts())
    for process in running:
        out, _ = process.communicate()
        if process.returncode != 0:
            total.failures.append(f"a process of the simulation ended with {process.returncode}")
            continue
        report = msgspec.json.decode(out, type=Report)
        total.counts.add(report.counts)
        total.failures += report.failures
    return total


def told(first: int, count: int, report: Report) -> Iterator[str]:
    counts = report.counts
    yield f"seeds {first} to {first + count - 1}: {counts.hours} simulated hours"
    yield (
        f"{counts.requests} requests, {counts.attempts} attempts; {counts.whole} answered whole, of these "
        f"{counts.failovers} by another than the first, {counts.rescues} after a stream had broken; "
        f"{counts.hedges} hedges, {counts.left} left"
    )
    yield "errors: " + ", ".join([f"{words} {n}" for words, n in sorted(counts.errors.items(), key=lambda e: -e[1])])
    yield from report.failures[:TOLD]
    yield from [failure.partition("\n")[0] for failure in report.failures[TOLD:]]
    if report.failures:
        yield f"{len(report.failures)} seeds broke a rule"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--seeds", type=int, default=1000, help="how many hours")
    options.add_argument("--first", type=int, help="the first seed; by chance where it is not said")
    options.add_argument("--seed", type=int, help="one hour, and its trace")
    options.add_argument("--chunk", action="store_true", help=argparse.SUPPRESS)
    said = options.parse_args()
    if said.seed is not None:
        report = run_hour(said.seed, traced=True)
        print(report.trace, *report.failures, sep="\n")
        return bool(report.failures)
    first = SystemRandom().randrange(10**9) if said.first is None else said.first
    if said.chunk:
        sys.stdout.buffer.write(msgspec.json.encode(run_hours(first, said.seeds)))
        return 0
    report = hours(first, said.seeds, processes=min(2, os.cpu_count() or 1))
    print(*told(first, said.seeds, report), sep="\n")
    return bool(report.failures)


if __name__ == "__main__":
    sys.exit(main())
