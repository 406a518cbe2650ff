"""Who is measured, and how each is started: one process, its lightest configuration, one OpenAI-compatible upstream.

hoosh runs with everything on: a key with its limits, budget, prices, audit trail, cache and metrics, books in a file.
For what these cost it runs again, with and without them, and with answers that wait for the disk (`books.py`).

A peer takes part where it is installed: on PATH, or under the peers directory in a virtual environment of its name
(DIR/litellm/bin/litellm, DIR/smg/bin/smg, DIR/vllm-router/bin/vllm-router).
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import SYNC, WITH_BOOKS, WITHOUT_BOOKS
from bench.load import KEY
from bench.machine import free_port

__all__ = [
    "BASELINE",
    "BASELINES",
    "HELLO",
    "HOOSH",
    "OURS",
    "PEERS",
    "Contender",
    "Place",
    "contender",
    "find",
    "installed",
]

ROOT = Path(__file__).parent.parent
BASELINE = "hypercorn+quart"
HELLO = "hoosh server"
BASELINES = (BASELINE, HELLO)
"""HTTP servers that answer by themselves, HTTP/2 only: no gateways."""

HOOSH = "hoosh"

HOUSE = """\
[server]
port = {port}
[discovery]
local = false
environment = false
[health]
interval_secs = 0
[logging]
level = "info"
[[providers]]
name = "mock"
type = "openai-compatible"
base_url = "http://127.0.0.1:{upstream_port}/v1"
models = ["mock-model", "sim-*"]
[[providers]]
name = "mock-messages"
type = "anthropic"
base_url = "http://127.0.0.1:{upstream_port}"
models = ["mock-claude"]
[[keys]]
name = "bench"
key = "{key}"
"""
"""Nobody is probed: where clients leave while the gateway connects, its own probe would be taken for a client's."""
NO_BOOKS = """\
[storage]
url = "memory:"
[cache]
enabled = false
"""
ALL_BOOKS = """\
pool = "bench"
rpm = 100_000_000
tpm = 1_000_000_000_000
max_concurrent = 1_000_000
[[budgets]]
name = "bench"
capacity = 1_000_000_000_000_000
window = "day"
[[prices]]
provider = "mock"
model = "*"
input = 0.15
output = 0.60
[[prices]]
provider = "mock-messages"
model = "*"
input = 0.15
output = 0.60
[audit]
enabled = true
signing_key = "0123456789abcdef0123456789abcdef"
[cache]
enabled = true
[storage]
durability = "{durability}"
"""
"""Numbers so large that nothing is refused: what is measured is asking, not refusing.  The key's table goes on.

The upstream is on this machine, so its models would be free, had their owner not said what they cost.
"""
OURS = {
    HOOSH: ALL_BOOKS.format(durability="batched"),
    WITHOUT_BOOKS: NO_BOOKS,
    WITH_BOOKS: ALL_BOOKS.format(durability="batched"),
    SYNC: ALL_BOOKS.format(durability="sync"),
}
"""Our own house, and what is on in it.  `hoosh` is the one that stands beside others."""

LITELLM_CONFIG = """\
model_list:
  - model_name: "*"
    litellm_params: {{model: "openai/*", api_base: "http://127.0.0.1:{upstream_port}/v1", api_key: sk-none}}
litellm_settings: {{num_retries: 0}}
"""

