"""Through the windows of one recording, in order: what is learnt in one helps with the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hoosh.speech.transcript import Segment, TranscriptOptions
from hoosh.speech.windows import Window

__all__ = ["Hears", "Listener"]


class Hears(Protocol):
    def listen(
        self,
        window: Window,
        options: TranscriptOptions,
        *,
        language: str | None,
        before: str,
        heard: Callable[[Segment], None],
    ) -> str | None:
        """Hand on the segments of `window`; the language that it was."""
        ...


class Listener:
    """The language is found once, in the first window in which something is to be heard."""

    def __init__(
        self,
        recogniser: Hears,
        options: TranscriptOptions,
        *,
        heard: Callable[[Segment], None],
        reached: Callable[[float, str | None], None],
    ) -> None:
        """`heard` gets each segment, `reached` the second until which all is done, and the language."""
        self._recogniser = recogniser
        self._options = options
        self._heard = heard
        self._reached = reached
        self._before = ""
        self.language = options.language
        self.at_s = 0.0

    def listen(self, window: Window) -> None:
        """What was said in the window right before it is its prompt; after a silent one nothing is."""
        said: list[str] = []

        def heard(segment: Segment) -> None:
            said.append(segment.text)
            self._heard(segment)

        if not window.is_silent:
            self.language = self._recogniser.listen(
                window, self._options, language=self.language, before=self._before, heard=heard
            )
        self._before = "".join(said)
        self.at_s = window.start_s + window.length_s
        self._reached(round(self.at_s, 3), self.language)
