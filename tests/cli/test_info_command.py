"""`hoosh-trio info`: what it finds, what it does not tell, and when it fails."""

from __future__ import annotations

import json
import sys
import threading
import types
from typing import Any

import pytest

from hoosh import __version__
from hoosh.cli import machine, main

QUIET = "[discovery]\nlocal = false\nenvironment = false\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory of our own, with no gateway at the usual address."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HOOSH_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("HOOSH_SERVER", raising=False)
    monkeypatch.setattr("hoosh.cli.talk.DEFAULT_SERVER", "http://127.0.0.1:9")
    (tmp_path / "hoosh.toml").write_text(QUIET)
    return tmp_path


def facts(capsys: pytest.CaptureFixture[str], *said: str, code: int = 0) -> dict[str, Any]:
    assert main(["info", "--json", *said]) == code
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_it_tells_versions_machine_and_where_things_are(here, capsys):
    told = facts(capsys)
    assert told["hoosh"] == __version__
    assert told["libraries"]["trio"]
    assert told["machine"]["cores"] >= told["machine"]["usable_cores"] >= 1
    assert told["machine"]["memory_bytes"] > 0
    assert told["configuration"]["file"] == str(here / "hoosh.toml")
    assert told["configuration"]["store"] == {
        "state_directory": str(here / "state"),
        "path": str(here / "state" / "hoosh.db"),
        "bytes": None,
        "trouble": "",
    }


def test_that_no_gateway_runs_is_no_failure_unless_one_was_named(here, capsys):
    assert "start it with" in facts(capsys)["gateway"]["trouble"]
    facts(capsys, "--server", "http://127.0.0.1:9", code=1)


def test_a_running_gateway_says_which_providers_it_reaches(here, gateway, capsys):
    gateway.json("/v1/health", {"status": "degraded", "version": "9.9"})
    gateway.json("/v1/health/providers", [{"provider": "openai\x1b[2J", "status": "unhealthy"}])
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"gateway        hoosh 9.9 at {gateway.url}: degraded\n" in out
    assert "  provider     openai?[2J: unhealthy\n" in out


@pytest.mark.parametrize("answer", [None, [], {}, {"status": "ok"}])
def test_somebody_else_at_the_address_is_told_apart(answer, here, gateway, capsys):
    gateway.json("/v1/health", answer)
    gateway.json("/v1/health/providers", [])
    assert facts(capsys, code=1)["gateway"]["trouble"] == "what answers there is no hoosh gateway"


def test_secrets_of_the_configuration_are_not_in_it(here, capsys):
    (here / "hoosh.toml").write_text(
        f'{QUIET}[[keys]]\nname = "ada"\nkey = "hunter2"\n[[providers]]\ntype = "openai-compatible"\nname = "p"\n'
        'base_url = "https://p.example/v1"\napi_key = "hunter2"\n'
    )
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert "provider       p at https://p.example" in out
    assert "hunter2" not in out
    assert "hunter2" not in json.dumps(facts(capsys))


def test_mistakes_are_shown_with_their_lines_and_fail(here, capsys):
    (here / "hoosh.toml").write_text("[server]\nprot = 1\n")
    assert main(["info"]) == 1
    assert f"{here}/hoosh.toml:2: server.prot: unknown key" in capsys.readouterr().out


# -- GPUs --------------------------------------------------------------------------------------------


class Driver(types.ModuleType):
    """Stands for `pynvml` on a machine with one card."""

    def __init__(self, **broken: Any) -> None:
        super().__init__("pynvml")
        self.shut_down = 0
        self.__dict__.update(broken)

    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None:
        self.shut_down += 1

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return b"Card"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return types.SimpleNamespace(total=80 << 30, used=1 << 30)


def test_cards_are_asked_of_the_driver_where_its_library_is_there(monkeypatch):
    driver = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    assert machine.gpus() == ([machine.Gpu("Card", 80 << 30, 1 << 30)], "")
    assert driver.shut_down == 1


def test_without_the_library_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found, trouble = machine.gpus()
    assert found == []
    assert "pip install nvidia-ml-py" in trouble


def test_a_driver_that_fails_or_hangs_is_no_failure_of_ours(monkeypatch):
    def fail() -> None:
        raise RuntimeError("no driver")

    monkeypatch.setitem(sys.modules, "pynvml", Driver(nvmlInit=fail))
    assert machine.gpus() == ([], "none: no driver")
    go = threading.Event()
    monkeypatch.setattr(machine, "GPU_WITHIN_S", 0.01)
    monkeypatch.setitem(sys.modules, "pynvml", Driver(nvmlInit=go.wait))
    try:
        assert machine.gpus() == ([], "the driver does not answer")
    finally:
        go.set()
