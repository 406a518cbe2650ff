"""A gateway beside asyncio: it runs on Trio, in a thread of its own, and is asked over loopback.

    pip install hoosh-trio openai
    python examples/embed_asyncio.py

`hoosh.blocking_gateway` is a plain `with` block: it works in a script without any event loop just as well.
"""

from __future__ import annotations

import asyncio

from openai import AsyncOpenAI

import hoosh
from hoosh.config import Discovery

CONFIG = (
    hoosh.GatewayBuilder()
    .listen("127.0.0.1", 0)  # any free port
    .key("program", "sk-inside")
    .add(Discovery(local=False, environment=False))
    .build()
)


async def ask(address: str, *questions: str) -> list[str]:
    """All at once."""
    async with AsyncOpenAI(base_url=f"{address}/v1", api_key="sk-inside") as client:

        async def answer(question: str) -> str:
            chat = await client.chat.completions.create(model="echo", messages=[{"role": "user", "content": question}])
            return chat.choices[0].message.content or ""

        return await asyncio.gather(*map(answer, questions))


def main() -> None:
    with hoosh.blocking_gateway(CONFIG) as address:
        for line in asyncio.run(ask(address, "salam", "donya")):
            print(line)


if __name__ == "__main__":
    main()