NGINX_CONFIG = """\
worker_processes 1; daemon off; pid {work}/pid; error_log {work}/error.log; {user}
worker_rlimit_nofile {files};
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  upstream mock {{ server 127.0.0.1:{upstream_port} max_fails=0; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port}; listen 127.0.0.1:{h2_port} http2;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Place:
    """Where a contender is to run."""

    port: int
    upstream_port: int
    work: Path
    peers_dir: Path | None
    hoosh: str | None = None
    """A command with {port} and {config}, instead of the hoosh beside this interpreter."""


@dataclass(frozen=True)
class Contender:
    name: str
    command: list[str]
    port: int
    h2_port: int
    """Where to try HTTP/2 with prior knowledge: the same port, but for nginx before 1.25."""
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    heavy: bool = False
    """Takes milliseconds a request: it is spared what would only measure its queue."""


def _hoosh(name: str, place: Place) -> Contender:
    config = place.work / f"hoosh-{place.port}.toml"
    config.write_text(HOUSE.format(port=place.port, upstream_port=place.upstream_port, key=KEY) + OURS[name])
    if place.hoosh:
        command = shlex.split(place.hoosh.format(port=place.port, config=config, upstream=place.upstream_port))
    else:
        script = Path(sys.executable).parent / "hoosh-trio"
        command = [str(script)] if script.exists() else [sys.executable, "-m", "hoosh"]
        command += ["serve", "--config", str(config)]
    books = {"HOOSH_STATE_DIR": str(place.work / f"state-{place.port}")}  # of its own: each start begins with none
    return Contender(name, command, place.port, place.port, books, cwd=ROOT)


def _litellm(place: Place) -> Contender:
    config = place.work / "litellm.yaml"
    config.write_text(LITELLM_CONFIG.format(upstream_port=place.upstream_port))
    environment = {
        "LITELLM_MASTER_KEY": KEY,
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    command = [
        find("litellm", place.peers_dir),
        "--config",
        str(config),
        "--port",
        str(place.port),
        "--num_workers",
        "1",
    ]
    return Contender("litellm", command, place.port, place.port, environment, heavy=True)


def _smg(place: Place) -> Contender:
    command = [find("smg", place.peers_dir), "launch", "--backend", "openai", *_router_options(place)]
    return Contender("smg", command, place.port, place.port)


def _vllm_router(place: Place) -> Contender:
    command = [find("vllm-router", place.peers_dir), *_router_options(place), "--max-concurrent-requests", "8192"]
    return Contender("vllm-router", command, place.port, place.port)


def _router_options(place: Place) -> list[str]:
    urls = [
        "--worker-urls",
        f"http://127.0.0.1:{place.upstream_port}",
        "--host",
        "127.0.0.1",
        "--port",
        str(place.port),
    ]
    return [*urls, "--policy", "round_robin", "--prometheus-port", str(free_port()), "--log-level", "error"]


def _nginx(place: Place) -> Contender:
    work = place.work / f"nginx-{place.port}"
    work.mkdir(exist_ok=True)
    h2_port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    config = NGINX_CONFIG.format(
        work=work, port=place.port, h2_port=h2_port, upstream_port=place.upstream_port, user=user, files=32768
    )
    (work / "nginx.conf").write_text(config)
    command = [find("nginx", place.peers_dir), "-c", str(work / "nginx.conf"), "-p", str(work)]
    return Contender("nginx", command, place.port, h2_port)


def _baseline(place: Place) -> Contender:
    command = [
        sys.executable,
        "-m",
        "hypercorn",
        "-k",
        "trio",
        "-b",
        f"127.0.0.1:{place.port}",
        "bench.quart_hello:app",
    ]
    return Contender(BASELINE, command, place.port, place.port, cwd=ROOT)


def _hello(place: Place) -> Contender:
    command = [sys.executable, "-m", "bench.hoosh_hello", str(place.port)]
    return Contender(HELLO, command, place.port, place.port, cwd=ROOT)


PEERS: dict[str, Callable[[Place], Contender]] = {
    "litellm": _litellm,
    "smg": _smg,
    "vllm-router": _vllm_router,
    "nginx": _nginx,
}


def contender(name: str, place: Place) -> Contender:
    """How `name` is started at `place`; writes its configuration there."""
    if name in OURS:
        return _hoosh(name, place)
    return {BASELINE: _baseline, HELLO: _hello, **PEERS}[name](place)


def find(program: str, peers_dir: Path | None) -> str:
    """Raises FileNotFoundError."""
    if peers_dir is not None:
        inside = peers_dir / program / "bin" / program
        if inside.exists():
            return str(inside.absolute())
    on_path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if on_path is None:
        raise FileNotFoundError(program)
    return on_path


def installed(peers_dir: Path | None) -> dict[str, str]:
    """The peers that can take part, with their versions; and the baseline, where its packages are importable."""
    present = {}
    for name in PEERS:
        try:
            present[name] = _version(name, find(name, peers_dir))
        except FileNotFoundError:
            continue
    if importlib.util.find_spec("hypercorn") and importlib.util.find_spec("quart_trio"):
        present[BASELINE] = _distribution_version(Path(sys.executable), "hypercorn")
        present[HELLO] = ""
    return present


def _version(name: str, program: str) -> str:
    if name == "nginx":
        told = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
        return told.strip().rpartition("/")[2].split(" ")[0]
    return _distribution_version(Path(program).parent / "python", name)


def _distribution_version(python: Path, name: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    try:
        told = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return "?"
    return told.stdout.strip() or "?"
