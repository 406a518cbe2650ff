"""Signals and sudden death: what a running gateway does about them, and what it leaves behind."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_house import (
    CLIENT_KEY,
    PATIENCE_S,
    Gateway,
    OpenAIServer,
    StreamReader,
    accepts,
    config_text,
    fetch_json,
    free_port,
    wait_until,
)

Start = Callable[..., Gateway]
Waiting = Callable[..., tuple[Gateway, StreamReader]]
HYPERCORN = ("--server", "hypercorn")
either_server = pytest.mark.parametrize("flags", [(), HYPERCORN], ids=["hoosh", "hypercorn"])


@pytest.fixture
def waiting(start_gateway: Start, upstream: OpenAIServer) -> Waiting:
    """A gateway with these settings, and a client whose stream stands in the middle."""

    def begin(server: str, *flags: str) -> tuple[Gateway, StreamReader]:
        port = free_port()
        gateway = start_gateway(config_text(upstream.url, port, server=server), port=port, flags=flags)
        client = StreamReader(gateway, "waits", stream=True)
        client.read_until('"content": " said:"')
        return gateway, client

    return begin


def refuses(gateway: Gateway) -> bool:
    return not accepts(gateway.address)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_gateway_with_exit_code_0(
    start_gateway: Start, upstream: OpenAIServer, number: int
) -> None:
    port = free_port()
    gateway = start_gateway(config_text(upstream.url, port), port=port)
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as idle:  # and a client that keeps its connection
        idle.sendall(b"GET /livez HTTP/1.1\r\nhost: gateway\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        gateway.signal(number)
        assert gateway.wait() == 0
        assert idle.recv(65536) == b""


@either_server
def test_a_stream_that_ends_within_the_drain_is_whole(
    waiting: Waiting, upstream: OpenAIServer, flags: tuple[str, ...]
) -> None:
    gateway, client = waiting("drain_s = 60", *flags)
    gateway.signal(signal.SIGTERM)
    wait_until(lambda: refuses(gateway), "new connections are refused")
    assert gateway.popen.poll() is None
    upstream.go()
    answer = client.read_to_the_end()
    assert "donya" in answer
    assert "data: [DONE]" in answer
    assert answer.endswith("0\r\n\r\n")
    assert gateway.wait() == 0


@either_server
def test_a_stream_that_outlasts_the_drain_ends_in_an_error_event_and_without_done(
    waiting: Waiting, upstream: OpenAIServer, flags: tuple[str, ...]
) -> None:
    before = upstream.cancelled("waits")
    gateway, client = waiting("drain_s = 0.2", *flags)
    gateway.signal(signal.SIGTERM)
    answer = client.read_to_the_end()
    last = answer.rpartition("data: ")[2].partition("\n")[0]
    assert json.loads(last)["error"]["code"] == "service_unavailable"
    assert "[DONE]" not in answer
    assert not answer.endswith("0\r\n\r\n")
    assert gateway.wait() == 0
    wait_until(lambda: upstream.cancelled("waits") == before + 1, "the upstream sees the cancellation")


def test_a_request_that_waits_for_its_head_when_the_drain_is_over_gets_503(
    start_gateway: Start, upstream: OpenAIServer
) -> None:
    port, asked = free_port(), upstream.seen("waits-for-head")
    gateway = start_gateway(config_text(upstream.url, port, server="drain_s = 0.2"), port=port)
    client = StreamReader(gateway, "waits-for-head")
    wait_until(lambda: upstream.seen("waits-for-head") == asked + 1, "the upstream is asked")
    gateway.signal(signal.SIGTERM)
    answer = client.read_to_the_end()
    assert answer.startswith("HTTP/1.1 503 ")
    assert "retry-after: 1" in answer
    assert gateway.wait() == 0


@either_server
def test_a_second_signal_ends_it_at_once_with_exit_code_1(
    waiting: Waiting, upstream: OpenAIServer, flags: tuple[str, ...]
) -> None:
    before = upstream.cancelled("waits")
    gateway, client = waiting("drain_s = 600", *flags)
    gateway.signal(signal.SIGINT)
    wait_until(lambda: refuses(gateway), "new connections are refused")
    gateway.signal(signal.SIGINT)
    assert gateway.wait() == 1
    assert "[DONE]" not in client.read_to_the_end()
    wait_until(lambda: upstream.cancelled("waits") == before + 1, "the upstream sees the cancellation")


@either_server
def test_a_client_that_has_stopped_reading_cannot_keep_the_house_open(
    start_gateway: Start, upstream: OpenAIServer, flags: tuple[str, ...]
) -> None:
    port = free_port()
    gateway = start_gateway(config_text(upstream.url, port, server="drain_s = 0.2"), port=port, flags=flags)
    with StreamReader(gateway, "big", stream=True, buffer_bytes=8192) as client:
        client.read_until("chat.completion.chunk")
        wait_until(lambda: upstream.stats()["running"] == 2, "the upstream is held up")
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0


def test_a_request_on_an_old_connection_is_refused_politely_while_draining(
    waiting: Waiting, upstream: OpenAIServer
) -> None:
    """An idle connection is closed by the drain; its client finds that out, and asks somebody else."""
    gateway, client = waiting("drain_s = 60")
    with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE_S) as idle:
        idle.sendall(b"GET /livez HTTP/1.1\r\nhost: gateway\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        gateway.signal(signal.SIGTERM)
        assert idle.recv(65536) == b""
    upstream.go()
    assert "data: [DONE]" in client.read_to_the_end()
    assert gateway.wait() == 0


def test_a_gateway_killed_in_the_middle_of_a_stream_can_be_started_again_at_once(
    waiting: Waiting, upstream: OpenAIServer, start_gateway: Start
) -> None:
    before = upstream.cancelled("waits")
    gateway, client = waiting("")
    gateway.kill()
    client.socket.close()
    wait_until(lambda: upstream.cancelled("waits") == before + 1, "the upstream sees the cancellation")
    again = start_gateway(config_text(upstream.url, gateway.port), port=gateway.port)
    assert fetch_json(f"{again.url}/v1/health", key=CLIENT_KEY)["status"] == "ok"


def test_the_socket_file_of_a_killed_gateway_is_replaced(start_gateway: Start, tmp_path: Path) -> None:
    path = tmp_path / "hoosh.sock"
    text = config_text("http://127.0.0.1:9", 0, server=f'unix_socket = "{path}"')
    first = start_gateway(text, port=0, unix_socket=path)
    first.kill()
    assert path.is_socket()
    second = start_gateway(text, port=0, unix_socket=path)
    third = start_gateway(text, port=0, unix_socket=path, wait=False)
    assert third.wait() == 1  # one that lives keeps its socket
    assert "cannot listen" in third.stderr
    assert accepts(str(path))
    assert second.stop() == 0
    assert not path.exists()


def test_a_file_that_is_no_socket_is_left_alone(start_gateway: Start, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    text = config_text("http://127.0.0.1:9", 0, server=f'unix_socket = "{path}"')
    assert start_gateway(text, port=0, unix_socket=path, wait=False).wait() == 1
    assert path.read_text() == "mine"
