"""What users see is typed, strictly, through the machinery that makes both faces of one description."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_program_with_strict_types_is_understood():
    # The mistakes in it are marked `type: ignore`, and strict mypy complains about marks that nothing needs.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "tests/client/typed_usage.py"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


IMPORTED = "import sys, hoosh; print(*sorted(name for name in sys.modules if name.split('.')[0] in {'httpx', 'trio'}))"


def test_importing_hoosh_imports_no_client():
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == ""


WITHOUT_TRIO = "import sys, hoosh; hoosh.HooshClient; print('quart' in sys.modules, 'hoosh.gateway' in sys.modules)"


def test_the_client_brings_no_gateway_with_it():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TRIO], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["False", "False"]
