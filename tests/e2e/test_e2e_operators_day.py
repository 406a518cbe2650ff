"""A day of whoever runs a gateway: TLS and keys, a provider added under load, a key rotated, an upstream drained, `top`
watched, a request cancelled, traces exported, the audit log verified, and the end.

No request fails, and no secret is in anything that anybody gets to see.
"""

from __future__ import annotations

import json
import signal
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from books_house import AuditVerdict, hoosh
from e2e_house import CLIENT_KEY, PATIENCE_S, UPSTREAM_KEY, Gateway, OpenAIServer, free_port, wait_until
from terminal_screen import Screen

from hoosh.testing.collector import Collector, collector

AUDIT_KEY = "day-audit-key-5d41402abc4b2a76b9719d91"
OLD_KEY, NEW_KEY = "sk-day-old-6f1ed002ab559585", "sk-day-new-9014e3d0f2c8a1b7"
WORDS = "confidential-words-of-the-day"
SECRETS = (AUDIT_KEY, OLD_KEY, NEW_KEY, CLIENT_KEY, UPSTREAM_KEY, WORDS)
CLIENTS = 4

KEYS = """
[[keys]]
name = "root"
key = "$E2E_CLIENT_KEY"
"""
PROVIDER = """
[[providers]]
type = "openai-compatible"
name = "{name}"
base_url = "{url}"
api_key = "$E2E_UPSTREAM_KEY"
models = ["tiny-chat", "waits"]
enabled = {enabled}
"""


