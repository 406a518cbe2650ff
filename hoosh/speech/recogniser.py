"""whisper.cpp by its binding: one model, one transcription at a time.  For the child, which it may take down.

The binding's own `Model` class keeps the parameters of one call for the next, throws away the library's return code
and may download files; here each call gets new parameters, and an abort or a failure is seen.

A callback must not raise: there is C++ above it.

Sources: whisper.cpp 1.8, `include/whisper.h`; pywhispercpp 1.5, `src/main.cpp`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _pywhispercpp as native

from hoosh.speech.transcript import Segment, TranscriptOptions, join_pieces
from hoosh.speech.windows import Window

__all__ = ["LibraryFailed", "Recogniser"]

CARRIED_CHARACTERS = 200
"""Of the window before: so a sentence that was cut goes on as it began."""
HEAT_STEP = 0.2
"""The library's own: how much warmer it tries again what made no sense."""


class LibraryFailed(Exception):
    """The library gave up, and nobody had asked it to."""


class Recogniser:
    """Listens with the model at `path`."""

    def __init__(self, path: str, *, threads: int, is_aborted: Callable[[], bool]) -> None:
        """`is_aborted` is asked between steps of a window, from threads of the library."""
        self._threads = threads
        self._is_aborted = is_aborted
        self._model = native.whisper_init_from_file_with_params(path, native.whisper_context_default_params())
        # Where it could not be loaded there is nothing behind this object, and the process ends at the first question:
        # now, not in the middle of somebody's recording.
        self._end_token = native.whisper_token_eot(self._model)

    def listen(
        self,
        window: Window,
        options: TranscriptOptions,
        *,
        language: str | None,
        before: str,
        heard: Callable[[Segment], None],
    ) -> str | None:
        """Hand each segment to `heard`, as it comes.  The language: `language`, or what has been found.

        `before` is what was said in the window before.  Blocks; returns early once aborted.  Raises LibraryFailed.
        """
        params = self._params(options, language, before)

        def new_segments(_: object, count: int) -> None:
            total = native.whisper_full_n_segments(self._model)
            for number in range(total - count, total):
                heard(self._segment(number, window, with_words=options.words))

        native.assign_new_segment_callback(params, new_segments)
        native.assign_abort_callback(params, self._is_aborted)
        samples = window.padded()
        code = native.whisper_full(self._model, params, samples, len(samples))
        if self._is_aborted():
            return language
        if code:
            raise LibraryFailed(f"whisper.cpp failed with code {code}")
        return language or native.whisper_lang_str(native.whisper_full_lang_id(self._model))

    def _params(self, options: TranscriptOptions, language: str | None, before: str) -> Any:
        params = native.whisper_full_default_params(native.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
        params.n_threads = self._threads
        params.language = language or "auto"
        params.translate = options.translate
        params.no_context = True  # what it remembers may be another caller's
        prompt = f"{options.prompt} {before[-CARRIED_CHARACTERS:]}".replace("\0", " ")
        params.initial_prompt = prompt.strip()
        params.temperature = options.temperature
        params.temperature_inc = HEAT_STEP if options.temperature == 0 else 0.0
        params.token_timestamps = options.words
        params.print_progress = params.print_realtime = params.print_timestamps = params.print_special = False
        return params

    def _segment(self, number: int, window: Window, *, with_words: bool) -> Segment:
        model = self._model

        def at(hundredths: int) -> float:
            """Times reach beyond a window that is followed by silence."""
            return round(window.start_s + min(max(hundredths / 100, 0.0), window.length_s), 2)

        ids: list[int] = []
        logs: list[float] = []
        pieces: list[tuple[bytes, float, float]] = []
        for place in range(native.whisper_full_n_tokens(model, number)):
            token = native.whisper_full_get_token_data(model, number, place)
            ids.append(token.id)
            if token.id < self._end_token:
                logs.append(token.plog)
                pieces.append((native.whisper_token_to_bytes(model, token.id), at(token.t0), at(token.t1)))
        return Segment(
            native.whisper_full_get_segment_text(model, number).decode("utf-8", "replace"),
            at(native.whisper_full_get_segment_t0(model, number)),
            at(native.whisper_full_get_segment_t1(model, number)),
            tuple(ids),
            round(sum(logs) / len(logs), 6) if logs else None,
            join_pieces(pieces) if with_words else (),
        )
