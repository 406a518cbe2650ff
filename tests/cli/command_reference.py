"""The second half of docs/command_line.md, written from the parsers.

python tests/cli/command_reference.py --write
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from hoosh.cli import GROUPS, build_parser
from hoosh.cli.tree import Node, tree_of, walk

DOCUMENT = Path(__file__).parents[2] / "docs" / "command_line.md"
BEGIN = "<!-- From here on it is written from the parsers: python tests/cli/command_reference.py --write -->\n"


def document() -> str:
    """The page as it should be: what people have written stays, what follows `BEGIN` is made."""
    written = DOCUMENT.read_text().partition(BEGIN)[0]
    return written + BEGIN + "".join(f"{line}\n" for line in reference())


def reference() -> Iterable[str]:
    by_name = {node.name: node for node in tree_of(build_parser()).children}
    for title, modules in GROUPS:
        yield ""
        yield f"## Commands: {title}"
        for module in modules:
            for node in walk(by_name[module.__name__.rpartition(".")[2]]):
                yield from _command(node)


def _command(node: Node) -> Iterable[str]:
    yield ""
    yield f"### `{' '.join(('hoosh-trio', *node.path))}`"
    yield ""
    yield from _description(node.description)
    rows = [(word.metavar, word.help or ", ".join(word.choices)) for word in node.words]
    rows += [(", ".join(option.flags) + (f" {option.metavar}" if option.metavar else ""), option.help)
             for option in node.options if "--help" not in option.flags]  # fmt: skip
    if rows:
        yield ""
        yield "| | |"
        yield "| --- | --- |"
        yield from (f"| `{name}` | {_cell(help)} |" for name, help in rows)
    yield ""
    yield "<!-- docs: skip names and keys in it stand for yours -->"
    yield "```sh"
    yield from node.examples
    yield "```"


def _description(text: str) -> Iterable[str]:
    """Paragraphs; what was laid out as a list stays as it is."""
    for number, paragraph in enumerate(text.strip("\n").split("\n\n")):
        if number:
            yield ""
        lines = paragraph.split("\n")
        if any(line.startswith("  ") for line in lines):
            yield from ("```", *lines, "```")
        else:
            yield from lines


def _cell(text: str) -> str:
    return re.sub(r"([|<>*])", r"\\\1", text)


if __name__ == "__main__":
    if "--write" in sys.argv:
        DOCUMENT.write_text(document())
    else:
        print(document())
