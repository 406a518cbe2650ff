"""The house keeps its shape: imports go down, rooms do not know each other, and what decides does not wait.

The table is the one in the architecture.  A module that breaks it is named, with the line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "hoosh"

FLOORS: dict[str, int] = {
    "errors": 0,
    "values": 0,
    "codec": 1,
    "dialects": 1,
    "catalogue": 1,
    "http": 2,
    "storage": 2,
    **dict.fromkeys(["access", "admission", "budget", "cost", "context", "dlp", "cache", "routing", "health"], 3),
    **dict.fromkeys(["hardware", "tools", "speech", "audit", "events", "observe"], 3),
    "config": 4,
    "gateway": 5,
    "migration": 5,  # beside the gateway: it knows the plan, and nothing of what runs
    "testing": 7,  # beside: may use all, used by none
    "api": 6,
    "cli": 6,
    "client": 6,
    "reference": 6,
}
ROOM_FLOOR = 3
A_ROOM_MAY_IMPORT = ("errors", "values", "catalogue", "dialects.contract", "storage.contract")
WAITING_IN_ROOMS = {
    *(
        "observe/logs.py",
        "observe/lag.py",
        "observe/bridge.py",
        "observe/export.py",
        "budget/guard.py",
        "cache/flight.py",
        "admission/turnstile.py",
    ),
    "health/supervisor.py",
    *("hardware/backends.py", "hardware/detection.py", "hardware/machine.py", "hardware/tools.py"),
    "events/subscription.py",
    *("speech/child.py", "speech/engine.py", "speech/transcription.py"),
}
"""Modules of rooms that are shells: they wait."""
QUICK_TO_START = {
    *(
        "api/app.py",
        "api/audit.py",
        "api/costs.py",
        "api/face.py",
        "api/health.py",
        "api/models.py",
        "api/ollama.py",
        "api/operations.py",
    ),
    *("api/passage.py", "api/cache.py", "api/responses.py", "api/tokens.py"),
    "api/events.py",
    "api/hardware.py",
    "api/placement.py",
    "api/queue.py",
    "api/reload.py",
    "api/requests.py",
}
"""The only modules that may import Quart: it is slow to import, and the hot door must not wait for it."""

MODULES = sorted(ROOT.rglob("*.py"))


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that `path` imports, also inside functions, with its line; not those for types only."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and ast.unparse(test.test) == "TYPE_CHECKING"
        for node in ast.walk(test)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def room_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def inner(path: Path) -> Iterator[tuple[int, str]]:
    """Imports from hoosh itself, as the path below it: `http.message`."""
    for line, name in imports_of(path):
        if name.startswith("hoosh."):
            below = name.removeprefix("hoosh.")
            if below.split(".")[0] in FLOORS:
                yield line, below


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_the_floors(path: Path):
    room = room_of(path)
    if room in ("__init__", "__main__", "py"):
        return
    assert room in FLOORS, f"{room} has no address in the house"
    for line, name in inner(path):
        other = name.split(".")[0]
        assert other == room or FLOORS[other] <= FLOORS[room], f"{path.name}:{line} imports up: {name}"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if FLOORS.get(room_of(p)) == ROOM_FLOOR], ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_room_imports_no_other_room_and_no_way(path: Path):
    room = room_of(path)
    for line, name in inner(path):
        allowed = name.split(".")[0] == room or name.startswith(A_ROOM_MAY_IMPORT)
        # A room may see headers and other plain values of the ways' message module, nothing that waits.
        assert allowed or name.startswith("http.message"), f"{path.name}:{line} imports sideways: {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_decides_does_not_wait(path: Path):
    relative = path.relative_to(ROOT).as_posix()
    room = room_of(path)
    pure_floor = room in ("errors", "values", "codec", "dialects", "catalogue")
    pure_room = FLOORS.get(room) == ROOM_FLOOR and relative not in WAITING_IN_ROOMS
    if not (pure_floor or pure_room or room == "config"):
        return
    for line, name in imports_of(path):
        assert name.split(".")[0] not in ("trio", "anyio", "asyncio", "socket", "httpx"), (
            f"{relative}:{line} waits: {name}"
        )
    tree = ast.parse(path.read_text())
    waiting = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    assert not waiting, f"{relative}:{waiting[0]} is async"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_slow_libraries_stay_behind_their_doors(path: Path):
    relative = path.relative_to(ROOT).as_posix()
    for line, name in imports_of(path):
        top = name.split(".")[0]
        if top in ("quart", "quart_trio", "werkzeug"):
            assert relative in QUICK_TO_START, f"{relative}:{line} imports {name}"
        if top == "hypercorn":
            assert relative == "api/hypercorn.py", f"{relative}:{line} imports {name}"
        if top == "prometheus_client":
            assert relative == "observe/scrape.py", f"{relative}:{line} imports {name}"
        if top == "rich":
            assert relative in ("cli/top/drawing.py", "cli/top/screen.py"), f"{relative}:{line} imports {name}"
        if top == "asyncio":
            pytest.fail(f"{relative}:{line} imports asyncio")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_task_without_a_parent(path: Path):
    assert "spawn_system_task" not in path.read_text(), f"{path.name} spawns a system task"
