"""`python -m tools.docs [--write] [--run]`: exits 1 when something is wrong, after telling all of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from tools.docs.checks import check_blocks, check_index, check_links
from tools.docs.pages import ROOT, Page, all_pages
from tools.docs.reference import PAGE, reference
from tools.docs.running import run_page

__all__ = ["main", "mistakes", "stale"]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.docs", description="Check the documentation.")
    parser.add_argument("--write", action="store_true", help="make the generated pages anew")
    parser.add_argument("--run", action="store_true", help="execute the blocks that are marked so")
    arguments = parser.parse_args(argv)
    if arguments.write:
        PAGE.write_text(reference())
    pages = all_pages()
    found = [*mistakes(pages), *stale()]
    if arguments.run:
        found += [wrong for page in pages for wrong in run_page(page)]
    print("\n".join(found) or f"{len(pages)} pages, no mistakes", file=sys.stderr if found else sys.stdout)
    return 1 if found else 0


def mistakes(pages: Sequence[Page]) -> Iterator[str]:
    yield from check_links(pages)
    yield from check_index(pages)
    for page in pages:
        yield from check_blocks(page)


def stale() -> list[str]:
    fresh = PAGE.exists() and PAGE.read_text() == reference()
    return [] if fresh else [f"{PAGE.relative_to(ROOT)}:1: is not what the schema says; run `just docs --write`"]


if __name__ == "__main__":
    sys.exit(main())
