"""The checker itself: what it finds in a page that is wrong, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.docs.checks import check_blocks, check_links, is_to_run
from tools.docs.pages import Block, Page, read_page
from tools.docs.reference import reference
from tools.docs.running import run_page


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "page.md") -> Page:
        path = tmp_path / name
        path.write_text(text)
        return read_page(path)

    return write


def links(*pages: Page) -> list[str]:
    return [wrong.partition(": ")[2] for wrong in check_links(pages)]


def blocks(page: Page) -> list[str]:
    return [wrong.partition(": ")[2] for wrong in check_blocks(page)]


def test_headings_are_anchors_as_github_makes_them(write):
    page = write("# `[server]` and `a_key`\n## What's new?\n## Twice\n## Twice\n```sh\n# no heading\n```\n")
    assert page.anchors == {"server-and-a_key", "whats-new", "twice", "twice-1"}


def test_a_link_that_leads_nowhere_is_found(write):
    other = write("# Here\n", "other.md")
    page = write("[a](other.md#here) [b](other.md#there) [c](gone.md) [d](#nope) [`e`](https://example.com/x#y)\n")
    assert links(page, other) == [
        "other.md#there: that page has no such heading",
        "gone.md: there is no such file",
        "#nope: that page has no such heading",
    ]


def test_what_stands_in_code_is_no_link(write):
    assert links(write("`[a](gone.md)` and ``b`[c](gone.md)``\n```\n[d](gone.md)\n```\n")) == []


def test_toml_is_loaded_with_hooshs_own_loader(write):
    page = write("```toml\n[server]\nprot = 1\n```\n\n```toml\nbroken =\n```\n")
    found = blocks(page)
    assert found[0].startswith("hoosh.toml:2: server.prot: unknown key")
    assert found[1].startswith("no TOML")


def test_variables_and_files_that_toml_names_are_taken_for_there(write):
    text = '[server]\ntls_cert = "a/c.pem"\ntls_key = "k.pem"\n[[providers]]\ntype = "openai"\napi_key = "file:key"\n'
    assert blocks(write(f"```toml\n{text}headers = {{ x = '$SOMETHING' }}\n```\n")) == []


def test_python_must_compile(write):
    assert blocks(write("```python\ndef f(:\n```\n"))[0].startswith("no Python: line 1")


def test_a_block_in_a_list_is_read_without_its_indentation(write):
    page = write("1. one\n\n   ```python\n   if True:\n       pass\n   ```\n")
    assert page.blocks == (Block(3, "python", "if True:\n    pass\n"),)
    assert blocks(page) == []


def test_a_block_is_skipped_only_with_a_reason(write):
    assert blocks(write("<!-- docs: skip it is a part -->\n```toml\nx\n```\n")) == []
    assert blocks(write("<!-- docs: skip -->\n```toml\nx\n```\n")) == ["is skipped, and does not say why"]


@pytest.mark.parametrize(
    ("block", "runs"),
    [
        (Block(1, "sh", "curl localhost:8088/livez\n"), True),
        (Block(1, "console", "$ hoosh-trio models\n"), True),
        (Block(1, "sh", "pip install hoosh-trio\n"), False),
        (Block(1, "python", "import hoosh\n"), False),
        (Block(1, "python", "import hoosh\n", "run"), True),
        (Block(1, "sh", "curl localhost:8088/livez\n", "skip", "why"), False),
    ],
)
def test_what_asks_the_gateway_runs_unless_it_is_skipped(block: Block, runs: bool):
    assert is_to_run(block) is runs


def test_a_command_that_fails_is_told_with_its_place(write):
    page = write("```sh\ncurl localhost:8088/livez\n```\n\n```sh\ncurl localhost:8088/nowhere\n```\n")
    (wrong,) = run_page(page)
    assert "page.md:5: exits 22" in wrong


def test_the_reference_has_every_kind_of_key():
    text = reference()
    for row in (
        "| `port` | whole number, 0 to 65535 | 8088 | 0 takes any free port. |",
        '| `hedge_after_ms` | whole number, 1 or more, or `"p95"` |',
        '| `format` | one of `"auto"`, `"console"`, `"json"`, `"text"` | `"auto"` |',
        "| `api_key` | secret |",
        "| `targets` | list of texts | required |",
        "## `[[providers]]`",
        "### `[providers.timeouts]`",
    ):
        assert row in text
    assert "`origin`" not in text
