"""The straightforward way, as a baseline for HTTP/2: Quart-Trio on stock Hypercorn, answering by itself.

    python -m hypercorn -k trio -b 127.0.0.1:PORT bench.quart_hello:app

It asks no upstream, checks no key and counts nothing; `hoosh_hello` is its counterpart.
"""

from __future__ import annotations

from quart import request
from quart_trio import QuartTrio

app = QuartTrio(__name__)


@app.post("/v1/chat/completions")
async def hello() -> dict[str, str]:
    await request.get_data()
    return {"hello": "world"}
