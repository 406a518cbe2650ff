"""A Markdown page, as far as checking it needs: its headings, links and fenced blocks.  Source: CommonMark 0.31."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

__all__ = ["ROOT", "Block", "Link", "Page", "all_pages", "read_page"]

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^( *)```(\S*) *$")
_MARK = re.compile(r"^ *<!-- docs: (run|skip)\b ?(.*?) *-->$")
_HEADING = re.compile(r"^#{1,6} (.*?)#*$")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_NOT_IN_A_SLUG = re.compile(r"[^\w\- ]")


class Block(Struct, frozen=True):
    line: int
    """Of its fence."""
    language: str
    text: str
    mark: str = ""
    """`run`, `skip`, or nothing."""
    why: str = ""


class Link(Struct, frozen=True):
    line: int
    target: str


class Page(Struct, frozen=True):
    path: Path
    anchors: frozenset[str]
    links: tuple[Link, ...]
    blocks: tuple[Block, ...]

    def place(self, line: int) -> str:
        return f"{self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path}:{line}"


def all_pages() -> list[Page]:
    """Those that users read."""
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [read_page(path) for path in paths]


def read_page(path: Path) -> Page:
    lines = path.read_text().splitlines()
    blocks = list(_blocks(lines))
    inside = {number for block in blocks for number in range(block.line, block.line + block.text.count("\n") + 2)}
    prose = [(number, line) for number, line in enumerate(lines, 1) if number not in inside]
    links = tuple(
        Link(number, found[1])
        for number, line in prose
        # The text of a link may be code; what stands in code is no link.
        for found in _LINK.finditer(_CODE.sub(lambda code: "x" * len(code[0]), line))
    )
    return Page(path, frozenset(_anchors(line for _, line in prose)), links, tuple(blocks))


def _blocks(lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        number += 1
        if fence is None:
            continue
        start, indent = number, len(fence[1])
        while number < len(lines) and not _FENCE.match(lines[number]):
            number += 1
        text = "".join(f"{line[indent:]}\n" for line in lines[start:number])
        mark = _MARK.match(lines[start - 2]) if start >= 2 else None
        yield Block(start, fence[2], text, *((mark[1], mark[2]) if mark else ()))
        number += 1


def _anchors(lines: Iterator[str]) -> Iterator[str]:
    """As GitHub makes them: small letters, no signs, hyphens for blanks, and a number for the second of a name."""
    seen: dict[str, int] = {}
    for line in lines:
        heading = _HEADING.match(line)
        if heading:
            slug = _NOT_IN_A_SLUG.sub("", heading[1].strip().lower()).replace(" ", "-")
            count = seen[slug] = seen.get(slug, -1) + 1
            yield f"{slug}-{count}" if count else slug
