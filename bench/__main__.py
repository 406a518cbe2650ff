"""`python -m bench`: options, rounds, tables.

    for each round:  for each contender, beginning with another one each time:  start, warm, every scenario, stop
    for each round:  start hoosh without its books, with them, with answers that wait for the disk;  ask each in turn
    then, for each:  start afresh, hold many streams open, stop
                     start afresh, let clients read slowly and ask for much, stop (hoosh alone)
                     start with a whisper of its own, ask while it listens, stop (hoosh alone)
                     start in front of the upstream that notices, let clients leave, stop

Exit status 0 means that everything ran and every answer was right; a missed target does not change it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import plot
from bench.books import Ledger, check_books, measure_pairs, turns
from bench.contenders import BASELINES, OURS, PEERS, Contender, Place, contender, installed
from bench.disconnects import http2_is_spoken
from bench.figures import TARGETS, WITH_BOOKS, WITHOUT_BOOKS, judge
from bench.listening import can_listen, listening
from bench.load import Mock, ask, build, get_status
from bench.machine import Running, core_busy_s, describe, divide_cores, free_port, raise_file_limit
from bench.pressure import FullUpstream, large_prompts, slow_readers, withdrawal
from bench.report import books_table, disconnects_table, figures_table, fill_between, keep_json, targets_table
from bench.scenarios import (
    SCENARIOS,
    Bench,
    Scale,
    measure_direct,
    measure_disconnects,
    measure_memory,
    wait_ready,
    warm,
)
from bench.watched import WatchedUpstream

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
PICTURE = "![One panel for each question, one bar for each gateway](benchmarks.svg)"
QUICK = Scale(seconds=0.4, warm_s=0.1, paced_streams=100, memory_streams=50, tries=6, peer_tries=4, held_streams=20)
ALL_SCENARIOS = [*SCENARIOS, "books", "memory", "pressure", "listening", "disconnects", "start"]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description="Measure hoosh beside other gateways.")
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="alternating rounds; medians are reported (default: 3)")
    add("--seconds", type=float, default=4.0, help="of each measuring window (default: 4)")
    add("--quick", action="store_true", help="a smoke run: everything once, so briefly that the figures mean nothing")
    add("--only", action="append", choices=ALL_SCENARIOS, help="these scenarios only; may be repeated")
    add("--peers", default="auto", help=f"none, auto (what is installed), or a list of {','.join(PEERS)}")
    add("--peers-dir", type=Path, help="virtual environments of the peers: DIR/litellm, DIR/smg, DIR/vllm-router")
    add("--hoosh", metavar="CMD", help="how to start hoosh: a command with {port} and {config}")
    add("--streams", type=int, default=1000, help="open streams whose memory is measured (default: 1000)")
    add("--tries", type=int, default=1000, help="leaving clients for each phase and HTTP version (default: 1000)")
    add("--peer-tries", type=int, default=20, help="the same for peers, some of whom never notice (default: 20)")
    add("--seed", type=int, default=1, help="of the moments at which clients leave (default: 1)")
    add("--results", type=Path, default=HERE / "results", help="where the JSON and the plots go")
    add("--write-docs", action="store_true", help="put tables and plot into docs/")
    chosen = parser.parse_args(arguments)
    if chosen.write_docs and (chosen.quick or chosen.only):
        parser.error("--write-docs wants a whole run, without --quick and --only")
    return chosen


def scale_of(chosen: argparse.Namespace) -> Scale:
    if chosen.quick:
        return QUICK
    return Scale(
        seconds=chosen.seconds, memory_streams=chosen.streams, tries=chosen.tries, peer_tries=chosen.peer_tries
    )


def choose_peers(wanted: str, present: dict[str, str]) -> list[str]:
    """In the order of the table.  Raises SystemExit for a peer that was asked for and is not there."""
    peers = [name for name in PEERS if name in present]
    if wanted == "none":
        return []
    if wanted == "auto":
        return peers
    named = [name.strip() for name in wanted.split(",") if name.strip()]
    if missing := [name for name in named if name not in peers]:
        raise SystemExit(f"not installed: {', '.join(missing)} (installed: {', '.join(peers) or 'none'})")
    return [name for name in PEERS if name in named]


# --- Rounds ---


@dataclass
class House:
    """Where contenders are started."""

    bench: Bench
    work: Path
    peers_dir: Path | None
    hoosh: str | None

    def start(self, name: str, upstream_port: int) -> tuple[Contender, Running]:
        place = Place(free_port(), upstream_port, self.work, self.peers_dir, self.hoosh)
        one = contender(name, place)
        log = self.work / f"{name}.log"
        cores = self.bench.tools.cores.gateway
        return one, Running(one.command, cores=cores, log=log, environment=one.environment, cwd=one.cwd)


def run_round(house: House, name: str, scenarios: list[str], first: bool) -> None:
    bench = house.bench
    one, running = house.start(name, bench.mock.port)
    with running:
        bench.samples.note(name, "start", wait_ready(one, running))
        if name in BASELINES:
            scenarios = [scenario for scenario in scenarios if scenario == "http2"]
        else:
            warm(bench, one, running)
        if name == "hoosh" and first:
            check_hoosh(bench, one)
        with undisturbed(bench, one, running):
            for scenario in scenarios:
                run_scenario(bench, one, running, scenario)


def run_scenario(bench: Bench, one: Contender, running: Running, scenario: str) -> None:
    """A scenario that fails is told and left behind; a gateway that died has no more to say."""
    try:
        SCENARIOS[scenario](bench, one, running)
    except (OSError, RuntimeError, ValueError) as problem:
        bench.problem(one, f"{scenario}: {problem}")
    if not running.alive():
        raise RuntimeError(f"died during {scenario}. Its log ends:\n{running.log_tail()}")


@contextmanager
def undisturbed(bench: Bench, one: Contender, running: Running) -> Iterator[None]:
    """Was it?  Notes how much of the gateway's core somebody else has used meanwhile."""
    if not bench.tools.cores.pinned:
        yield
        return
    core = min(bench.tools.cores.gateway)
    began_s, busy_s, ours_s = time.monotonic(), core_busy_s(core), running.cpu_s()
    yield
    others_s = (core_busy_s(core) - busy_s) - (running.cpu_s() - ours_s)
    bench.samples.note(one.name, "others", max(0.0, 100 * others_s / (time.monotonic() - began_s)))


