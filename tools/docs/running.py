"""Running what a page shows: blocks that ask the gateway or are marked `run`, in order, before a gateway of its own.

The gateway listens on a free port; `localhost:8088` in a block becomes its address.  `curl` fails where the gateway
refuses, and `hoosh-trio` is the one of this tree.  Nothing else is on the network.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tools.docs.checks import SHELLS, is_to_run
from tools.docs.pages import ROOT, Block, Page

__all__ = ["run_page"]

USUAL = ("localhost:8088", "127.0.0.1:8088")
READY_WITHIN_S = 20.0
BLOCK_WITHIN_S = 60.0
KEEP = ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
SHIMS = {
    "curl": 'exec {curl} --fail-with-body --silent --show-error "$@"',
    "hoosh-trio": 'exec {python} -m hoosh "$@"',
}


def run_page(page: Page) -> Iterator[str]:
    """Sentences about what did not run.  The blocks of a page share a folder and a gateway."""
    blocks = [block for block in page.blocks if is_to_run(block)]
    if not blocks:
        return
    # A page that embeds hoosh needs none, and one takes a second to start.
    needs_one = any(block.language in SHELLS or any(usual in block.text for usual in USUAL) for block in blocks)
    with (
        tempfile.TemporaryDirectory() as folder,
        gateway(Path(folder)) if needs_one else nullcontext(USUAL[0]) as address,
    ):
        for block in blocks:
            wrong = run_block(block, Path(folder), address)
            if wrong:
                yield f"{page.place(block.line)}: {wrong}"


def run_block(block: Block, folder: Path, address: str) -> str:
    """What went wrong, or nothing."""
    text = block.text
    for usual in USUAL:
        text = text.replace(usual, address)
    if block.language in SHELLS:
        # Lines of a console that begin with `$ ` are what was typed; the others are what was answered.
        typed = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
        argv = ["bash", "-euo", "pipefail", "-c", "\n".join(typed) if block.language == "console" else text]
    elif block.language == "python":
        argv = [sys.executable, "-W", "error", "-c", text]
    else:
        return f"a block of `{block.language}` cannot be run"
    environ = environment(folder, HOOSH_SERVER=f"http://{address}")
    try:
        done = subprocess.run(
            argv, cwd=folder, env=environ, capture_output=True, text=True, timeout=BLOCK_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "does not end"
    return f"exits {done.returncode}: {done.stdout}{done.stderr}" if done.returncode else ""


@contextmanager
def gateway(folder: Path) -> Iterator[str]:
    """One with nothing but `echo`, as a new user has it.  Gives its address, HOST:PORT."""
    config = folder / "gateway" / "hoosh.toml"
    config.parent.mkdir()
    config.write_text("[server]\nport = 0\n[discovery]\nlocal = false\nenvironment = false\n")
    out, err = config.with_name("out"), config.with_name("err")
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "hoosh", "serve", "--config", str(config)],
            env=environment(folder), stdout=stdout, stderr=stderr,
        )  # fmt: skip
    try:
        yield _address(process, out, err)
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[bytes], out: Path, err: Path) -> str:
    give_up = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up and process.poll() is None:
        words = out.read_text().split()
        address = next((word for word in words if word.startswith("http://127.0.0.1:")), "")
        if address:
            address = "127.0.0.1:" + "".join(sign for sign in address.split(":")[2] if sign.isdigit())
            with urllib.request.urlopen(f"http://{address}/livez", timeout=READY_WITHIN_S):
                return address
        time.sleep(0.02)
    raise RuntimeError(f"the gateway does not start: {err.read_text()}")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A clean one: no keys and no proxies of whoever runs this."""
    kept = {name: os.environ[name] for name in KEEP if name in os.environ}
    shims = folder / "bin"
    if not shims.exists():
        shims.mkdir()
        curl = next((f"{place}/curl" for place in os.get_exec_path() if os.path.exists(f"{place}/curl")), "false")
        for name, script in SHIMS.items():
            path = shims / name
            path.write_text(f"#!/bin/sh\n{script.format(curl=curl, python=sys.executable)}\n")
            path.chmod(0o755)
    kept["PATH"] = f"{shims}:{kept.get('PATH', os.defpath)}"
    return {**kept, "HOME": str(folder), "PYTHONPATH": str(ROOT), "HOOSH_STATE_DIR": str(folder / "state"), **more}
