"""Real processes for these tests: started on free ports, waited for, and always killed with all their children.

    server = OpenAIServer.start(folder)                 the upstream
    gateway = Gateway.start(folder, config_text)        `python -m hoosh serve --config F`

Nothing here measures time.  Waiting is polling in a bounded loop; `PATIENCE_S` only says when a test has failed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
POLL_S = 0.01
PORTS = (12_000, 32_000)
"""Below those that systems choose from (Linux from 32768, others from 49152)."""

CLIENT_KEY = "sk-e2e-client-4f0c1c2b9d"
LIMITED_KEY = "sk-e2e-limited-77ab31e0c2"
UPSTREAM_KEY = "sk-e2e-upstream-a81e44d0f7"
SECRETS = (CLIENT_KEY, LIMITED_KEY, UPSTREAM_KEY)

T = TypeVar("T")


def wait_until(question: Callable[[], T | bool | None], what: str, *, patience_s: float = PATIENCE_S) -> T:
    """Ask until the answer is true, and return it; fail with `what` when patience ends."""
    give_up = time.monotonic() + patience_s
    while True:
        answer = question()
        if answer:
            return answer  # type: ignore[return-value]
        if time.monotonic() > give_up:
            pytest.fail(f"waited in vain: {what}")
        time.sleep(POLL_S)


def free_port() -> int:
    """None that the system gives to whoever asks for any: by the time it is used somebody else may have that, and one
    that nobody listens at may be a client's own, which then hears itself."""
    while True:
        port = random.randrange(*PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def accepts(address: tuple[str, int] | str) -> bool:
    """Does somebody listen at a TCP address or unix path?"""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.connect(address)
        except OSError:
            return False
    return True


def environment(**extra: str) -> dict[str, str]:
    """A clean one: no proxies, no keys of whoever runs the tests, the tree's own hoosh."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH")}
    return {**kept, "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **extra}


class Process:
    """A child in a process group of its own; its stdout and stderr go to files, and so do its books."""

    def __init__(self, argv: Sequence[str], folder: Path, env: Mapping[str, str], name: str = "process") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        env = {"HOOSH_STATE_DIR": str(folder / "state"), **env}
        self.stdout_path, self.stderr_path = folder / f"{name}.out", folder / f"{name}.err"
        with self.stdout_path.open("ab") as out, self.stderr_path.open("ab") as err:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=folder, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def stdout(self) -> str:
        return self.stdout_path.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        try:
            return self.popen.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"process {self.pid} does not end\n{self.stdout}\n{self.stderr}")

    def wait_for(self, ready: Callable[[], T | bool | None], what: str) -> T:
        """Until `ready` says so; fails at once when the process has ended."""

        def ask() -> T | bool | None:
            answer = ready()
            if not answer and self.popen.poll() is not None:
                pytest.fail(f"{what}: exit code {self.popen.returncode}\n{self.stdout}\n{self.stderr}")
            return answer

        return wait_until(ask, f"{what}\n{self.stderr}")

    def kill(self) -> None:
        """End it and whatever it has started, for certain."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class OpenAIServer(Process):
    """`openai_server.py`."""

    def __init__(self, folder: Path) -> None:
        script = str(Path(__file__).with_name("openai_server.py"))
        super().__init__([sys.executable, script, "--key", UPSTREAM_KEY], folder, environment(), "upstream")
        self.port = int(self.wait_for(lambda: self.stdout.endswith("\n") and self.stdout, "the upstream starts"))
        self.url = f"http://127.0.0.1:{self.port}"

    def stats(self) -> dict[str, Any]:
        return fetch_json(f"{self.url}/stats")

    def seen(self, model: str) -> int:
        return int(self.stats()["requests"].get(model, 0))

    def cancelled(self, model: str) -> int:
        return int(self.stats()["cancelled"].get(model, 0))

    def go(self) -> None:
        """Let those that wait go on, once there are any."""
        wait_until(lambda: self.stats()["waiting"], "a request waits at the upstream")
        fetch_json(f"{self.url}/go", b"{}")

    def forget(self) -> None:
        fetch_json(f"{self.url}/reset", b"{}")


class Gateway(Process):
    """A gateway that is being run, by whichever server."""

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        port: int,
        unix_socket: Path | None = None,
        scheme: str = "http",
        argv: Sequence[str] = (),
        flags: Sequence[str] = (),
        wait: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self.address: tuple[str, int] | str = str(unix_socket) if unix_socket else ("127.0.0.1", port)
        self.url = f"{scheme}://127.0.0.1:{port}" if scheme == "http" else f"{scheme}://localhost:{port}"
        self.base_url = f"{self.url}/v1"
        self.config_path = folder / "hoosh.toml"
        self.config_path.write_text(config)
        command = argv or [sys.executable, "-m", "hoosh", "serve", "--config", str(self.config_path), *flags]
        env = environment(E2E_UPSTREAM_KEY=UPSTREAM_KEY, E2E_CLIENT_KEY=CLIENT_KEY, HOOSH_CONFIG_FILE="hoosh.toml")
        super().__init__(command, folder, env, "gateway")
        if wait:
            self.wait_for(lambda: accepts(self.address), "the gateway listens")

    def metrics(self) -> str:
        return fetch(f"{self.url}/metrics", key=CLIENT_KEY).decode()

    def metric(self, name: str) -> float:
        """A sample by its name and labels, as written in the text format."""
        for line in self.metrics().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        raise LookupError(name)

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def check_secrets(self) -> None:
        """No key may be in anything it has written."""
        for secret in SECRETS:
            assert secret not in self.stdout, "a key is on stdout"
            assert secret not in self.stderr, "a key is in the log"
        assert '"message":"bug"' not in self.stderr, self.stderr


ASKED_ONCE = """\
[health]
interval_secs = 0
open_s = 0.001
denied_s = 0.001
failure_threshold = 1000000
min_requests = 1000000

[retry]
max_retries = 0
"""
"""What an upstream says is what the client hears: it is asked once, and never held to be ill."""


def config_text(
    upstream_url: str, port: int, *, server: str = "", more: str = "", first_byte_s: float = 30.0, alias: bool = True
) -> str:
    """A configuration with two keys and one upstream, and nothing that depends on this machine."""
    text = f"""
[server]
port = {port}
{server}

[discovery]
local = false
environment = false

{ASKED_ONCE}
[[keys]]
name = "team"
key = "$E2E_CLIENT_KEY"

[[keys]]
name = "limited"
key = "{LIMITED_KEY}"
scopes = ["inference"]
models = ["echo"]

[[providers]]
type = "openai-compatible"
name = "tiny"
base_url = "{upstream_url}"
api_key = "$E2E_UPSTREAM_KEY"
timeouts = {{ first_byte_s = {first_byte_s} }}
{more}
"""
    return text + ('\n[[models]]\nname = "best"\ntargets = ["tiny/tiny-chat"]\n' if alias else "")


class StreamReader:
    """One HTTP/1.1 chat on a plain socket, read as far as the test wants."""

    def __init__(self, gateway: Gateway, model: str, *, buffer_bytes: int | None = None, **fields: Any) -> None:
        body = json.dumps(ask(model, **fields)).encode()
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_S)
        if buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.socket.connect(("127.0.0.1", gateway.port))
        self.socket.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
            b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b" % (CLIENT_KEY.encode(), len(body), body)
        )
        self.text = ""

    def __enter__(self) -> StreamReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def read_until(self, words: str) -> None:
        while words not in self.text:
            data = self.socket.recv(65536)
            assert data, f"{words!r} never came: {self.text}"
            self.text += data.decode()

    def read_to_the_end(self) -> str:
        """Until the gateway closes the connection."""
        while data := self.socket.recv(65536):
            self.text += data.decode()
        self.socket.close()
        return self.text


def fetch(url: str, body: bytes | None = None, *, key: str | None = None) -> bytes:
    """GET or POST with nothing but the standard library, and no proxy."""
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body, headers), timeout=PATIENCE_S) as answer:
        data: bytes = answer.read()
        return data


def fetch_json(url: str, body: bytes | None = None, *, key: str | None = None) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(fetch(url, body, key=key))
    return value


def ask(model: str, words: str = "salam donya", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": words}], **more}