def check_hoosh(bench: Bench, one: Contender) -> None:
    """Keys and metrics are on, as promised, and HTTP/2 is spoken."""
    if ask(one.port, key="sk-somebody-else") != 401:
        bench.problem(one, "a wrong key was not refused with 401")
    if get_status(one.port, "/metrics") != 200:
        bench.problem(one, "/metrics does not answer")
    if not http2_is_spoken(one.h2_port):
        bench.problem(one, "HTTP/2 with prior knowledge is not answered")


def run_books(house: House) -> None:
    """In fresh processes, each with a fresh folder: two of one program differ by where their memory happens to lie."""
    bench, houses = house.bench, dict[str, Ledger]()
    with ExitStack() as stack:
        for name in turns(0):
            one, running = house.start(name, bench.mock.port)
            stack.enter_context(running)
            wait_ready(one, running)
            warm(bench, one, running)
            houses[name] = Ledger(one, running)
        measure_pairs(bench, houses)
        for each in houses.values():
            check_books(bench, each)


def run_memory(house: House, name: str) -> None:
    """In a fresh process: what earlier streams have freed would hide what new ones take."""
    one, running = house.start(name, house.bench.mock.port)
    with running:
        wait_ready(one, running)
        warm(house.bench, one, running)
        measure_memory(house.bench, one, running)


def run_pressure(house: House, name: str) -> None:
    port = free_port()
    with FullUpstream(port):
        one, running = house.start(name, port)
        with running:
            wait_ready(one, running)
            slow_readers(house.bench, one, running)
    one, running = house.start(name, house.bench.mock.port)
    with running:
        wait_ready(one, running)
        warm(house.bench, one, running)
        large_prompts(house.bench, one, running)
        withdrawal(house.bench, one, running)


def run_listening(house: House, *, quick: bool) -> None:
    """On all cores: a child that is pinned beside its gateway would share one with it."""
    cores = house.bench.tools.cores
    listening(house.bench, house.work, cores.gateway | cores.load, quick=quick)


def run_disconnects(house: House, name: str, seed: int) -> None:
    port = free_port()
    with WatchedUpstream(port) as upstream:
        one, running = house.start(name, port)
        with running:
            wait_ready(one, running)
            measure_disconnects(house.bench, one, running, upstream, port, seed)


def run_all(house: House, names: list[str], chosen: argparse.Namespace) -> None:
    wanted = chosen.only or ALL_SCENARIOS
    in_rounds = [scenario for scenario in SCENARIOS if scenario in wanted]
    rounds = 1 if chosen.quick else chosen.rounds
    for number in range(rounds) if in_rounds or "start" in wanted else ():
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            say(f"round {number + 1} of {rounds}: {name}")
            guarded(house, name, partial(run_round, house, name, in_rounds, number == 0))
        if {"chat", "streams", "paced"} & set(in_rounds):
            say(f"round {number + 1} of {rounds}: upstream alone")
            measure_direct(house.bench, in_rounds)
    for number in range(rounds) if "books" in wanted else ():
        say(f"books, round {number + 1} of {rounds}: without, with all, with answers that wait")
        guarded(house, WITH_BOOKS, partial(run_books, house))
    for name in [name for name in names if name not in BASELINES]:
        if "memory" in wanted:
            say(f"memory of {house.bench.scale.memory_streams} open streams: {name}")
            guarded(house, name, partial(run_memory, house, name))
        if "pressure" in wanted and name in OURS:
            say(f"slow readers, large prompts, an owner who ends everything: {name}")
            guarded(house, name, partial(run_pressure, house, name))
        if "listening" in wanted and name in OURS and can_listen():
            say(f"answers while whisper listens: {name}")
            guarded(house, name, partial(run_listening, house, quick=chosen.quick))
        if "disconnects" in wanted:
            say(f"clients that leave: {name} (seed {chosen.seed})")
            guarded(house, name, partial(run_disconnects, house, name, chosen.seed))


