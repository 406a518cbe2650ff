"""hoosh's HTTP server alone, answering by itself: what stands beside `quart_hello` for like with like.

python -m bench.hoosh_hello PORT
"""

from __future__ import annotations

import sys

import trio

from hoosh.http.exchange import Exchange
from hoosh.http.message import HeaderList
from hoosh.http.server import HttpServer, listen_tcp

HEADERS = [(b"content-type", b"application/json")]


async def hello(exchange: Exchange) -> None:
    await exchange.body(1 << 20)
    await exchange.respond(200, HEADERS, b'{"hello":"world"}')


def error_page(status: int, message: str) -> tuple[HeaderList, bytes]:
    return HEADERS, b'{"error":"%d"}' % status


async def main(port: int) -> None:
    await HttpServer(hello, error_page=error_page).run(listen_tcp("127.0.0.1", port))


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
