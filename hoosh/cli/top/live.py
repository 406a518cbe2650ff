"""The tasks of `top`: one asks, one reads keys, one hears signals, one draws what has changed.

ask ──figures──▶ ┐                         q, Ctrl-C, SIGTERM, a terminal that is gone
keys ──press──▶  ├──▶ state ──▶ draw       ──▶ the nursery is cancelled, the terminal restored
signals ──────▶  ┘
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys

import msgspec
import trio
from msgspec.structs import replace

from hoosh.cli.failure import Failure
from hoosh.cli.place import place_of
from hoosh.cli.running import run_trio
from hoosh.cli.top.figures import Figures, History
from hoosh.cli.top.state import Cancel, Leave, State, press, with_figures
from hoosh.cli.top.strokes import KeyDecoder
from hoosh.cli.top.terminal import Terminal, is_terminal
from hoosh.cli.top.watcher import NotReachable, Watcher

__all__ = ["top"]

ESC_WITHIN_S = 0.05
"""What follows an ESC within this is part of it."""
REST_S = 0.03
"""Between two frames."""
INTERRUPTED = 130
NO_RICH = "top draws with rich, which is not installed: pip install 'hoosh-trio[top]' (--json works without)"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH, signal.SIGCONT)


def top(arguments: argparse.Namespace) -> int:
    """Show it until somebody leaves.  Raises Failure."""
    if not arguments.json:
        try:
            import hoosh.cli.top.screen  # noqa: F401  # found out before the screen is taken
        except ImportError:
            raise Failure(NO_RICH) from None
    watcher = Watcher(place_of(arguments))
    failure: Failure | None = None
    code = 0

    async def main() -> Figures | None:
        """The figures to print, where there is no screen to draw them on."""
        nonlocal failure, code
        last: Figures | None = None
        async with trio.open_nursery() as nursery:
            await nursery.start(watcher.run)
            try:
                first = await watcher.read()
                history = History()
                figures = history.add(first)
                if arguments.json or arguments.once or not is_terminal():
                    await trio.sleep(arguments.every)
                    last = history.add(await watcher.read())
                else:
                    code = await _watch(watcher, history, figures, arguments.every)
            except NotReachable as error:
                failure = Failure(_unreachable(watcher.place.shown, error))
            except Failure as error:
                failure = error
            nursery.cancel_scope.cancel(reason="top is over")
        return last

    figures = run_trio(main)
    if failure is not None:
        raise failure
    if figures is not None:
        _print_once(watcher, figures, as_json=arguments.json)
    return code


def _unreachable(shown: str, error: NotReachable) -> str:
    return f"no gateway answers at {shown} ({error}); is it running? start it with `hoosh-trio serve`"


def _print_once(watcher: Watcher, figures: Figures, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(figures).decode())  # what is infinite becomes null
        return
    from hoosh.cli.top.screen import Look, frame

    size = shutil.get_terminal_size()
    look = Look(width=size.columns, height=0, has_unicode=_is_unicode(sys.stdout.encoding))
    print("\n".join(frame(State(watcher.place.shown, figures), look)))


def _is_unicode(encoding: str | None) -> bool:
    return (encoding or "").lower().replace("-", "").startswith("utf")


async def _watch(watcher: Watcher, history: History, figures: Figures, every_s: float) -> int:
    with trio.open_signal_receiver(*SIGNALS) as signals, Terminal() as terminal:
        live = _Live(watcher, history, terminal, with_figures(State(watcher.place.shown), figures))
        async with trio.open_nursery() as nursery:
            live.nursery = nursery
            nursery.start_soon(live.ask, every_s)
            nursery.start_soon(live.keys)
            nursery.start_soon(live.draw)
            async for number in signals:
                if live.hear(signal.Signals(number)):
                    break
        return live.code


class _Live:
    """The state, and the tasks that change or show it."""

    nursery: trio.Nursery

    def __init__(self, watcher: Watcher, history: History, terminal: Terminal, state: State) -> None:
        self.code = 0
        self._watcher = watcher
        self._history = history
        self._terminal = terminal
        self._state = state
        self._has_changed = trio.Event()
        self._has_changed.set()

    def change(self, state: State) -> None:
        self._state = state
        self._has_changed.set()

    def leave(self, code: int) -> None:
        self.code = code
        self.nursery.cancel_scope.cancel(reason="somebody has left")

    def hear(self, number: signal.Signals) -> bool:
        """What a signal does; True when it ends us."""
        if number is signal.SIGWINCH:
            self.change(self._state)
            return False
        if number is signal.SIGCONT:  # whoever stopped us has had the terminal meanwhile
            self._terminal.take()
            self.change(self._state)
            return False
        self.leave(128 + number)
        return True

    async def ask(self, every_s: float) -> None:
        """Ask for figures for ever; while it is paused, do not."""
        while True:
            await trio.sleep(every_s)
            if self._state.is_paused:
                continue
            try:
                reading = await self._watcher.read()
            except (NotReachable, Failure) as error:
                # Also a wrong key, here: a gateway may be started anew with other keys, and again with ours.
                words = f"not reachable: {error}" if isinstance(error, NotReachable) else str(error)
                self.change(replace(self._state, trouble=words))
            else:
                self.change(with_figures(self._state, self._history.add(reading)))

    async def keys(self) -> None:
        decoder = KeyDecoder()
        while data := await self._terminal.read():
            keys = decoder.feed(data)
            if decoder.is_pending:
                more = b""
                with trio.move_on_after(ESC_WITHIN_S):
                    more = await self._terminal.read()
                keys += decoder.feed(more) if more else decoder.flush()
            for key in keys:
                self._press(key)
        self.leave(1)

    def _press(self, key: str) -> None:
        state, wish = press(self._state, key)
        self.change(state)
        match wish:
            case Leave(is_interrupt=is_interrupt):
                self.leave(INTERRUPTED if is_interrupt else 0)
            case Cancel(id=identity):
                self.nursery.start_soon(self._cancel, identity)

    async def _cancel(self, identity: str) -> None:
        message = await self._watcher.cancel(identity)
        self.change(replace(self._state, message=message))

    async def draw(self) -> None:
        """Draw what has changed, not more often than anybody can see."""
        from hoosh.cli.top.screen import Look, frame

        wants_color = not os.environ.get("NO_COLOR")  # no-color.org
        while True:
            await self._has_changed.wait()
            self._has_changed = trio.Event()
            width, height = self._terminal.size()
            look = Look(
                width=width,
                height=height,
                has_color=wants_color,
                has_attributes=True,
                has_unicode=_is_unicode(self._terminal.encoding),
            )
            await self._terminal.draw(frame(self._state, look))
            await trio.sleep(REST_S)
