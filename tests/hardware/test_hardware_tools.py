"""Makers' tools: found where only an administrator can put them, given little time, and gone when nobody waits.

Real processes.  They tell by a pipe that they run, and the kernel by a pidfd that they do not: nobody sleeps.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio

from hoosh.hardware import tools
from hoosh.hardware.tools import OUTPUT_BYTES, ToolFailed, find_tool, run_tool


def script(directory: Path, body: str, name: str = "some-smi") -> str:
    """A tool in Python, started by its path."""
    path = directory / name
    path.write_text(f"#!{sys.executable} -SE\n{body}")
    path.chmod(0o755)
    return str(path)


async def pids_from(pipe: Path) -> list[int]:
    """What a tool that hangs has written, once it and its child run."""
    text = await trio.to_thread.run_sync(pipe.read_text)
    return [int(pid) for pid in text.split()]


async def wait_gone(*pidfds: int) -> None:
    for pidfd in pidfds:
        await trio.lowlevel.wait_readable(pidfd)
        os.close(pidfd)


HANGS = """
import os, subprocess, sys, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-SE", "-c", "import time; time.sleep(600)"])
with open({pipe!r}, "w") as file:
    file.write(f"{{os.getpid()}} {{child.pid}}\\n")
child.wait()
"""


async def test_what_a_tool_prints(tmp_path):
    path = script(tmp_path, "import sys; print(*sys.argv[1:]); print('noise', file=sys.stderr)")
    assert await run_tool(path, "-q", "a b;$(id)") == "-q a b;$(id)\n"


async def test_a_tool_knows_nothing_of_our_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    monkeypatch.setenv("LD_PRELOAD", "")
    path = script(tmp_path, "import os; print(sorted(os.environ), os.getcwd(), os.getsid(0) == os.getpid())")
    assert await run_tool(path) == "['HOME', 'LC_ALL', 'PATH'] / True\n"


async def test_a_tool_that_fails_says_so_by_its_name(tmp_path):
    with pytest.raises(ToolFailed, match="some-smi has failed with 9"):
        await run_tool(script(tmp_path, "raise SystemExit(9)"))
    with pytest.raises(ToolFailed, match="none-smi cannot be started"):
        await run_tool(str(tmp_path / "none-smi"))


async def test_a_tool_that_talks_without_end_is_stopped(tmp_path):
    body = "import sys\nwhile True:\n    sys.stdout.write('x' * 65536)\n"
    with pytest.raises(ToolFailed, match=f"prints more than {OUTPUT_BYTES // 1024} KiB"):
        await run_tool(script(tmp_path, body), within_s=60)


async def test_a_tool_that_hangs_is_killed_with_all_it_has_started(tmp_path, mock_clock):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    path, failed = script(tmp_path, HANGS.format(pipe=str(pipe))), []

    async def run() -> None:
        try:
            await run_tool(path)
        except ToolFailed as error:
            failed.append(str(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        running = [os.pidfd_open(pid) for pid in await pids_from(pipe)]
        mock_clock.jump(5.0)
    assert failed == ["some-smi has not answered within 5 s"]
    await wait_gone(*running)


async def test_who_is_cancelled_leaves_no_tool_behind(tmp_path, mock_clock):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    path = script(tmp_path, HANGS.format(pipe=str(pipe)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_tool, path)
        running = [os.pidfd_open(pid) for pid in await pids_from(pipe)]
        nursery.cancel_scope.cancel()
    assert len(running) == 2
    await wait_gone(*running)


LEAVES = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-SE", "-c", "import time; time.sleep(600)"])
with open({pipe!r}, "w") as file:
    file.write(f"{{os.getpid()}} {{child.pid}}\\n")
"""


async def test_what_a_tool_has_left_behind_and_still_holds_its_output_ends_too(tmp_path, mock_clock):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    path = script(tmp_path, LEAVES.format(pipe=str(pipe)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_tool, path)
        tool, left = map(os.pidfd_open, await pids_from(pipe))
        await trio.lowlevel.wait_readable(tool)  # it has ended, its output has not
        os.close(tool)
        nursery.cancel_scope.cancel()
    await wait_gone(left)


def test_tools_are_found_in_directories_of_the_system_alone(tmp_path, monkeypatch):
    path = script(tmp_path, "", "nvidia-smi")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_tool("nvidia-smi", (str(tmp_path / "none"), str(tmp_path))) == path
    assert find_tool("hoosh-no-such-tool") is None
    assert str(tmp_path) not in tools.DIRECTORIES
    assert all(directory.startswith("/") for directory in tools.DIRECTORIES)
    os.chmod(path, 0o644)
    assert find_tool("nvidia-smi", (str(tmp_path),)) is None
