"""Pieces of text as lines that fit a terminal, with no more than that terminal can show: what we use of rich."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["Drawing", "Look"]

LEAST_COLUMNS = 20
SIGNS = str.maketrans({"…": "~", "–": "-", "·": "-"})


class Look(Struct, frozen=True):
    """What the terminal can do.  `height` 0: as many lines as there are to show."""

    width: int = 80
    height: int = 24
    has_color: bool = False
    has_attributes: bool = False
    """Bold and reverse, also where somebody wants no colour."""
    has_unicode: bool = True


class Drawing:
    """Renders pieces to lines of the right width."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self._console = Console(
            width=max(look.width, LEAST_COLUMNS),
            height=100,
            force_terminal=look.has_attributes,
            color_system="standard" if look.has_attributes else None,
            no_color=not look.has_color,
            legacy_windows=False,
            highlight=False,
            markup=False,
            emoji=False,
            _environ={},
        )

    def lines(self, piece: RenderableType) -> list[str]:
        with self._console.capture() as captured:
            self._console.print(piece, no_wrap=True, overflow="ellipsis", crop=True)
        text = captured.get().removesuffix("\n")
        if not self.look.has_unicode:
            text = text.translate(SIGNS).encode("ascii", "replace").decode()
        return [line.rstrip() for line in text.split("\n")]

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[Text]], *, right: int = 0) -> list[str]:
        """Aligned columns, the last `right` of them to the right."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
        for place, head in enumerate(heads):
            justify = "right" if place >= len(heads) - right else "left"
            table.add_column(head, justify=justify, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
        for row in rows:
            table.add_row(*row)
        return self.lines(table)

    def fitted(self, lines: Sequence[str], foot: Sequence[str]) -> list[str]:
        height = self.look.height
        if not height:
            return [*lines, *foot]
        room = max(height - len(foot), 0)
        shown = list(lines[:room])
        return [*shown, *[""] * (room - len(shown)), *foot][:height]
