"""Apps whose configuration comes from a file read it again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from hoosh import create_app
from hoosh.errors import ConfigError
from hoosh.gateway import config_watch
from hoosh.gateway.gateway import Gateway

TEXT = "[server]\nwatch_config = true\nmax_queue = 7\n[discovery]\nlocal = false\nenvironment = false\n"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a configuration, which is looked at all the time."""
    monkeypatch.setattr(config_watch, "LOOK_EVERY_S", 0.0)
    path = tmp_path / "hoosh.toml"
    path.write_text(TEXT)
    return path


class Lifespan:
    """What a server and an app tell each other."""

    def __init__(self, path: Path) -> None:
        self.app = create_app(path)
        self.gateway = cast(Gateway, self.app.gateway)
        self.say, self.asked = trio.open_memory_channel[dict[str, Any]](2)
        self.answer, self.heard = trio.open_memory_channel[dict[str, Any]](2)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.app, {"type": "lifespan", "state": {}}, self.asked.receive, self.answer.send)
                await self.say.send({"type": "lifespan.startup"})
                assert await self.heard.receive() == {"type": "lifespan.startup.complete"}
                yield


async def test_an_app_made_of_a_file_watches_it_while_it_lives(path: Path):
    lifespan = Lifespan(path)
    gateway = lifespan.gateway
    async with lifespan.running():
        await trio.Path(path).write_text(TEXT.replace("= 7", "= 70"))
        while gateway.snapshot.config.server.max_queue != 70:
            await trio.sleep(0.001)
        assert (await gateway.reload(by="boss")).generation == 3
        await lifespan.say.send({"type": "lifespan.shutdown"})
        assert await lifespan.heard.receive() == {"type": "lifespan.shutdown.complete"}


async def test_an_app_whose_gateway_breaks_while_it_is_watched_says_so(path: Path):
    lifespan = Lifespan(path)

    async def fail() -> None:
        raise OSError("ledger gone")

    async with lifespan.running():
        services = lifespan.gateway.services
        assert services is not None
        services.start_soon(fail)
        said = await lifespan.heard.receive()
        assert said == {"type": "lifespan.shutdown.failed", "message": "OSError"}


def test_an_app_made_of_a_file_with_a_mistake_is_none(path: Path):
    path.write_text("[server]\nprot = 1\n")
    with pytest.raises(ConfigError, match="prot"):
        create_app(path)
