"""All that a frame shows, and what a key does to it.  Pure: a state and a key in, a state and perhaps a wish out.

    normal ──/──▶ filter ──enter, esc──▶ normal
    normal ──c──▶ confirm ──y──▶ normal, with the wish to cancel      any other key: normal, without
    normal ──?──▶ help ──any key──▶ normal
    any ──ctrl-c──▶ the wish to leave        normal ──q──▶ the same

A request is selected by its id: it stays selected wherever it moves to, and when it has ended, whoever stands in its
place is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from hoosh.cli.top.answers import Running
from hoosh.cli.top.figures import Figures

__all__ = ["SORTS", "Cancel", "Leave", "Mode", "State", "Wish", "press", "rows_of", "selected_of", "with_figures"]

Mode = Literal["normal", "filter", "confirm", "help"]
PAGE = 10
FILTER_CHARS = 64

SORTS: Mapping[str, Callable[[Running], Any]] = {
    "age": lambda request: -request.age_s,
    "sent": lambda request: -request.sent_bytes,
    "model": lambda request: request.model or "",
    "key": lambda request: request.key or "",
    "provider": lambda request: request.provider or "",
    "phase": lambda request: request.phase,
}
"""The order of requests, by the word that the screen shows; `s` goes to the next."""


class Leave(Struct, frozen=True):
    is_interrupt: bool


class Cancel(Struct, frozen=True):
    id: str


Wish = Leave | Cancel


class State(Struct, frozen=True):
    server: str
    figures: Figures | None = None
    trouble: str = ""
    """Why there are no newer figures."""
    is_paused: bool = False
    mode: Mode = "normal"
    sort: str = "age"
    filter: str = ""
    selected: str | None = None
    place: int = 0
    """Where the selected request stands, or stood."""
    message: str = ""
    """What became of a wish."""


def rows_of(state: State) -> Sequence[Running]:
    """The requests that pass the filter, in order."""
    requests = state.figures.requests if state.figures is not None else None
    wanted = state.filter.casefold()
    found = [request for request in requests or () if not wanted or wanted in _words(request)]
    return sorted(found, key=lambda request: (SORTS[state.sort](request), request.id))


def selected_of(state: State) -> Running | None:
    return next((request for request in rows_of(state) if request.id == state.selected), None)


def with_figures(state: State, figures: Figures) -> State:
    """The state once newer figures have come."""
    return _settled(replace(state, figures=figures, trouble=""))


def press(state: State, key: str) -> tuple[State, Wish | None]:
    """The state after `key`, named as `strokes` names keys."""
    if key == "ctrl-c":
        return state, Leave(is_interrupt=True)
    match state.mode:
        case "filter":
            return _edit(state, key), None
        case "confirm":
            calm = replace(state, mode="normal")
            if key in ("y", "Y") and state.selected is not None:
                return replace(calm, message=f"cancelling {state.selected}"), Cancel(state.selected)
            return calm, None
        case "help":
            return replace(state, mode="normal"), None
    return _command(replace(state, message=""), key)


def _command(state: State, key: str) -> tuple[State, Wish | None]:
    match key:
        case "q":
            return state, Leave(is_interrupt=False)
        case "?" | "h":
            return replace(state, mode="help"), None
        case "p" | " ":
            return replace(state, is_paused=not state.is_paused), None
        case "s":
            names = list(SORTS)
            following = names[(names.index(state.sort) + 1) % len(names)]
            return _settled(replace(state, sort=following)), None
        case "/":
            return replace(state, mode="filter"), None
        case "esc":
            return _settled(replace(state, filter="")), None
        case "c" | "x":
            if selected_of(state) is None:
                return replace(state, message="no request is selected"), None
            return replace(state, mode="confirm"), None
    steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page-up": -PAGE, "page-down": PAGE}
    ends = {"home": 0, "end": len(rows_of(state)) - 1}
    if key in steps or key in ends:
        return _moved(state, ends.get(key, state.place + steps.get(key, 0))), None
    return state, None


def _edit(state: State, key: str) -> State:
    if key == "enter":
        return replace(state, mode="normal")
    if key == "esc":
        return _settled(replace(state, mode="normal", filter=""))
    if key == "backspace":
        return _settled(replace(state, filter=state.filter[:-1]))
    if len(key) == 1 and key.isprintable() and len(state.filter) < FILTER_CHARS:
        return _settled(replace(state, filter=state.filter + key))
    return state


def _moved(state: State, place: int) -> State:
    rows = rows_of(state)
    if not rows:
        return replace(state, selected=None, place=0)
    place = min(max(place, 0), len(rows) - 1)
    return replace(state, selected=rows[place].id, place=place)


def _settled(state: State) -> State:
    """The same request selected, wherever it stands now; while somebody is asked about it, no other one ever."""
    for place, request in enumerate(rows_of(state)):
        if request.id == state.selected:
            return replace(state, place=place)
    if state.mode == "confirm":
        return replace(_moved(state, state.place), mode="normal", message=f"{state.selected} has ended")
    return _moved(state, state.place)


def _words(request: Running) -> str:
    names = (request.id, request.phase, request.key, request.pool, request.model, request.provider)
    return " ".join(name for name in names if name).casefold()
