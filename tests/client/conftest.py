"""One gateway for all tests that leave it as they found it, and both loops."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from served_house import BACKENDS, House, running


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    with running() as house:
        yield house


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither proxies nor a gateway of whoever runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOOSH_SERVER", "HOOSH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
