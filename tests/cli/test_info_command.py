"""`hoosh-trio info`: what it finds, what it does not tell, and when it fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from hoosh import __version__
from hoosh.cli import main
from hoosh.testing.machines import GIB, cpu, gpu
from hoosh.values.hardware import Device, DeviceFamily, Environment, Interconnect, Inventory

QUIET = "[discovery]\nlocal = false\nenvironment = false\n"
NPU = Device(kind="intel-npu", family=DeviceFamily.NPU, index=0, name="Intel NPU", memory_bytes=0, unified=True)


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
    assert told["hardware"]["system_memory_bytes"] > 0
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


# -- hardware ----------------------------------------------------------------------------------------


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["info"]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def machine_of(monkeypatch):
    """Whoever looks sees this."""

    def stand_on(inventory: Inventory) -> list[tuple[str, ...]]:
        asked: list[tuple[str, ...]] = []

        def look(disabled: tuple[str, ...], environ: object) -> Inventory:
            asked.append(disabled)
            return inventory

        monkeypatch.setattr("hoosh.cli.info.inventory", look)
        return asked

    return stand_on


def test_accelerators_are_shown_with_what_they_say_of_themselves(here, machine_of, capsys):
    part = structs.replace(gpu(1, 10 * GIB), parent=0, name="Card MIG 1g.10gb", utilization_pct=None, power_w=None)
    machine_of(
        Inventory(
            devices=(cpu(), gpu(), part, structs.replace(gpu(2), available=False, name="Lost\x1b[2J"), NPU),
            system_memory_bytes=64 * GIB,
            available_memory_bytes=32 * GIB,
            interconnects=(Interconnect(kind="nvlink", name="GPU 0, 4 links", bandwidth_gb_s=112.5, state="active"),),
            environment=Environment(is_docker=True, cloud_provider="aws", instance_type="p5.48xlarge"),
            warnings=("cuda: GPU 2: GPU is lost",),
            took_s=0.25,
        )
    )
    lines = shown(capsys)
    assert lines[lines.index("processor      Fake CPU") :][:10] == [
        "processor      Fake CPU",
        "memory         64.0 GiB, 32.0 GiB available",
        "accelerator    cuda 0: Fake GPU, 24.0 GiB, 1.0 GiB used, 12 % busy, 45 °C, 120 W",
        "accelerator    cuda 0.1: Card MIG 1g.10gb, 10.0 GiB, 1.0 GiB used, 45 °C",
        "accelerator    cuda 2: Lost?[2J, 24.0 GiB, 1.0 GiB used, 12 % busy, 45 °C, 120 W, not available",
        "accelerator    intel-npu 0: Intel NPU",
        "link           nvlink, GPU 0, 4 links, 112.5 GB/s, active",
        "runs in        a container, aws p5.48xlarge",
        "not understood cuda: GPU 2: GPU is lost",
        "looked at      in 250 ms",
    ]


def test_a_machine_without_any_says_so(here, machine_of, capsys):
    machine_of(Inventory(devices=(cpu(),), system_memory_bytes=64 * GIB))
    assert "accelerator    none" in shown(capsys)


def test_what_the_configuration_has_switched_off_is_not_asked(here, machine_of, capsys):
    asked = machine_of(Inventory(devices=(cpu(),), system_memory_bytes=64 * GIB))
    (here / "hoosh.toml").write_text(f'{QUIET}[hardware]\ndisabled_backends = ["vulkan"]\n')
    assert facts(capsys)["hardware"]["available_vram_bytes"] == 0
    (here / "hoosh.toml").write_text(f"{QUIET}[hardware]\nenabled = false\n")
    assert "hardware       not looked at: [hardware] enabled = false" in shown(capsys)
    assert asked == [("vulkan",)]