def guarded(house: House, name: str, run: Callable[[], None]) -> None:
    """One contender that fails does not end the run; it is told at the end."""
    try:
        run()
    except (OSError, RuntimeError) as problem:
        house.bench.problems.append(f"{name}: {problem}")


# --- What is kept and told ---


def report(bench: Bench, names: list[str], versions: dict[str, str], chosen: argparse.Namespace) -> str:
    columns = [name for name in (*names, "direct") if name in bench.samples.taken]
    verdicts = judge(bench.samples, TARGETS)
    if chosen.only:
        verdicts = [verdict for verdict in verdicts if verdict.target.group in chosen.only]
    told = about(bench, versions, chosen)
    machine = f"{told['cpu']}, {told['cores']} cores, Linux {told['kernel']}, Python {told['python']}"
    intro = f"{told['date']}, commit {told['commit']}. {machine}; {told['placement']}. Medians over {told['rounds']} "
    intro += f"round(s), windows of {told['seconds']} s; ×n is the multiple of hoosh's figure."
    if chosen.quick:
        intro += "\n\n**A smoke run: the figures mean nothing.**"
    tables = [intro]
    if columns:
        tables.append(figures_table(bench.samples, columns, versions))
    if WITHOUT_BOOKS in bench.samples.taken:
        tables.append(books_table(bench.samples))
    if bench.outcomes:
        tables.append(disconnects_table(bench.outcomes, names))
    tables.append(targets_table(verdicts))
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    keep_json(chosen.results / f"{stamp}.json", told, bench.samples, bench.outcomes, bench.problems)
    text = "\n\n".join(tables)
    paths = [chosen.results / f"{stamp}.svg", chosen.results / f"{stamp}.png"]
    if chosen.write_docs:
        document = DOCS / "benchmarks.md"
        document.write_text(fill_between(document.read_text(), f"{text}\n\n{PICTURE}"))
        paths.append(DOCS / "benchmarks.svg")
    if plot.available():
        caption = f"{told['cpu']}, one core for the gateway, {told['date']}; logarithmic scales"
        plot.draw(bench.samples, columns, paths, caption)
        say(f"kept: {chosen.results / stamp}.json, .svg, .png")
    else:
        say(f"kept: {chosen.results / stamp}.json; no plot: pip install matplotlib (or '.[bench]')")
    return text


def about(bench: Bench, versions: dict[str, str], chosen: argparse.Namespace) -> dict[str, object]:
    commit = subprocess.run(
        ["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return {
        **describe(),
        "placement": str(bench.tools.cores),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "versions": versions,
        "rounds": 1 if chosen.quick else chosen.rounds,
        "seconds": bench.scale.seconds,
        "tries": bench.scale.tries,
        "memory_streams": bench.scale.memory_streams,
        "seed": chosen.seed,
        "quick": chosen.quick,
    }


def main(arguments: list[str] | None = None) -> int:
    chosen = options(arguments)
    cores = divide_cores(frozenset(os.sched_getaffinity(0)))
    files = raise_file_limit()
    tools = build(HERE / "build", cores)
    present = installed(chosen.peers_dir)
    names = ["hoosh", *choose_peers(chosen.peers, present)]
    if tools.h2load is None:
        say("no h2load: HTTP/2 is not measured (Debian: nghttp2-client)")
    else:
        names += [name for name in BASELINES if name in present]
    say(f"{cores}; at most {files} open files; {', '.join(names)}")
    with tempfile.TemporaryDirectory(prefix="hoosh-bench-") as folder:
        mock = Mock(tools, free_port(), Path(folder) / "mockllm.log")
        bench = Bench(tools, mock, scale_of(chosen))
        try:
            os.sched_setaffinity(0, cores.load)
            run_all(House(bench, Path(folder), chosen.peers_dir, chosen.hoosh), names, chosen)
        finally:
            mock.stop()
    print(report(bench, names, {name: present[name] for name in names if name in present}, chosen))
    for problem in bench.problems:
        say(f"problem: {problem}")
    return 1 if any(problem.startswith(tuple(f"{name}:" for name in OURS)) for problem in bench.problems) else 0


if __name__ == "__main__":
    sys.exit(main())