class Day:
    """The gateway, its configuration as it is changed during the day, and its clients."""

    def __init__(self, folder: Path, upstreams: dict[str, OpenAIServer], traces: Collector) -> None:
        self.folder = folder
        self.upstreams = upstreams
        self.traces = traces
        self.port = free_port()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        mine = authority.issue_cert("localhost")
        mine.private_key_pem.write_to_path(folder / "key.pem")
        for number, pem in enumerate(mine.cert_chain_pems):
            pem.write_to_path(folder / "cert.pem", append=number > 0)
        (folder / "audit.key").write_text(AUDIT_KEY)
        self.trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        self.client_key = OLD_KEY
        self.statuses: list[int | str] = []
        self.seen: list[str] = []
        """All that anybody was shown, but the answers to chats."""

    def text(self, *keys: str, providers: dict[str, bool]) -> str:
        blocks = [f'\n[[keys]]\nname = "{name}"\nkey = "{key}"\nscopes = ["inference"]\n' for name, key in _named(keys)]
        blocks += [
            PROVIDER.format(name=name, url=self.upstreams[name].url, enabled=str(is_on).lower())
            for name, is_on in providers.items()
        ]
        targets = json.dumps([f"{name}/tiny-chat" for name in providers])
        return f"""
[server]
port = {self.port}
tls_cert = "{self.folder / "cert.pem"}"
tls_key = "{self.folder / "key.pem"}"
[discovery]
local = false
environment = false
[audit]
enabled = true
signing_key = "file:{self.folder / "audit.key"}"
[telemetry]
otlp_endpoint = "{self.traces.url}"
[cache]
enabled = false
[[models]]
name = "best"
targets = {targets}
strategy = "round_robin"
{KEYS}{"".join(blocks)}"""

    def ask(self, path: str, body: Any = None, *, key: str = CLIENT_KEY, method: str | None = None) -> tuple[int, str]:
        request = urllib.request.Request(
            f"https://localhost:{self.port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {key}"},
            method=method,
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.trust)
        )
        try:
            with opener.open(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def look(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """As the owner; it must work."""
        status, text = self.ask(path, body, method=method)
        self.seen.append(text)
        assert status == 200, text
        return json.loads(text) if text.startswith(("{", "[")) else text

    def chat(self, key: str) -> int:
        words = [{"role": "user", "content": WORDS}]
        return self.ask("/v1/chat/completions", {"model": "best", "messages": words}, key=key)[0]

    def reload(self, gateway: Gateway, text: str) -> Any:
        gateway.config_path.write_text(text)
        return self.look("/v1/admin/reload", {})

    def work(self, over: threading.Event) -> None:
        """What a client does all day."""
        while not over.is_set():
            try:
                self.statuses.append(self.chat(self.client_key))
            except Exception as error:
                self.statuses.append(repr(error))

    def wait_for_work(self) -> None:
        so_far = len(self.statuses)
        wait_until(lambda: len(self.statuses) >= so_far + 4 * CLIENTS, "clients are answered")


def _named(keys: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(f"app-{number}", key) for number, key in enumerate(keys, 1)]


@pytest.fixture
def upstreams(tmp_path: Path) -> Iterator[dict[str, OpenAIServer]]:
    servers = {name: OpenAIServer(tmp_path / name) for name in ("one", "two")}
    yield servers
    for server in servers.values():
        server.kill()


def test_an_operators_day(
    tmp_path: Path, upstreams: dict[str, OpenAIServer], start_gateway: Callable[..., Gateway]
) -> None:
    with collector() as traces:
        day = Day(tmp_path, upstreams, traces)
        both = {"one": True, "two": True}
        gateway = start_gateway(day.text(OLD_KEY, providers={"one": True}), port=day.port)
        wait_until(lambda: _answers(day), "TLS is spoken")
        over = threading.Event()
        clients = [threading.Thread(target=day.work, args=(over,)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            day.wait_for_work()

            # A second provider, by the file and a signal.
            gateway.config_path.write_text(day.text(OLD_KEY, providers=both))
            gateway.signal(signal.SIGHUP)
            wait_until(lambda: upstreams["two"].seen("tiny-chat"), "the new provider is asked")

            # Another key: both are good until everybody has the new one.
            assert day.reload(gateway, day.text(OLD_KEY, NEW_KEY, providers=both))["changed"] == ["keys"]
            day.client_key = NEW_KEY
            day.wait_for_work()
            day.reload(gateway, day.text(NEW_KEY, providers=both))
            assert day.chat(OLD_KEY) == 401

            # The first provider goes, when what it is about is done.
            told = day.reload(gateway, day.text(NEW_KEY, providers={"one": False, "two": True}))
            assert told["removed"] == ["one"]
            day.wait_for_work()
            asked = upstreams["one"].seen("tiny-chat")
            day.wait_for_work()
            assert upstreams["one"].seen("tiny-chat") == asked

            # Somebody's request is cancelled by somebody who has found it in `top`.
            hanging = threading.Thread(
                target=day.ask, args=("/v1/chat/completions", _waits()), kwargs={"key": NEW_KEY}, daemon=True
            )
            hanging.start()
            screen = Screen(
                *("--server", f"https://localhost:{day.port}"), SSL_CERT_FILE=str(tmp_path / "ca.pem"), size=(40, 160)
            )
            try:
                day.seen += screen.wait_words("waits", "two")
                (running,) = day.look("/v1/admin/requests?model=waits")["data"]
                identity = running["id"]
                assert day.look(f"/v1/admin/requests/{identity}", method="DELETE") == {"cancelled": 1}
                screen.wait_for(lambda frame: not any(identity in line for line in frame), "it is gone")
                screen.type("q")
                assert screen.wait_end() == 0
                day.seen.append(screen.written)
            finally:
                screen.close()
            hanging.join(PATIENCE_S)
            day.wait_for_work()
        finally:
            over.set()
            for client in clients:
                client.join(PATIENCE_S)

        assert set(day.statuses) == {200}, f"of {len(day.statuses)}"
        events = {event["event"] for event in day.look("/v1/events/recent?limit=1000")["events"]}
        assert "requests_cancelled" in events
        for path in ("/metrics", "/v1/audit?limit=1000", "/v1/health/providers", "/v1/costs", "/openapi.json"):
            day.look(path)
        wait_until(lambda: len(traces.spans()) >= len(day.statuses), "every request has its span")
        assert gateway.stop() == 0

    verdict = AuditVerdict.of(
        hoosh("audit", "verify", str(gateway.folder / "state" / "hoosh.db"), "--key-file", str(tmp_path / "audit.key"))
    )
    assert verdict.is_valid, verdict.words
    exported = hoosh("audit", "export", str(gateway.folder / "state" / "hoosh.db")).stdout
    for event in ("config.reloaded", "admin.requests_cancelled"):
        assert event in exported
    spans = "".join(str(request) for request in traces.requests)
    for place, text in {
        "what was shown": "\n".join(day.seen),
        "its own words": gateway.stdout + gateway.stderr,
        "the traces": spans,
        "the audit log": exported + verdict.words,
    }.items():
        for secret in SECRETS:
            assert secret not in text, f"a secret is in {place}"


def _answers(day: Day) -> bool:
    try:
        return day.ask("/livez")[0] == 200
    except OSError:
        time.sleep(0.05)
        return False


def _waits() -> Any:
    return {"model": "waits", "messages": [{"role": "user", "content": WORDS}]}
