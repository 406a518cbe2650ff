"""What the load clients report, who takes part, and how it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import choose_peers, options
from bench.contenders import HOOSH, OURS, Place, contender
from bench.figures import SYNC, WITH_BOOKS, WITHOUT_BOOKS
from bench.load import KEY, parse_h2load, parse_result
from hoosh.config import Config
from hoosh.config.load import load
from hoosh.cost import PriceBook

GWLOAD = (
    '{"begun":140,"seconds":2.0,"requests":100,"chunks":640,"errors":1,"non200":2,"unfinished":3,"abandoned":0,"reconnects":1,'
    '"transit_us":[1.0,2.0,3.0,4.0],"first_us":[1.0,2.0,3.0,4.0],"request_us":[null,null,null,null],'
    '"requests_s":50.0,"chunks_s":320.0}\n'
)
H2LOAD = """\
finished in 1.28s, 12500.50 req/s, 2.12MB/s
requests: 16000 total, 16000 started, 16000 done, 15998 succeeded, 2 failed, 0 errored, 0 timeout
status codes: 15998 2xx, 0 3xx, 2 4xx, 0 5xx
"""


def test_everything_that_is_not_a_whole_good_answer_is_bad() -> None:
    result = parse_result(GWLOAD, cpu_s=0.01)
    assert result.bad == 6
    assert result.cpu_us_per(result.requests) == pytest.approx(100)
    assert result.cpu_us_per(0) is None
    assert result.request_us == (None, None, None, None)


def test_the_report_of_h2load_is_understood() -> None:
    result = parse_h2load(H2LOAD)
    assert (result.requests_s, result.succeeded, result.bad) == (12500.5, 15998, 2)


def test_something_else_is_not_a_report_of_h2load() -> None:
    with pytest.raises(ValueError, match="not a report"):
        parse_h2load("Could not resolve host")


def config_of(name: str, folder: Path) -> Config:
    hoosh = contender(name, Place(8123, 9123, folder, None, "hoosh-trio serve --config {config} # {port}"))
    assert hoosh.port == 8123
    (file,) = [word for word in hoosh.command if word.endswith(".toml")]
    return load(Path(file), {})


@pytest.mark.parametrize("name", OURS)
def test_hoosh_is_started_with_keys_on(name: str, tmp_path: Path) -> None:
    config = config_of(name, tmp_path)
    assert config.keys[0].key.reveal() == KEY
    assert config.providers[0].base_url == "http://127.0.0.1:9123/v1"
    assert config.server.port == 8123


def books_of(config: Config) -> list[object]:
    """What is on of all that costs something."""
    (key,) = config.keys
    limits = [key.pool, key.rpm, key.tpm, key.max_concurrent]
    return [*limits, config.budgets, config.prices, config.audit.enabled, config.cache.enabled]


@pytest.mark.parametrize("name", [HOOSH, WITH_BOOKS, SYNC])
def test_hoosh_stands_beside_others_with_all_its_books_on(name: str, tmp_path: Path) -> None:
    config = config_of(name, tmp_path)
    assert all(books_of(config))
    price = PriceBook(config.prices).of("mock", "openai-compatible", "mock-model", local=True)
    assert price is not None
    assert not price.free, "an upstream on this machine"
    assert config.storage.url == "", "a file in the state directory"
    assert config.storage.durability == ("sync" if name == SYNC else "batched")


def test_the_house_without_books_has_none(tmp_path: Path) -> None:
    config = config_of(WITHOUT_BOOKS, tmp_path)
    assert not any(books_of(config))
    assert config.storage.url == "memory:"


def test_peers_are_those_installed_or_those_asked_for() -> None:
    present = {"nginx": "1", "smg": "2", "hypercorn+quart": "3"}
    assert choose_peers("auto", present) == ["smg", "nginx"]
    assert choose_peers("none", present) == []
    assert choose_peers("nginx", present) == ["nginx"]
    with pytest.raises(SystemExit, match="not installed: litellm"):
        choose_peers("nginx,litellm", present)


def test_a_smoke_run_cannot_become_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options(["--quick", "--write-docs"])
    assert "whole run" in capsys.readouterr().err
