"""docs/dialects.md says what the dialects do today."""

from __future__ import annotations

from dialect_table import DOCUMENT, document


def test_the_table_in_the_documentation_is_true():
    assert DOCUMENT.read_text() == document(), "run `python tests/matrix/dialect_table.py --write`"
