"""examples/watch_events.py is what people will copy: it must run, and hear what it says it hears."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_example_hears_the_request_that_it_makes(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "watch_events.py")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "echo has answered with 4 tokens",
        "a chat for echo has ended: ok, 200",
        "over HTTP: lost",
        "over HTTP: request_finished",
    ]
