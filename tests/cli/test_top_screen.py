"""What `top` shows and what keys do: states in, frames out, no terminal."""

from __future__ import annotations

import json
import math
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hoosh.cli import main
from hoosh.cli.top.answers import Cache, Pool, Provider, Queue, Running
from hoosh.cli.top.figures import Figures, Percentiles, Trouble
from hoosh.cli.top.screen import Look, frame
from hoosh.cli.top.state import SORTS, Cancel, Leave, State, press, rows_of, selected_of, with_figures
from hoosh.cli.top.strokes import KeyDecoder


def running(number: int, **facts: object) -> Running:
    known = {"key": "ada", "pool": "team", "model": "gpt-4o", "provider": "openai", "attempts": 1, "sent_bytes": 2048}
    return Running(id=f"req_{number}", age_s=10.0 - number, **{"phase": "streaming", **known, **facts})  # type: ignore[arg-type]


FIGURES = Figures(
    "12:01:07",
    "ok",
    "0.1.0",
    window_s=10.0,
    requests_per_s=12.34,
    prompt_tokens_per_s=345.0,
    completion_tokens_per_s=1234.5,
    latency=Percentiles(0.12, 1.5, math.inf, 60.0),
    latency_window_s=10.0,
    in_flight=3,
    connections=1200,
    lag_s=0.0005,
    queue=Queue(7, 64, 64, 12.5),
    cache=Cache(9, hits=3, misses=1, hit_rate=0.75),
    providers=(Provider("openai", "unhealthy", {"*": "open"}, 3), Provider("azure", "healthy")),
    heartbeats={"openai": "suspect", "azure": "online"},
    provider_in_flight={"openai": 2},
    pools=(Pool("team", 10_000, 9_000, 500, 500), Pool("money", 5_000_000, 1_250_000, 0, 3_750_000, "usd")),
    troubles=(Trouble("12:01:05", "openai attempt: 503", 3),),
    requests=(running(1), running(2, model="evil\x1b[2J[red]x", key=None), running(3, phase="queued", sent_bytes=0)),
    requests_total=3,
)
STATE = with_figures(State("http://127.0.0.1:8088"), FIGURES)


def pressed(state: State, *keys: str) -> State:
    for key in keys:
        state, _ = press(state, key)
    return state


# -- frames ------------------------------------------------------------------------------------------


def test_a_frame():
    assert frame(STATE, Look(width=90, height=24)) == [
        "hoosh 0.1.0 at http://127.0.0.1:8088  ok  12:01:07",
        "12.3 requests/s  1 234.5 tokens/s out  345.0 in  3 in flight  1 200 clients  lag 500 us",
        "latency      p50 120.0 ms  p90 1.50 s  p99 > 60.00 s  (last 10 s)",
        "first token  -",
        "queue 7 waiting, longest 12.50 s, 64 of 64 running   cache 75% hits (3 of 4)",
        "",
        "provider  status     heartbeat  breakers  in flight  failures",
        "openai    unhealthy  suspect    all open          2         3",
        "azure     healthy    online     -                 0         0",
        "",
        "budget  unit     used  held  available",
        "team    tokens  9 000   500        500",
        "money   USD      1.25  0.00       3.75",
        "",
        "errors                         times",
        "12:01:05  openai attempt: 503      3",
        "",
        "   request  phase      key  model           provider    sent    age",
        ">  req_1    streaming  ada  gpt-4o          openai    2048 B  9.0 s",
        "   req_2    streaming  -    evil?[2J[red]x  openai    2048 B  8.0 s",
        "   req_3    queued     ada  gpt-4o          openai       0 B  7.0 s",
        "",
        "",
        "q quit  s sort: age  / filter  c cancel  p pause  ? help",
    ]


def test_the_same_state_gives_the_same_frame():
    look = Look(has_color=True, has_attributes=True)
    assert frame(STATE, look) == frame(STATE, look)


