"""Talk to a gateway from a program: whole answers, streams, budgets, errors.  On Trio, on asyncio, and without either.

pip install hoosh-trio
hoosh-trio serve                       in another window; the model `echo` is always there
python examples/client_chat.py         HOOSH_SERVER and HOOSH_API_KEY say where, and with which key
"""

import anyio

import hoosh


async def main() -> None:
    async with hoosh.HooshClient() as client:
        answer = await client.chat("salam donya", model="echo")
        print(answer.text, answer.usage.total_tokens, answer.provider)

        async with client.stream("word by word", model="echo", timeout_s=30) as stream:
            async for piece in stream:  # leaving the block early stops the work upstream
                print(piece, end="", flush=True)
        print(f" [{stream.finish_reason}]")

        pools = await client.tokens.pools()
        print(pools[0].name, (await client.tokens.check(pools[0].name, 100)).allowed)

        try:
            await client.chat("salam", model="nobody-has-this")
        except hoosh.HooshError as error:  # or errors.NoRoute, of hoosh.client
            print(type(error).__name__, getattr(error, "status", None))


def without_a_loop() -> None:
    with hoosh.SyncHooshClient() as client:
        print(", ".join(model.id for model in client.models() if model.id == "echo"))


if __name__ == "__main__":
    anyio.run(main, backend="trio")
    anyio.run(main, backend="asyncio")
    without_a_loop()
