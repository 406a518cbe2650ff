"""Small promises of the command's process."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
from hoosh.api.serve import raise_file_limit
raise_file_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard)
"""


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes():
    # In a process of its own: the limit is one for all of it.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