def visible(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


@settings(max_examples=20)
@given(st.integers(1, 200), st.integers(1, 80), st.booleans(), st.sampled_from(["normal", "help", "confirm", "filter"]))
def test_a_frame_fits_every_terminal(width, height, colored, mode):
    many = replace(FIGURES, requests=tuple(running(number) for number in range(60)))
    state = pressed(replace(STATE, figures=many, mode=mode), "end")
    lines = frame(state, Look(width, height, has_color=colored, has_attributes=colored))
    assert len(lines) == height
    assert all(len(visible(line)) <= max(width, 20) for line in lines)


def test_the_selected_request_is_in_sight_however_many_there_are():
    many = replace(FIGURES, requests=tuple(running(number) for number in range(60)))
    state = with_figures(STATE, many)
    for _ in range(12):
        lines = frame(state, Look(90, 24))
        assert any(line.startswith(f">  {state.selected} ") for line in lines), state.selected
        state = pressed(state, *["down"] * 5)


def test_without_unicode_and_without_attributes_a_frame_is_plain_ascii():
    long = replace(FIGURES, requests=(running(1, model="ü" * 80),))
    text = "\n".join(frame(with_figures(STATE, long), Look(60, 24, has_unicode=False)))
    assert text.isascii()
    assert "\x1b" not in text


def test_no_color_keeps_bold_and_reverse():
    plain = "\n".join(frame(STATE, Look(90, 24, has_attributes=True)))
    colored = "\n".join(frame(STATE, Look(90, 24, has_attributes=True, has_color=True)))
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", plain) for code in found.split(";")}
    assert codes <= {"0", "1", "7"}
    assert "7" in codes
    assert re.search(r"\x1b\[[0-9;]*31m", colored)


def test_what_is_not_known_says_why():
    figures = Figures("12:00:00", "ok", "1", missing={"requests": "needs a key that may see it"})
    text = "\n".join(frame(State("s", figures), Look(90, 24)))
    assert "requests not known: needs a key that may see it" in text
    assert "- requests/s" in text


def test_trouble_and_pause_are_told_in_the_title():
    lines = frame(replace(STATE, trouble="not reachable: connection refused", is_paused=True), Look(120, 24))
    assert lines[0].endswith("12:01:07  paused  not reachable: connection refused")
    assert "nothing runs" in "\n".join(frame(with_figures(STATE, replace(FIGURES, requests=())), Look(90, 24)))


# -- keys --------------------------------------------------------------------------------------------


def test_arrows_select_and_stay_with_the_request():
    state = pressed(STATE, "down", "down", "down")
    assert state.selected == "req_3"
    assert pressed(state, "up").selected == "req_2"
    assert (pressed(state, "home").selected, pressed(STATE, "end").selected) == ("req_1", "req_3")
    moved = with_figures(pressed(STATE, "down"), replace(FIGURES, requests=(running(0), running(1), running(2))))
    assert (moved.selected, moved.place) == ("req_2", 2)
    gone = with_figures(moved, replace(FIGURES, requests=(running(0), running(1))))
    assert gone.selected == "req_1"
    assert with_figures(gone, replace(FIGURES, requests=())).selected is None


def test_s_goes_through_all_orders():
    seen = []
    state = STATE
    for _ in SORTS:
        seen.append(state.sort)
        assert selected_of(state) is not None
        state = pressed(state, "s")
    assert seen == list(SORTS)
    assert state.sort == "age"
    assert [row.id for row in rows_of(pressed(STATE, "s"))] == ["req_1", "req_2", "req_3"]


def test_a_filter_is_typed_kept_and_dropped():
    state = pressed(STATE, "/", *"QUEUED")
    assert state.mode == "filter"
    assert [row.id for row in rows_of(state)] == ["req_3"]
    assert state.selected == "req_3"
    assert frame(state, Look(90, 24))[-1].startswith("show only: QUEUED_")
    assert pressed(state, "q", "s").filter == "QUEUEDqs"
    kept = pressed(state, "backspace", "enter")
    assert (kept.mode, kept.filter) == ("normal", "QUEUE")
    assert (pressed(state, "esc").filter, pressed(kept, "esc").filter) == ("", "")
    assert len(pressed(state, *"x" * 200).filter) == 64


@pytest.mark.parametrize("key", ["c", "x"])
def test_a_request_is_cancelled_after_a_question(key):
    asked = pressed(STATE, "down", key)
    assert frame(asked, Look(90, 24))[-1] == "cancel req_2 of - (evil?[2J[red]x)?  y: yes, any other key: no"
    state, wish = press(asked, "y")
    assert wish == Cancel("req_2")
    assert state.mode == "normal"
    for other in ("n", "enter", "esc", "q", "down"):
        state, wish = press(asked, other)
        assert wish is None
        assert (state.mode, state.selected) == ("normal", "req_2")


def test_the_answer_to_a_question_never_meets_another_request():
    asked = pressed(STATE, "down", "c")
    later = with_figures(asked, replace(FIGURES, requests=(running(1), running(3))))
    assert (later.mode, later.message) == ("normal", "req_2 has ended")
    assert press(later, "y")[1] is None


def test_nothing_is_cancelled_where_nothing_runs():
    state, wish = press(with_figures(STATE, replace(FIGURES, requests=())), "c")
    assert (wish, state.mode, state.message) == (None, "normal", "no request is selected")


OURS = ("hoosh.cli.top.screen", "hoosh.cli.top.drawing")


def test_without_rich_it_says_how_to_get_it_and_json_works(gateway, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "rich" or name in OURS]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert main(["top", "--once"]) == 1
    assert "pip install 'hoosh-trio[top]'" in capsys.readouterr().err
    gateway.json("/v1/health", {"status": "ok", "version": "9"})
    assert main(["top", "--json", "--every", "0.01"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["requests"]) == ("9", None)
    assert told["missing"]["metrics"] == "Unknown request URL"


def test_pause_help_and_leaving():
    assert pressed(STATE, "p").is_paused
    assert not pressed(STATE, "p", "p").is_paused
    assert "any key goes back" in frame(pressed(STATE, "?"), Look())[-1]
    assert pressed(STATE, "?", "q").mode == "normal"
    assert press(STATE, "q")[1] == Leave(is_interrupt=False)
    for mode in ("normal", "filter", "confirm", "help"):
        assert press(replace(STATE, mode=mode), "ctrl-c")[1] == Leave(is_interrupt=True)


KEYS_OF_ALL_KINDS = [*"qspcxyn/?jk é", "up", "down", "esc", "enter", "backspace", "page-down", "home"]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(KEYS_OF_ALL_KINDS)))
def test_no_sequence_of_keys_leads_astray(keys):
    state = STATE
    for key in keys:
        state, wish = press(state, key)
        assert wish is None or isinstance(wish, Leave) or wish.id in {row.id for row in FIGURES.requests or ()}
    assert len(frame(state, Look(80, 12))) == 12


# -- strokes -----------------------------------------------------------------------------------------

TYPED = "sq\x1b[A\x1b[B\x1bOA\x1b[5~\x1b[6~\x1b[H\x1b[F\r\x7f\x03é\x1b[1;5C\x01\x1b[99zx".encode()
KEYS = ["s", "q", "up", "down", "up", "page-up", "page-down", "home", "end", "enter", "backspace", "ctrl-c", "é", "x"]


def test_keys_cut_at_any_byte_are_the_same():
    for cut in range(len(TYPED) + 1):
        decoder = KeyDecoder()
        assert decoder.feed(TYPED[:cut]) + decoder.feed(TYPED[cut:]) == KEYS
        assert not decoder.is_pending


def test_an_escape_that_nothing_follows_is_the_key():
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.is_pending
    assert decoder.flush() == ["esc"]
    assert decoder.flush() == []
    assert decoder.feed(b"\x1bx\x1b\x1b[A") == ["esc", "x", "esc", "up"]


@given(st.binary(max_size=100))
def test_no_bytes_lead_astray_and_none_are_kept_for_ever(data):
    decoder = KeyDecoder()
    decoder.feed(data)
    assert len(decoder._rest) < 32
    decoder.flush()
    assert not decoder.is_pending
