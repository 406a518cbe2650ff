"""Clients of a schedule of faults: each asks, reads as its script says, and tells what it has made of it.

Heard ──verdict──▶ whole       a proper end: its text has to be right
                   refused     an error with a status of its own
                   told        a stream that ended with an error
                   broken      a stream that ended without a word
                   left        it did not stay for the end
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, Literal

import trio
from client_forms import CLIENTS, Seen, Wish
from sim_faults_schedule import Ask
from sim_faults_upstream import prompt_of

from hoosh.errors import TransportError
from hoosh.http.client import Pool
from hoosh.http.message import Header, HttpRequest, RequestHead
from hoosh.testing.house import GATEWAY, PATIENCE

__all__ = ["Heard", "Verdict", "ask"]

Verdict = Literal["whole", "refused", "told", "broken", "left"]


class Heard:
    """What a client has got."""

    def __init__(self, script: Ask, began_s: float) -> None:
        self.ask = script
        self.began_s = began_s
        self.ended_s = 0.0
        self.status: int | None = None
        self.request_id = ""
        self.retry_after: str | None = None
        self.body = b""
        self.is_whole = False
        """It came to the response's own end."""
        self.has_left = False
        self.broke: str | None = None

    @cached_property
    def seen(self) -> Seen:
        """A stream or an answer, as far as it came.  Raises AssertionError where the client's SDK would choke."""
        forms = CLIENTS[self.ask.language]
        if not self.ask.stream:
            return forms.read(json.loads(self.body))
        end = b"\n" if self.ask.language == "ollama" else b"\n\n"
        come = self.body[: self.body.rfind(end) + len(end)] if end in self.body else b""
        return forms.read_stream(come) if come else Seen()

    @cached_property
    def verdict(self) -> Verdict:
        if self.has_left:
            return "left"
        if self.status is None or (self.status == 200 and not self.ask.stream and not self.is_whole):
            return "broken"
        if self.status != 200:
            return "refused"
        if self.ask.stream and (not self.body or self.seen.error is not None or not self.seen.is_ended):
            return "told" if self.body and self.seen.error is not None else "broken"
        return "whole"

    @property
    def words(self) -> list[str]:
        """Of a whole answer."""
        return self.seen.text.split()

    def brief(self) -> str:
        """In a line."""
        if self.status is None:
            return "leaves, having heard nothing" if self.has_left else f"hears nothing: {self.broke}"
        what = f"hears {self.status}, {len(self.body)} bytes"
        if self.status != 200:
            return f"hears {self.status}: {self.body.decode().replace(self.request_id or '?', 'its id')}"
        try:
            text = self.seen.text if self.ask.stream or self.is_whole else ""
            return f"{what}, {self.verdict}: {text!r}{self.seen.error or '' if text else ''}"
        except (AssertionError, LookupError, ValueError) as error:
            return f"{what} that nobody can read ({error!r}): {self.body.decode()}"


async def ask(pool: Pool, heard: Heard) -> None:
    """Play one client."""
    script = heard.ask
    with trio.move_on_after(float("inf") if script.leaves_after_s is None else script.leaves_after_s) as patience:
        try:
            async with pool.exchange(_request_of(script), PATIENCE) as response:
                heard.status = response.status
                heard.request_id = response.headers.text(b"x-request-id") or ""
                heard.retry_after = response.headers.text(b"retry-after")
                receives = 0
                while receives != script.leaves_after_receives:
                    data = await response.receive()
                    if not data:
                        heard.is_whole = True
                        break
                    heard.body += data
                    receives += 1
                    if script.reads_every_s:
                        await trio.sleep(script.reads_every_s)
                else:
                    heard.has_left = True
        except TransportError as error:
            heard.broke = str(error)
    heard.has_left = heard.has_left or patience.cancelled_caught


def _request_of(script: Ask) -> HttpRequest:
    headers: list[Header] = [(b"content-type", b"application/json"), (b"x-sim-ask", b"%d" % script.number)]
    if script.provider is not None:
        headers.append((b"x-hoosh-provider", script.provider.encode()))
    if script.priority is not None:
        headers.append((b"x-hoosh-priority", script.priority.encode()))
    if script.timeout_s is not None:
        headers.append((b"x-hoosh-timeout", b"%d" % script.timeout_s))
    forms = CLIENTS[script.language]
    body = forms.ask(script.model, Wish(stream=script.stream, max_tokens=script.max_tokens or 4096))
    _say(body, prompt_of(script.number, script.words))
    return HttpRequest(RequestHead(GATEWAY, "POST", forms.path, tuple(headers)), json.dumps(body).encode())


def _say(body: dict[str, Any], prompt: str) -> None:
    if "input" in body:
        body["input"] = prompt
    else:
        body["messages"][0]["content"] = prompt
