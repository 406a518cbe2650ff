"""How the gateway and its providers are, over HTTP."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from quart_trio import QuartTrio

from hoosh.api.health import health_routes
from hoosh.storage import StoreStatistics
from hoosh.testing.machines import GIB, cpu, gpu
from hoosh.values import Node, ProviderState
from hoosh.values.hardware import Inventory


class Face:
    """What the health routes ask of a gateway, and no more."""

    version = "1.2.3"
    hardware = SimpleNamespace(inventory=None)

    def __init__(self) -> None:
        self.states = [
            ProviderState("a", "openai", "https://api.example/v1", status="healthy", last_check_age_s=2.5),
            ProviderState(
                *("a#2", "openai", "https://api.example/v1"),
                status="unhealthy",
                breakers={"*": "open", "gpt-9": "half_open"},
                consecutive_failures=3,
                last_error="401",
            ),
            ProviderState("off", "ollama", "http://10.0.0.1:11434", enabled=False, status="unhealthy"),
        ]
        self.nodes = (
            Node("a", "a", "online", 2.50049),
            Node("a#2", "a", "offline"),
            Node("b", "b", "suspect", 31.0),
            Node("c", "c", "unknown"),
        )

    def readiness(self) -> str | None:
        return None

    def store_state(self) -> StoreStatistics:
        return StoreStatistics("sqlite", "ok")

    def providers(self) -> list[ProviderState]:
        return self.states

    def heartbeats(self) -> tuple[Node, ...]:
        return self.nodes


async def ask(face: Face, path: str) -> Any:
    app = QuartTrio("test")
    app.register_blueprint(health_routes(face))  # type: ignore[arg-type]
    response = await app.test_client().get(path)
    assert response.status_code == 200
    return json.loads(await response.get_data())


@pytest.fixture
def face() -> Face:
    return Face()


async def test_the_summary_counts_who_is_down(face: Face):
    summary = await ask(face, "/v1/health")
    assert (summary["status"], summary["providers_configured"], summary["providers_down"]) == ("degraded", 3, 1)
    del face.states[1]
    summary = await ask(face, "/v1/health")
    assert (summary["status"], summary["providers_down"]) == ("ok", 0), "who is switched off is not down"


async def test_providers_show_their_breakers_and_no_reason_that_could_tell_a_secret(face: Face):
    first, second, _ = await ask(face, "/v1/health/providers")
    assert (first["breakers"], first["last_error"], first["last_check_age_s"]) == ({}, None, 2.5)
    assert second["breakers"] == {"*": "open", "gpt-9": "half_open"}
    assert (second["consecutive_failures"], second["last_error"]) == (3, "health check failed")


async def test_the_heartbeat_counts_nodes_and_names_them(face: Face):
    assert await ask(face, "/v1/health/heartbeat") == {
        "total_nodes": 4,
        "online": 1,
        "suspect": 1,
        "offline": 1,
        "total_gpus": 0,
        "total_vram_mb": 0,
        "available_vram_mb": 0,
        "nodes": [
            {"id": "a", "provider": "a", "status": "online", "age_s": 2.5},
            {"id": "a#2", "provider": "a", "status": "offline", "age_s": None},
            {"id": "b", "provider": "b", "status": "suspect", "age_s": 31.0},
            {"id": "c", "provider": "c", "status": "unknown", "age_s": None},
        ],
    }


async def test_the_heartbeat_counts_the_accelerators_of_this_machine_once(face: Face):
    face.hardware = SimpleNamespace(inventory=Inventory(devices=(cpu(), gpu(), gpu(1)), system_memory_bytes=64 * GIB))
    page = await ask(face, "/v1/health/heartbeat")
    assert (page["total_gpus"], page["total_vram_mb"], page["available_vram_mb"]) == (2, 48 * 1024, 46 * 1024)
