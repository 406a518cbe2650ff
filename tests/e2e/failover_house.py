"""Two upstreams in processes of their own, a gateway before them, and clients who note what each stream has said.

    house = Pair(folder)
    house.left.hold(); …                 its streams stand in the middle
    ends = house.streams(100)            OpenAI's SDK, all at once; each is a future of what its client has read
    house.left.kill(); house.left.start()

The aliases: `goes-on`, whose upstreams take a trailing assistant message; `starts-afresh`, whose do not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from books_house import hoosh
from e2e_house import (
    CLIENT_KEY,
    PATIENCE_S,
    Gateway,
    Process,
    accepts,
    environment,
    fetch,
    fetch_json,
    free_port,
    wait_until,
)
from msgspec import Struct
from openai import APIError, OpenAI

from hoosh.testing.faults import WORDS

__all__ = ["ALIASES", "ANSWER", "PROMPT", "End", "Pair", "Worded"]

ANSWER = "".join(WORDS)
PROMPT: Any = [{"role": "user", "content": "salam"}]
ALIASES = ("goes-on", "starts-afresh")
PAUSE_S = 0.005
OPEN_S = 1.0
"""So long a breaker of this house stays open."""


class End(Struct, frozen=True):
    """How a stream has ended, as its client saw it."""

    text: str
    finish: str = ""
    error: str = ""
    counted: int | None = None
    """The tokens of its reply, as it was told."""

    @property
    def is_whole(self) -> bool:
        """Word for word, and said to be so."""
        return (self.text, self.finish, self.error) == (ANSWER, "stop", "")


class Worded:
    """`worded_upstream.py` on one port, in one process after another."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self.start()

    def start(self) -> None:
        script = str(Path(__file__).with_name("worded_upstream.py"))
        command = [sys.executable, script, str(self.port), str(PAUSE_S)]
        self.process = Process(command, self._folder, environment(), self.name)
        self.process.wait_for(lambda: accepts(("127.0.0.1", self.port)), f"{self.name} listens")

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def hold(self) -> None:
        fetch(f"{self.url}/hold", b"{}")

    def go(self) -> None:
        fetch(f"{self.url}/go", b"{}")

    def stat(self, name: str) -> int:
        """`begun`, `left`, `running` or `held`."""
        return int(fetch_json(f"{self.url}/stats")[name])


class Pair:
    """The house of these tests.  `settings` is TOML beside what it always says."""

    def __init__(self, folder: Path, settings: str = "", *, server: str = "drain_s = 20") -> None:
        self.left, self.right = Worded(folder, "left"), Worded(folder, "right")
        self.port = free_port()
        self.database = folder / "gateway" / "state" / "hoosh.db"
        text = _config(self.port, (self.left, self.right), settings, server)
        self.gateway = Gateway(folder / "gateway", text, port=self.port)
        self._sdk = OpenAI(base_url=self.gateway.base_url, api_key=CLIENT_KEY, max_retries=0, timeout=PATIENCE_S)
        self._clients = ThreadPoolExecutor(100)

    def close(self) -> None:
        for process in (self.gateway, self.left.process, self.right.process):
            process.kill()
        self._clients.shutdown()
        self._sdk.close()

    # -- clients --------------------------------------------------------------------------------------------------

    def streams(self, number: int, *models: str) -> list[Future[End]]:
        """So many streams at once, of the aliases in turn."""
        models = models or ALIASES
        return [self._clients.submit(self._stream, models[n % len(models)]) for n in range(number)]

    def _stream(self, model: str) -> End:
        text, finish, counted = "", "", None
        try:
            stream = self._sdk.chat.completions.create(
                model=model, messages=PROMPT, stream=True, stream_options={"include_usage": True}
            )
            for chunk in stream:
                counted = chunk.usage.completion_tokens if chunk.usage else counted
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    finish = choice.finish_reason or finish
        except APIError as error:
            return End(text, finish, str(error.code or error))
        return End(text, finish, counted=counted)

    @contextmanager
    def post(
        self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None, key: str = CLIENT_KEY
    ) -> Iterator[httpx.Response]:
        """A chat as curl would send it."""
        said = {"authorization": f"Bearer {key}", **(headers or {})}
        url = f"{self.gateway.base_url}/chat/completions"
        with (
            httpx.Client(timeout=PATIENCE_S, trust_env=False) as client,
            client.stream("POST", url, json={"messages": PROMPT, **body}, headers=said) as answer,
        ):
            yield answer

    def ask(self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The same, read to its end."""
        with self.post(body, headers) as answer:
            answer.read()
        return answer

    def request(self, method: str, path: str) -> httpx.Response:
        """Anything else as curl would send it."""
        headers = {"authorization": f"Bearer {CLIENT_KEY}"}
        with httpx.Client(timeout=PATIENCE_S, trust_env=False) as client:
            return client.request(method, self.gateway.base_url + path, headers=headers)

    # -- its owner ------------------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`hoosh-trio ARGUMENTS`, with this gateway and its key in the environment."""
        return hoosh(*arguments, HOOSH_SERVER=self.gateway.url, HOOSH_API_KEY=CLIENT_KEY)

    def get(self, path: str) -> Any:
        return json.loads(fetch(f"{self.gateway.base_url}{path}", key=CLIENT_KEY))

    def shown(self, provider: Worded) -> dict[str, Any]:
        """What `GET /v1/health/providers` says of one."""
        rows: list[dict[str, Any]] = self.get("/health/providers")
        return next(row for row in rows if row["provider"] == provider.name)

    def wait_shown(self, provider: Worded, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Until it is shown so; returns what is shown of it then."""
        return wait_until(
            lambda: row if is_so(row := self.shown(provider)) else None, f"{provider.name} is shown otherwise"
        )

    def chats_logged(self) -> list[dict[str, Any]]:
        """The lines of its log that are about chats."""
        lines = [json.loads(line) for line in self.gateway.stderr.splitlines()]
        return [line for line in lines if line.get("kind") == "chat"]

    def wait_middle(self, number: int, *upstreams: Worded) -> None:
        """Until so many streams stand behind the same word, there together."""
        wait_until(lambda: sum(each.stat("held") for each in upstreams) == number, f"{number} stand in the middle")


def _config(port: int, upstreams: tuple[Worded, Worded], settings: str, server: str) -> str:
    targets = json.dumps([f"{each.name}/plain" for each in upstreams])
    providers = "\n".join(
        f'[[providers]]\ntype = "openai-compatible"\nname = "{each.name}"\nbase_url = "{each.url}"\n'
        'api_key = "$E2E_UPSTREAM_KEY"\nmodels = ["plain"]\n'
        for each in upstreams
    )
    return f"""
[server]
port = {port}
{server}

[discovery]
local = false
environment = false
echo = false

[health]
interval_secs = 0.25
open_s = {OPEN_S}

[[keys]]
name = "team"
key = "$E2E_CLIENT_KEY"

{providers}
[[models]]
name = "goes-on"
targets = {targets}
strategy = "round_robin"
capabilities = ["prefill"]

[[models]]
name = "starts-afresh"
targets = {targets}
strategy = "round_robin"
capabilities = []

[[models]]
name = "left-first"
targets = {targets}

{settings}
"""
