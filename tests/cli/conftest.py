"""A tiny gateway to talk to: real HTTP on loopback, answers written down in advance."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from msgspec import Struct


class Answer(Struct):
    status: int = 200
    body: bytes = b"{}"
    content_type: str = "application/json"
    cut: bool = False
    """Close without the last chunk."""


class Server(ThreadingHTTPServer):
    request_queue_size = 64  # `top` asks for everything at once; one that is turned away asks again after a second


class FakeGateway:
    """Answers each path as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str, dict[str, str], object]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body: object = self.sent()
                if headers.get("content-type", "json").endswith("json"):
                    body = json.loads(body) if body else None  # type: ignore[arg-type]
                fake.asked.append((self.command, self.path, headers, body))
                answer = fake.answers.get(self.path, Answer(404, b'{"error":{"message":"Unknown request URL"}}'))
                self.send_response(answer.status)
                self.send_header("content-type", answer.content_type)
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for byte in range(0, len(answer.body), 7):  # pieces that fit nothing
                    piece = answer.body[byte : byte + 7]
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                if answer.cut:
                    self.close_connection = True
                else:
                    self.wfile.write(b"0\r\n\r\n")

            def sent(self) -> bytes:
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def json(self, path: str, value: object, status: int = 200) -> None:
        self.answers[path] = Answer(status, json.dumps(value).encode())

    def plain(self, path: str, body: bytes, content_type: str = "text/plain", *, cut: bool = False) -> None:
        self.answers[path] = Answer(200, body, content_type, cut)

    def events(self, path: str, *events: object, cut: bool = False) -> None:
        texts = [event if isinstance(event, str) else json.dumps(event, ensure_ascii=False) for event in events]
        body = "".join(f"data: {text}\n\n" for text in texts).encode()
        self.answers[path] = Answer(200, body, "text/event-stream", cut)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    fake = FakeGateway()
    monkeypatch.setenv("HOOSH_SERVER", fake.url)
    monkeypatch.delenv("HOOSH_API_KEY", raising=False)
    # A proxy of the environment must not stand between us and our own machine.
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    thread = threading.Thread(target=fake.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        fake.server.shutdown()
        fake.server.server_close()
        thread.join()
