"""A gateway and an upstream for the whole session, and a way to start others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_house import Gateway, OpenAIServer, config_text, free_port
from replay import WIRE, Replay, ReplayThread, config_of

if sys.platform != "linux":  # /proc, process groups, Linux's TCP
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIServer]:
    """A real OpenAI-compatible server, its counts shared by all tests that use it: ask for differences."""
    server = OpenAIServer(tmp_path_factory.mktemp("upstream"))
    yield server
    server.kill()
    assert server.stderr == "", "the gateway, or the server itself, has made a mistake"


@pytest.fixture(scope="session")
def gateway(upstream: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway before `upstream`, for tests that leave it as they found it.  At the end its log must be clean."""
    port = free_port()
    process = Gateway(tmp_path_factory.mktemp("gateway"), config_text(upstream.url, port), port=port)
    try:
        yield process
        assert process.stop() == 0
        process.check_secrets()
    finally:
        process.kill()


@pytest.fixture(scope="session")
def _replaying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Replay, Gateway]]:
    """One gateway before replayed upstreams of every kind.  At the end its log must be clean."""
    if not WIRE.is_dir():
        pytest.skip("no recordings here")
    thread, port = ReplayThread(), free_port()
    try:
        process = Gateway(tmp_path_factory.mktemp("replaying"), config_of(thread.replay, port), port=port)
        try:
            yield thread.replay, process
            assert process.stop() == 0
            process.check_secrets()
        finally:
            process.kill()
    finally:
        thread.stop()


@pytest.fixture
def replay(_replaying: tuple[Replay, Gateway]) -> Iterator[Replay]:
    """The upstreams behind `across`, ready to be told what to say.  They must not have been asked anything else."""
    upstreams = _replaying[0]
    upstreams.forget()
    yield upstreams
    assert upstreams.unexpected == []


@pytest.fixture
def across(_replaying: tuple[Replay, Gateway], replay: Replay) -> Gateway:
    """The gateway before `replay`."""
    return _replaying[1]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment must not stand between us and our own machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Start gateways of one's own; they are killed, and their logs looked through for keys, at the end of the test."""
    started: list[Gateway] = []

    def start(config: str, **how: Any) -> Gateway:
        started.append(Gateway(tmp_path / f"gateway{len(started)}", config, **how))
        return started[-1]

    yield start
    for process in started:
        process.kill()
    for process in started:
        process.check_secrets()
