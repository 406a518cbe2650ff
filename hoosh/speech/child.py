"""One child process, from the gateway's side.

    STARTING ──Loaded──▶ READY ──begin──▶ BUSY ──Ended, Stopped, Failed──▶ READY
        └────────────────┴── Failed (model), died, `kill` ──┴──▶ GONE

`run` is its life, a task of the engine's.  While it is STARTING that task reads what it says, afterwards whoever has
been lent it; between two requests it says nothing.  It gets no secrets: of the environment only what is named here.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import trio

from hoosh.errors import HooshError, Unavailable
from hoosh.speech.faults import TranscriberDied, error_of, how_it_ended
from hoosh.speech.frames import (
    TOLD,
    Abort,
    Begin,
    BrokenFrame,
    Ended,
    Failed,
    FrameDecoder,
    Load,
    Loaded,
    Order,
    Progress,
    Stopped,
    Told,
    frame,
)
from hoosh.speech.models import ModelFile

__all__ = ["Child"]

READ_BYTES = 64 * 1024
SAID_BYTES = 4096
"""Of stderr, so much is kept."""
LOAD_S = 120.0
"""A model of some GB on a slow disk takes a minute; one on a disk that is gone takes for ever."""
REAP_S = 5.0
LAST_WORDS_S = 0.5
PASSED_ON = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONHOME", "LD_LIBRARY_PATH"})
PASSED_ON_PREFIXES = ("CUDA_", "NVIDIA_", "GGML_", "HIP_", "ROCR_", "HSA_", "VK_", "DYLD_")

log = logging.getLogger("hoosh.speech")


class Child:
    """A process with `model` in its memory, or on its way there."""

    def __init__(self, model: ModelFile, *, threads: int) -> None:
        self.model = model
        self.threads = threads
        self.is_lent = False
        self.idle_since = trio.current_time()
        self.rss_bytes = 0
        """As it has said last."""
        self.is_gone = False
        """It is not to be used any more; its process may need a moment to end."""
        self._process: trio.Process | None = None
        self._frames = FrameDecoder(TOLD)
        self._told: deque[Told] = deque()
        self._said = bytearray()
        self._ready = trio.Event()
        self._over = trio.Event()
        self._error: HooshError | None = None
        """Why it never became ready."""

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def has_ended(self) -> bool:
        """The process is over, or about to be: looked at now, not when somebody notices."""
        return self.is_gone or (self._process is not None and self._process.poll() is not None)

    @property
    def last_words(self) -> str:
        """The end of what it has written to stderr: for the log."""
        return self._said.decode("utf-8", "replace")

    @property
    def memory_bytes(self) -> int:
        return max(self.rss_bytes, self.model.memory_bytes)

    # -- for the engine --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start, load, live until it ends.  Raises nothing but cancellation; the process ends with it."""
        try:
            self._process = process = await _open()
            if self.is_gone:  # nobody waited for it
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen_to_errors, process)
                await self._live(process)
                nursery.cancel_scope.deadline = trio.current_time() + LAST_WORDS_S
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self._error = Unavailable(f"No process for the transcription could be started: {reason}.")
        finally:
            self._end()
            await self._reap()

    def kill(self) -> None:
        """At once; whoever has been lent it is told so by its next word."""
        self.is_gone = True
        if self._process is not None:
            self._process.kill()

    # -- for whoever has been lent it ------------------------------------------------------------------------------

    async def wait_ready(self) -> None:
        """Until the model is loaded.  Raises Unavailable where it cannot be, TranscriberDied."""
        await self._ready.wait()
        if self._error is not None:
            raise self._error
        if self.is_gone:
            raise self._death()

    async def begin(self, order: Begin) -> None:
        """Raises TranscriberDied."""
        await self._send(order)

    async def receive(self) -> Told:
        """Waits for what it says next.  Raises TranscriberDied."""
        while not self._told:
            data = await self._read()
            try:
                self._told.extend(self._frames.feed(data))
            except BrokenFrame as broken:
                self.kill()
                raise TranscriberDied("The transcription failed.", said=str(broken)) from None
        told = self._told.popleft()
        if isinstance(told, Loaded | Progress | Ended):
            self.rss_bytes = told.rss_bytes
        return told

    async def stop(self, *, within_s: float) -> bool:
        """Abort what it does, and wait until it has stopped; it is killed where it has not within `within_s`.

        Shielded, for so long: whoever comes next must find it idle or gone.  False where it was killed.
        """
        with trio.move_on_after(within_s, shield=True):
            try:
                await self._send(Abort())
                while not isinstance(await self.receive(), Ended | Stopped | Failed):
                    pass
            except TranscriberDied:
                pass
            else:
                return True
        self.kill()
        return False

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _live(self, process: trio.Process) -> None:
        try:
            with trio.fail_after(LOAD_S):
                await self._load()
        except trio.TooSlowError:
            message = f"The whisper model `{self.model.name}` was not loaded within {LOAD_S:g} seconds."
            self._error = Unavailable(message, code="model_broken")
            process.kill()
        except HooshError as error:
            self._error = error
            process.kill()
        await process.wait()
        self.is_gone = True

    async def _load(self) -> None:
        """Raises HooshError."""
        model = self.model
        try:
            await self._send(Load(model.path, self.threads))
            told = await self.receive()
        except TranscriberDied as died:
            message = f"The whisper model `{model.name}` cannot be loaded."
            log.error("the whisper model `%s` cannot be loaded: %s", model.name, died.said)
            raise Unavailable(message, code="model_broken") from None
        if isinstance(told, Failed):
            raise error_of(told)
        self._ready.set()

    async def _send(self, order: Order) -> None:
        process = self._process
        if process is None or process.stdin is None or self.is_gone:
            raise self._death()
        try:
            await process.stdin.send_all(frame(order))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise await self._wait_death() from None
        except trio.Cancelled:
            self.kill()  # half of an order may be on its way
            raise

    async def _read(self) -> bytes:
        process = self._process
        if process is None or process.stdout is None:
            raise self._death()
        try:
            data = await process.stdout.receive_some(READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            raise await self._wait_death()
        return bytes(data)

    async def _listen_to_errors(self, process: trio.Process) -> None:
        if process.stderr is None:
            return
        async for data in process.stderr:
            self._said += data
            del self._said[:-SAID_BYTES]

    async def _wait_death(self) -> TranscriberDied:
        """It says nothing any more: how has it ended?"""
        if self._ready.is_set():
            with trio.move_on_after(LAST_WORDS_S):
                await self._over.wait()
        elif self._process is not None:  # `run` itself asks
            with trio.move_on_after(LAST_WORDS_S):
                await self._process.wait()
        return self._death()

    def _death(self) -> TranscriberDied:
        code = None if self._process is None else self._process.returncode
        message = f"The process that transcribed has ended ({how_it_ended(code)}); a new one takes its place."
        return TranscriberDied(message, said=self.last_words)

    def _end(self) -> None:
        self.is_gone = True
        self._ready.set()
        if self._process is not None:
            self._process.kill()

    async def _reap(self) -> None:
        process = self._process
        if process is not None:
            with trio.move_on_after(REAP_S, shield=True):
                await process.wait()
            with trio.CancelScope(shield=True):
                for pipe in (process.stdin, process.stdout, process.stderr):
                    if pipe is not None:
                        await trio.aclose_forcefully(pipe)
        self._over.set()


async def _open() -> trio.Process:
    """Raises OSError."""
    command = [sys.executable, "-P", "-m", "hoosh.speech.worker"]
    return await trio.lowlevel.open_process(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(os.environ),
        start_new_session=True,  # a Ctrl-C in the terminal is for the gateway
    )


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    passed = {name: own[name] for name in own if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)}
    home = str(Path(__file__).parents[2])
    passed["PYTHONPATH"] = os.pathsep.join([home, *filter(None, own.get("PYTHONPATH", "").split(os.pathsep))])
    # Threads of the library that wait must sleep: the cores are the event loop's, too.
    passed["OMP_WAIT_POLICY"] = "passive"
    return passed
