"""Watch what a gateway does, from inside the program that embeds it.

    pip install hoosh-trio httpx
    python examples/watch_events.py

Two listeners: this program itself, and a client of the route for server-sent events.  See docs/events.md.
"""

from functools import partial

import httpx
import trio

import hoosh
from hoosh.config import Config, Discovery, Logging, Server
from hoosh.events import Event, InferenceCompleted, Lost, RequestFinished

CONFIG = Config(
    server=Server(port=0), discovery=Discovery(local=False, environment=False), logging=Logging(level="error")
)


async def watch(gateway: hoosh.Gateway, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Ready once it listens; ends after one request."""
    with gateway.events.subscribe("providers/#", "requests/*") as events:
        task_status.started()
        async for event in events:
            match event:
                case Event(payload=InferenceCompleted() as news):
                    print(f"{news.provider} has answered with {news.tokens} tokens")
                case Event(payload=RequestFinished() as news):
                    print(f"a {news.kind} for {news.model} has ended: {news.outcome}, {news.status}")
                    return
                case Lost(count=count):
                    print(f"{count} events were missed")


async def read_stream(gateway: hoosh.Gateway) -> None:
    """The same over HTTP, beginning before the first event that is kept."""
    url = f"{gateway.address}/v1/events/stream?topic=requests/*&last_event_id=0"
    async with httpx.AsyncClient(timeout=None) as client, client.stream("GET", url) as response:
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                print("over HTTP:", line.removeprefix("event: "))
            if line == "event: request_finished":
                return


async def main() -> None:
    body = {"model": "echo", "messages": [{"role": "user", "content": "salam donya"}]}
    async with trio.open_nursery() as nursery:
        gateway = await nursery.start(hoosh.serve, CONFIG)
        async with trio.open_nursery() as watching:
            await watching.start(partial(watch, gateway))
            async with httpx.AsyncClient() as client:
                await client.post(f"{gateway.address}/v1/chat/completions", json=body)
        await read_stream(gateway)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
