"""docs/command_line.md says what the commands are today, and its commands are understood."""

from __future__ import annotations

import re
import shlex

import pytest
from command_reference import BEGIN, DOCUMENT, document

from hoosh.cli import build_parser

WRITTEN = DOCUMENT.read_text().partition(BEGIN)[0]
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", WRITTEN, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("hoosh-trio ")
]


def test_the_page_is_up_to_date():
    assert DOCUMENT.read_text() == document(), "run `python tests/cli/command_reference.py --write`"


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_on_the_page_is_understood(line: str):
    words = shlex.split(re.split(r" +#|\s[|>]", line)[0])
    build_parser().parse_args(words[1:])


def test_the_page_has_commands():
    assert len(COMMANDS) > 5
