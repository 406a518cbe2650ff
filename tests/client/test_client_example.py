"""examples/client_chat.py is what people will copy: it must run as it is, against a gateway on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from served_house import PATIENCE_S, running

from hoosh.config import Config, Discovery, Logging, Server

ROOT = Path(__file__).parents[2]
CONFIG = Config(
    server=Server(port=0), discovery=Discovery(local=False, environment=False), logging=Logging(level="error")
)


def test_the_example_runs():
    with running(config=lambda _: CONFIG) as house:
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples/client_chat.py")],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOOSH_SERVER": house.url},
            check=False,
        )
    assert done.returncode == 0, done.stderr
    once = ["salam donya 4 echo", "word by word [stop]", "default True", "NoRoute 404"]
    assert done.stdout.splitlines() == [*once, *once, "echo"]
