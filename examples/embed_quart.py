"""A gateway beside your own routes, in one Quart-Trio app.

    pip install hoosh-trio
    hypercorn -k trio examples/embed_quart:app

The gateway is open from the app's start to its end, in the app's own nursery; views ask it without a socket.
"""

from __future__ import annotations

import httpx
import trio
from quart import Response, jsonify, request
from quart_trio import QuartTrio

import hoosh
from hoosh.config import Discovery

CONFIG = hoosh.GatewayBuilder().add(Discovery(local=False, environment=False)).build()

app = QuartTrio(__name__)


class Inside:
    """The gateway of this app, while it is served."""

    client: httpx.AsyncClient
    over: trio.Event


async def keep_open(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    async with (
        hoosh.open_gateway(CONFIG) as gateway,
        httpx.AsyncClient(transport=hoosh.transport(gateway), base_url="http://gateway") as client,
    ):
        Inside.client, Inside.over = client, trio.Event()
        task_status.started()
        await Inside.over.wait()


@app.before_serving
async def open_gateway() -> None:
    await app.nursery.start(keep_open)


@app.after_serving
async def close_gateway() -> None:
    Inside.over.set()


@app.post("/summary")
async def summary() -> Response:
    """A view of yours.  The model would be one that you have configured."""
    text = (await request.get_data(as_text=True)).strip()
    question = {"model": "echo", "messages": [{"role": "user", "content": f"In one word: {text}"}]}
    answer = (await Inside.client.post("/v1/chat/completions", json=question)).json()
    return jsonify(summary=answer["choices"][0]["message"]["content"])
