"""Transcription in child processes: so many slots, a model in each, loaded when it is first used.

    request ──▶ a slot, or its turn ──▶ a child with its model ──▶ segments, as they come ──▶ slot and child given back
                   └ QueueFull             └ idle, or new where an idle one of another model makes room

At any time children ≤ slots, and a child does one thing.  A client that leaves gives its slot back within `abort_ms`:
its child has stopped by then, or is killed.  A child that dies takes one transcription with it; the next has a new one.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import trio
from msgspec.structs import replace

from hoosh.errors import InvalidRequest, QueueFull, Unavailable
from hoosh.speech.child import Child
from hoosh.speech.faults import TranscriberDied, check_libraries
from hoosh.speech.frames import Begin
from hoosh.speech.languages import language_code
from hoosh.speech.models import ModelFile, ModelShelf
from hoosh.speech.settings import Whisper
from hoosh.speech.statistics import LoadedModel, SpeechStatistics
from hoosh.speech.transcript import TranscriptOptions
from hoosh.speech.transcription import Transcription

__all__ = ["SpeechEngine"]

MOST_THREADS = 8
"""More make whisper.cpp hardly faster."""
PROMPT_CHARACTERS = 4_000
"""More than the library looks at: the last 224 tokens."""
RETRY_AFTER_S = (1.0, 5.0)
"""The least and the most that is told: until then nobody is sent here, though a place may be free at any moment."""
PLAIN = TranscriptOptions()
FADE = 0.2
"""How much the newest transcription counts for how long one takes."""

log = logging.getLogger("hoosh.speech")


class SpeechEngine:
    """The pool of children.  `run` is its service: without it there is no transcription."""

    def __init__(self, settings: Whisper) -> None:
        self._children: list[Child] = []
        self._nursery: trio.Nursery | None = None
        self._bell = trio.Event()
        """Rung when there may be something to unload."""
        self._looking = trio.CapacityLimiter(1)
        self._slots = trio.CapacityLimiter(settings.slots)
        self._usual_s = RETRY_AFTER_S[0]
        self._begun = self._ended = self._aborted = self._killed = self._died = 0
        self._audio_s = 0.0
        self._apply(settings)

    def configure(self, settings: Whisper) -> None:
        """For transcriptions that begin from now on.  Where it is another, idle models go; busy ones end first."""
        if settings == self._settings:
            return
        self._apply(settings)
        for child in self._idle():
            child.kill()
        self._bell.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Mind the children until cancelled; they end with it.  Ready at once: models are loaded when they are used."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                while True:
                    with trio.move_on_at(self._next_unload()):
                        await self._bell.wait()
                    self._bell = trio.Event()
                    self._unload(trio.current_time())
        finally:
            self._nursery = None
        raise AssertionError("the loop has no end")

    async def names(self) -> list[str]:
        """Models that requests may name.  Looks at a folder, in a thread."""
        return await trio.to_thread.run_sync(self._shelf.names, limiter=self._looking, abandon_on_cancel=True)

    async def find(self, model: str | None = None) -> ModelFile:
        """The model of this name, or the configured one: can it be used at all?  Looks at its file, in a thread.

        Raises NoRoute where there is none of this name, Unavailable where none is configured, its file is missing or
        broken, or the libraries are not installed.
        """
        return await trio.to_thread.run_sync(self._find, model, limiter=self._looking, abandon_on_cancel=True)

    @property
    def has_usual_model(self) -> bool:
        """One is configured, for requests that name none."""
        return self._settings.model is not None

    async def check(self) -> None:
        """Can anything be transcribed?  Looks at files, in a thread; raises as `find`."""
        names = [] if self.has_usual_model else await self.names()
        await self.find(names[0] if names else None)

    @asynccontextmanager
    async def transcribe(
        self, path: str | os.PathLike[str], options: TranscriptOptions = PLAIN, *, model: str | None = None
    ) -> AsyncIterator[Transcription]:
        """Listen to the sound file at `path`; leaving the block ends it.  `model` None is the configured one.

        Another process opens the file: it must have a name until the block is left, and its owner's rights are enough.

        Waits for a slot and for the model.  Raises, here or on the way: NoRoute (no such model), InvalidRequest and
        UnsupportedMedia (the file, the options), QueueFull, Unavailable (no model, a broken one, no memory for it, no
        libraries, or the house is closing), TranscriberDied.
        """
        found = await self.find(model)
        options = _checked(options, found)
        async with self._slot():
            child = self._lend(found)
            settings = self._settings
            transcription = Transcription(child, options, settings.memory_bytes)
            try:
                await child.wait_ready()
                await child.begin(Begin(os.fspath(path), options, settings.max_audio_s))
                transcription.is_running = True
                self._begun += 1
                yield transcription
            except TranscriberDied as error:
                log.error("a transcription died: %s", error.said)
                raise
            finally:
                await self._settle(transcription, child, settings.abort_ms / 1000)

    def statistics(self) -> SpeechStatistics:
        slots = self._slots.statistics()
        now_s = trio.current_time()
        loaded = tuple(
            LoadedModel(
                child.model.name,
                child.pid,
                child.threads,
                child.is_lent,
                0.0 if child.is_lent else now_s - child.idle_since,
                child.memory_bytes,
            )
            for child in self._living()
        )
        return SpeechStatistics(
            int(slots.total_tokens),
            slots.borrowed_tokens,
            slots.tasks_waiting,
            loaded,
            self._begun,
            self._ended,
            self._aborted,
            self._killed,
            self._died,
            self._audio_s,
        )

    # -- a request's turn ------------------------------------------------------------------------------------------

    def _apply(self, settings: Whisper) -> None:
        self._settings = settings
        self._shelf = ModelShelf(settings)
        self._slots.total_tokens = settings.slots
        self._threads = settings.threads or _threads_for(settings.slots)

    def _find(self, name: str | None) -> ModelFile:
        check_libraries()
        return self._shelf.find(name)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """First come, first served.  Raises QueueFull."""
        slots = self._slots.statistics()
        if slots.borrowed_tokens >= slots.total_tokens and slots.tasks_waiting >= self._settings.max_waiting:
            busy = f"Recordings being transcribed: {slots.borrowed_tokens}; waiting: {slots.tasks_waiting}"
            raise QueueFull(f"{busy}, and no more may.", retry_after_s=self._next_place_s())
        place = object()
        await self._slots.acquire_on_behalf_of(place)
        began_s = trio.current_time()
        try:
            yield
        finally:
            self._usual_s += FADE * (trio.current_time() - began_s - self._usual_s)
            self._slots.release_on_behalf_of(place)

    def _next_place_s(self) -> float:
        """When one of those at work will have ended, about."""
        least, most = RETRY_AFTER_S
        return min(max(self._usual_s / self._settings.slots, least), most)

    def _lend(self, model: ModelFile) -> Child:
        """A child for whoever holds a slot.  Raises Unavailable, QueueFull."""
        if self._nursery is None:
            raise Unavailable("The gateway is not transcribing.")
        child = next((child for child in self._idle() if child.model == model and child.threads == self._threads), None)
        if child is None:
            self._make_room(model)
            child = Child(model, threads=self._threads)
            self._children.append(child)
            self._nursery.start_soon(self._mind, child)
        child.is_lent = True
        return child

    def _make_room(self, model: ModelFile) -> None:
        """Unload idle models, the longest idle first, as far as this one needs it.  Raises Unavailable, QueueFull."""
        ceiling = self._settings.memory_bytes
        if model.memory_bytes > ceiling:
            message = f"The whisper model `{model.name}` needs about {model.memory_bytes} bytes of memory"
            raise Unavailable(f"{message}, and [whisper] memory_bytes allows {ceiling}.", code="model_too_large")
        idle = sorted(self._idle(), key=lambda child: child.idle_since)
        while not self._has_room(model):
            if not idle:
                message = f"There is no memory for the whisper model `{model.name}` beside those at work."
                raise QueueFull(message, retry_after_s=self._next_place_s())
            idle.pop(0).kill()

    def _has_room(self, model: ModelFile) -> bool:
        living = self._living()
        held_bytes = sum(child.memory_bytes for child in living)
        return len(living) < self._settings.slots and held_bytes + model.memory_bytes <= self._settings.memory_bytes

    async def _settle(self, transcription: Transcription, child: Child, within_s: float) -> None:
        """Give the child back: idle or gone."""
        if transcription.is_over:
            self._ended += 1
            self._audio_s += transcription.heard_s
        elif transcription.is_running and child.has_ended:
            self._died += 1
        elif transcription.is_running:
            self._aborted += 1
            self._killed += not await child.stop(within_s=within_s)
        child.is_lent = False
        child.idle_since = trio.current_time()
        if child.threads != self._threads:
            child.kill()
        self._bell.set()

    # -- children --------------------------------------------------------------------------------------------------

    async def _mind(self, child: Child) -> None:
        try:
            await child.run()
        except Exception as bug:
            log.error("a child's life ended in a bug", exc_info=bug)
        finally:
            self._children.remove(child)

    def _living(self) -> list[Child]:
        return [child for child in self._children if not child.has_ended]

    def _idle(self) -> list[Child]:
        return [child for child in self._living() if not child.is_lent]

    def _next_unload(self) -> float:
        idle_s = self._settings.idle_unload_s
        return min((child.idle_since + idle_s for child in self._idle()), default=math.inf) if idle_s else math.inf

    def _unload(self, now_s: float) -> None:
        idle_s = self._settings.idle_unload_s
        for child in self._idle():
            if idle_s and child.idle_since + idle_s <= now_s:
                child.kill()


def _threads_for(slots: int) -> int:
    """One core stays with the event loop."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_THREADS, (cores - 1) // slots))


def _checked(options: TranscriptOptions, model: ModelFile) -> TranscriptOptions:
    """With the language as a code.  Raises InvalidRequest."""
    language = language_code(options.language)
    if not 0 <= options.temperature <= 1:
        raise InvalidRequest("temperature must lie between 0 and 1.", param="temperature")
    if not model.is_multilingual:
        if language not in (None, "en") or options.translate:
            message = f"The model `{model.name}` only understands English."
            raise InvalidRequest(message, param="language", code="unsupported_language")
        language = "en"
    prompt = options.prompt[-PROMPT_CHARACTERS:].encode("utf-8", "replace").decode()
    return replace(options, language=language, prompt=prompt)
