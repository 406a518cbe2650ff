"""A state as lines of text: the same state and size give the same frame.  rich draws (`drawing`).

Names come from anywhere, so they are neither markup nor commands of the terminal.  What is most needed stays when there
is little room: the title, the rates, the requests, the last line.
"""

from __future__ import annotations

import math

from rich.text import Text

from hoosh.cli.bench.report import shown_s
from hoosh.cli.costs import plain
from hoosh.cli.top.answers import Pool, Provider, Running
from hoosh.cli.top.drawing import Drawing, Look
from hoosh.cli.top.figures import Figures, Percentiles
from hoosh.cli.top.state import State, rows_of, selected_of

__all__ = ["Look", "frame"]

BAD = frozenset({"unhealthy", "offline", "open", "degraded", "error"})
DOUBTFUL = frozenset({"suspect", "half_open", "unknown", "disabled"})
HELP = (
    ("arrows, j k", "select a request; page up and down, home, end"),
    ("c or x", "cancel the selected request, after a question"),
    ("s", "sort by age, sent, model, key, provider, phase"),
    ("/", "show only requests that contain a text; Esc ends it"),
    ("p", "pause, and go on"),
    ("?", "this page"),
    ("q, Ctrl-C", "leave"),
)


def frame(state: State, look: Look) -> list[str]:
    """The lines of a frame, `look.height` of them unless that is 0, with escape sequences as `look` allows."""
    draw = Drawing(look)
    if state.mode == "help":
        body = [*draw.lines(_title(state)), "", *draw.table(("key", ""), [[Text(a), Text(b)] for a, b in HELP])]
        return draw.fitted(body, draw.lines(Text("any key goes back")))
    head = [*draw.lines(_title(state)), *_figures(draw, state.figures)]
    body = [] if state.figures is None else _sections(draw, state, len(head) + 1)
    return draw.fitted(head + body, draw.lines(_foot(state)) if look.height else [])


# -- the head and the foot ---------------------------------------------------------------------------------------------


def _title(state: State) -> Text:
    title = Text("hoosh", style="bold")
    figures = state.figures
    if figures is not None:
        title.append(f" {plain(figures.version)}")
        title.append(f" at {state.server}  ", style="")
        title.append(plain(figures.status), style=_style(figures.status) or "green")
        title.append(f"  {figures.clock}")
    else:
        title.append(f" at {state.server}")
    if state.is_paused:
        title.append("  paused", style="yellow")
    if state.trouble:
        title.append(f"  {plain(state.trouble)}", style="bold red")
    return title


def _foot(state: State) -> Text:
    if state.mode == "filter":
        return Text(f"show only: {state.filter}_   Enter keeps it, Esc shows all")
    if state.mode == "confirm":
        chosen = selected_of(state)
        who = "" if chosen is None else f" of {plain(chosen.key or '-')} ({plain(chosen.model or '-')})"
        return Text(f"cancel {plain(state.selected)}{who}?  y: yes, any other key: no", style="bold")
    if state.message:
        return Text(plain(state.message))
    shown = f"/ filter: {plain(state.filter)}" if state.filter else "/ filter"
    return Text(f"q quit  s sort: {state.sort}  {shown}  c cancel  p pause  ? help")


def _figures(draw: Drawing, figures: Figures | None) -> list[str]:
    if figures is None:
        return []
    about = f"last {max(figures.latency_window_s, 1):.0f} s" if figures.latency_window_s else "since it started"
    rates = [
        f"{_rate(figures.requests_per_s)} requests/s",
        f"{_rate(figures.completion_tokens_per_s)} tokens/s out",
        f"{_rate(figures.prompt_tokens_per_s)} in",
        f"{_count(figures.in_flight)} in flight",
        f"{_count(figures.connections)} clients",
        f"lag {shown_s(figures.lag_s)}",
    ]
    return [
        *draw.lines(Text("  ".join(rates))),
        *draw.lines(Text(f"latency      {_percentiles(figures.latency)}  ({about})")),
        *draw.lines(Text(f"first token  {_percentiles(figures.first_token)}")),
        *draw.lines(Text(f"{_queue(figures)}   {_cache(figures)}")),
    ]


def _percentiles(found: Percentiles | None) -> str:
    if found is None:
        return "-"
    named = (("p50", found.p50), ("p90", found.p90), ("p99", found.p99))
    return "  ".join(
        f"{name} {f'> {shown_s(found.longest_s)}' if math.isinf(value) else shown_s(value)}" for name, value in named
    )


def _queue(figures: Figures) -> str:
    queue = figures.queue
    if queue is None:
        return "queue " + _missing(figures, "queue")
    if queue.max_concurrent is None:
        return "queue: no limit"
    waits = f", longest {shown_s(queue.longest_wait_s)}" if queue.queued and queue.longest_wait_s else ""
    return f"queue {queue.queued} waiting{waits}, {queue.processing} of {queue.max_concurrent} running"


def _cache(figures: Figures) -> str:
    cache = figures.cache
    if cache is None:
        return "cache " + _missing(figures, "cache")
    if not cache.enabled:
        return "cache off"
    rate = "-" if cache.hit_rate is None else f"{cache.hit_rate:.0%}"
    return f"cache {rate} hits ({cache.hits + cache.shared} of {cache.hits + cache.shared + cache.misses})"


