"""What is asked of a transcription, and what comes of it.  Times are seconds from the beginning of the recording."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

__all__ = ["Segment", "Transcript", "TranscriptOptions", "Word", "join_pieces"]


class TranscriptOptions(Struct, frozen=True, kw_only=True):
    """Checked by the engine: see `languages.py` for what may stand in `language`."""

    language: str | None = None
    """Code or English name; None: the model finds out."""
    translate: bool = False
    """Into English."""
    prompt: str = ""
    """Words before the recording: names, spellings, style."""
    temperature: float = 0.0
    """From 0 to 1.  0: the likeliest words, and chance only where they make no sense."""
    words: bool = False
    """Times of single words."""


class Word(Struct, frozen=True):
    text: str
    start_s: float
    end_s: float


class Segment(Struct, frozen=True):
    """A sentence or so.  `text` keeps the blank before it, where its language puts one."""

    text: str
    start_s: float
    end_s: float
    tokens: tuple[int, ...] = ()
    avg_logprob: float | None = None
    """The mean of its tokens; None where it has none."""
    words: tuple[Word, ...] = ()
    """Where they were asked for."""


class Transcript(Struct, frozen=True):
    """A whole one."""

    language: str | None
    """A code: what was asked for, else what the model has found; None where it has heard nothing."""
    duration_s: float
    """Of the recording."""
    segments: tuple[Segment, ...]
    options: TranscriptOptions

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments).strip()

    @property
    def words(self) -> list[Word]:
        return [word for segment in self.segments for word in segment.words]


def join_pieces(pieces: Iterable[tuple[bytes, float, float]]) -> tuple[Word, ...]:
    """Words of the model's pieces, each with start and end in seconds.

    A piece may end in the middle of a character.  In writing with blanks a word begins with one; in writing without,
    each whole character or group of them stands alone.
    """
    whole: list[Word] = []
    rest, began_s = b"", 0.0
    for data, start_s, end_s in pieces:
        began_s = began_s if rest else start_s
        rest += data
        try:
            text = rest.decode()
        except UnicodeDecodeError as cut:
            if len(rest) - cut.start < 4 and cut.reason == "unexpected end of data":
                continue
            text = rest.decode("utf-8", "replace")
        whole.append(Word(text, began_s, end_s))
        rest = b""
    has_blanks = any(" " in word.text.strip() or word.text.startswith(" ") for word in whole)
    words: list[Word] = []
    for word in whole:
        if words and has_blanks and not word.text.startswith(" "):
            last = words[-1]
            words[-1] = Word(last.text + word.text.rstrip(), last.start_s, word.end_s)
        elif word.text.strip():
            words.append(Word(word.text.strip(), word.start_s, word.end_s))
    return tuple(words)
