"""What can be said of a page without running anything.  Each check yields sentences: `file:line: what is wrong`."""

from __future__ import annotations

import ast
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import trustme

from hoosh.config import loads
from hoosh.errors import ConfigError
from tools.docs.pages import ROOT, Block, Page

__all__ = ["SHELLS", "check_blocks", "check_index", "check_links", "is_to_run"]

INDEX = ROOT / "docs" / "index.md"
SHELLS = ("sh", "bash", "console")
ASKS_THE_GATEWAY = ("curl ", "hoosh-trio infer", "hoosh-trio models", "hoosh-trio health")
FILES = ("tls_cert", "tls_key", "tls_client_ca", "verify", "tls_pinned_certs", "client_cert", "client_key")
"""Keys of a configuration that name a file which must be there."""


def is_to_run(block: Block) -> bool:
    """What is marked so, and whatever begins by asking the gateway, unless it is skipped."""
    asks = block.language in SHELLS and block.text.removeprefix("$ ").startswith(ASKS_THE_GATEWAY)
    return block.mark == "run" or (asks and block.mark != "skip")


def check_links(pages: Iterable[Page]) -> Iterator[str]:
    anchors = {page.path: page.anchors for page in pages}
    for page in pages:
        for link in page.links:
            url = urlsplit(link.target)
            if url.scheme or url.netloc:
                continue
            path = (page.path.parent / unquote(url.path)).resolve() if url.path else page.path
            if not path.exists():
                yield f"{page.place(link.line)}: {link.target}: there is no such file"
            elif url.fragment and path in anchors and url.fragment not in anchors[path]:
                yield f"{page.place(link.line)}: {link.target}: that page has no such heading"


def check_index(pages: Iterable[Page]) -> Iterator[str]:
    """Every page of docs/ is linked from the index."""
    by_path = {page.path: page for page in pages}
    index = by_path[INDEX]
    linked = {(INDEX.parent / urlsplit(link.target).path).resolve() for link in index.links}
    for path in by_path:
        if path.parent == INDEX.parent and path != INDEX and path not in linked:
            yield f"{index.place(1)}: does not mention {path.name}"


def check_blocks(page: Page) -> Iterator[str]:
    for block in page.blocks:
        if block.mark == "skip":
            if not block.why:
                yield f"{page.place(block.line)}: is skipped, and does not say why"
        elif block.language == "toml":
            yield from (f"{page.place(block.line)}: {wrong}" for wrong in toml_mistakes(block))
        elif block.language == "python":
            yield from (f"{page.place(block.line)}: {wrong}" for wrong in python_mistakes(block))


def toml_mistakes(block: Block) -> list[str]:
    """Of a configuration in whose environment every variable is set, and beside which every file lies that it names."""
    try:
        document = tomllib.loads(block.text)
    except tomllib.TOMLDecodeError as error:
        return [f"no TOML: {error}"]
    with tempfile.TemporaryDirectory() as folder:
        for name in named_files(document):
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_pem() if path.suffix == ".pem" else "a-key-of-more-than-sixteen-bytes")
        try:
            loads(block.text, f"{folder}/hoosh.toml", Everything())
        except ConfigError as error:
            return [mistake.removeprefix(f"{folder}/") for mistake in error.mistakes]
    return []


@lru_cache(maxsize=1)
def _pem() -> str:
    """A certificate and its key: whatever of the two is looked for is found, and they fit each other."""
    return trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.bytes().decode()


class Everything(Mapping[str, str]):
    """An environment in which every variable that somebody asks for is set."""

    def __getitem__(self, name: str) -> str:
        return f"whsec_{'A' * 43}=" if "WEBHOOK" in name else f"value-of-{name}"

    def get(self, name: str, default: object = None) -> str:
        return self[name]

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def named_files(value: object, name: str = "") -> Iterator[str]:
    """Relative paths only: nothing is written outside the folder."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from named_files(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from named_files(item, name)
    elif isinstance(value, str):
        path = value.removeprefix("file:") if value.startswith("file:") else value if name in FILES else ""
        if path and not Path(path).is_absolute() and ".." not in Path(path).parts:
            yield path


def python_mistakes(block: Block) -> list[str]:
    try:
        compile(block.text, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        return [f"no Python: line {error.lineno} of it: {error.msg}"]
    return []
