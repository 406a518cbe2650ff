"""examples/embed.py is what people will copy: it must run, and say what it says it does."""

from __future__ import annotations

import subprocess
import sys

from e2e_house import PATIENCE_S, ROOT, environment


def test_the_embedding_example_runs() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/embed.py")],
        capture_output=True, text=True, timeout=PATIENCE_S, env=environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if not line.startswith("{")]
    assert said == ["salam donya", "no socket was opened for this 12"]