# -- the sections ------------------------------------------------------------------------------------------------------


def _sections(draw: Drawing, state: State, taken: int) -> list[str]:
    """Providers, budgets, errors, requests: as much of each as there is room for."""
    figures = state.figures
    assert figures is not None
    height = draw.look.height
    room = height - taken if height else 0
    above: list[str] = []
    for section, part in ((_providers, 3), (_pools, 5), (_troubles, 5)):
        lines = section(draw, figures)
        if lines:
            above += ["", *_cut(lines, max(room // part, 2) if height else 0)]
    if height:
        above = above[: max(room - 4, 0)]  # a few requests are always to be seen
    return [*above, "", *_requests(draw, state, room - len(above) - 1 if height else 0)]


def _cut(lines: list[str], room: int) -> list[str]:
    if not room or len(lines) <= room:
        return lines
    return [*lines[: room - 1], f"and {len(lines) - room + 1} more"]


def _providers(draw: Drawing, figures: Figures) -> list[str]:
    if figures.providers is None:
        return draw.lines(Text("providers " + _missing(figures, "providers")))
    heads = ("provider", "status", "heartbeat", "breakers", "in flight", "failures")
    return draw.table(heads, [_provider(each, figures) for each in figures.providers], right=2)


def _provider(provider: Provider, figures: Figures) -> list[Text]:
    pulse = figures.heartbeats.get(provider.provider, "-")
    states = [f"{'all' if model == '*' else plain(model)} {plain(word)}" for model, word in provider.breakers.items()]
    worst = "open" if "open" in provider.breakers.values() else "half_open" if states else ""
    return [
        Text(plain(provider.provider)),
        Text(plain(provider.status), style=_style(provider.status)),
        Text(plain(pulse), style=_style(pulse)),
        Text(", ".join(states[:3]) + (f" and {len(states) - 3} more" if len(states) > 3 else "") or "-", _style(worst)),
        Text(str(figures.provider_in_flight.get(provider.provider, 0))),
        Text(str(provider.consecutive_failures)),
    ]


def _pools(draw: Drawing, figures: Figures) -> list[str]:
    if figures.pools is None:
        return draw.lines(Text("budgets " + _missing(figures, "pools")))
    if not figures.pools:
        return []
    heads = ("budget", "unit", "used", "held", "available")
    return draw.table(heads, [_pool(pool) for pool in figures.pools], right=3)


def _pool(pool: Pool) -> list[Text]:
    def amount(number: int | None) -> str:
        if number is None:
            return "no end"
        return f"{number / 1e6:,.2f}".replace(",", " ") if pool.unit == "usd" else _thousands(number)

    is_empty = pool.available is not None and pool.available <= 0
    return [
        Text(plain(pool.name)),
        Text("USD" if pool.unit == "usd" else plain(pool.unit)),
        Text(amount(pool.used)),
        Text(amount(pool.reserved)),
        Text(amount(pool.available), style="red" if is_empty else ""),
    ]


def _troubles(draw: Drawing, figures: Figures) -> list[str]:
    if not figures.troubles:
        return []
    rows = [[Text(each.clock), Text(plain(each.words)), Text(str(each.count))] for each in figures.troubles]
    return draw.table(("errors", "", "times"), rows, right=1)


def _requests(draw: Drawing, state: State, room: int) -> list[str]:
    figures = state.figures
    assert figures is not None
    if figures.requests is None:
        return draw.lines(Text("requests " + _missing(figures, "requests")))
    rows = list(rows_of(state))
    if not rows:
        return draw.lines(Text("no request contains that" if figures.requests else "nothing runs"))
    first = 0
    if room:
        visible = max(room - 1, 1)
        first = min(max(state.place - visible // 2, 0), max(len(rows) - visible, 0))
        rows = rows[first : first + visible]
    heads = ("", "request", "phase", "key", "model", "provider", "sent", "age")
    return draw.table(heads, [_request(each, state) for each in rows], right=2)


def _request(request: Running, state: State) -> list[Text]:
    is_selected = request.id == state.selected
    names = (request.id, request.phase, request.key, request.model, request.provider)
    cells = [
        ">" if is_selected else " ",
        *(plain(name or "-") for name in names),
        _bytes(request.sent_bytes),
        f"{request.age_s:.1f} s",
    ]
    return [Text(cell, style="reverse" if is_selected else "") for cell in cells]


# -- words -------------------------------------------------------------------------------------------------------------


def _missing(figures: Figures, source: str) -> str:
    return f"not known: {plain(figures.missing.get(source, 'nobody says why'))}"


def _style(word: str) -> str:
    return "red" if word in BAD else "yellow" if word in DOUBTFUL else ""


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:,.1f}".replace(",", " ")


def _count(number: int | None) -> str:
    return "-" if number is None else _thousands(number)


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _bytes(count: int) -> str:
    if count < 10_000:
        return f"{count} B"
    return f"{count / 1024:.0f} KiB" if count < 10_000_000 else f"{count / 1024**2:.0f} MiB"
