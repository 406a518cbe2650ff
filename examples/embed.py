"""A gateway inside your own Trio program.

    pip install hoosh-trio openai
    python examples/embed.py

Two ways: as a service that listens, and without any socket, for the program itself.
"""

import httpx
import trio
from openai import AsyncOpenAI

import hoosh
from hoosh.config import Config, Discovery, Server

CONFIG = Config(server=Server(port=0), discovery=Discovery(local=False, environment=False))


async def as_a_service() -> None:
    """`serve` is a function for your nursery; it says when it is ready, and ends when you cancel it."""
    async with trio.open_nursery() as nursery:
        gateway = await nursery.start(hoosh.serve, CONFIG)
        base_url = f"{gateway.address}/v1"
        # The SDK picks its sleeping and its sockets by the event loop it runs on: it works on Trio as it is.
        async with AsyncOpenAI(base_url=base_url, api_key="none") as client:
            stream = await client.chat.completions.create(
                model="echo", stream=True, messages=[{"role": "user", "content": "salam donya"}]
            )
            async for chunk in stream:
                if chunk.choices:
                    print(chunk.choices[0].delta.content or "", end="", flush=True)
            print()
        nursery.cancel_scope.cancel()


async def without_a_socket() -> None:
    """`open_gateway` starts the services; `transport` lets any httpx client talk to it in memory."""
    body = {"model": "echo", "messages": [{"role": "user", "content": "no socket was opened for this"}]}
    async with (
        hoosh.open_gateway(CONFIG) as gateway,
        httpx.AsyncClient(transport=hoosh.transport(gateway), base_url="http://gateway") as client,
    ):
        answer = (await client.post("/v1/chat/completions", json=body)).json()
        print(answer["choices"][0]["message"]["content"], answer["usage"]["total_tokens"])


async def main() -> None:
    await as_a_service()
    await without_a_socket()


if __name__ == "__main__":
    trio.run(main)
