"""The service that looks at the machine: in the background, from the disk first, by what the configuration says now."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import trio
from msgspec.structs import replace

from hoosh.config import Config, Discovery, loads
from hoosh.config import Hardware as Settings
from hoosh.gateway.assembly import open_gateway
from hoosh.gateway.hardware import Eyes, Hardware, ready
from hoosh.hardware.detection import Detection
from hoosh.hardware.kept import KeptSight
from hoosh.hardware.machine import Machine
from hoosh.hardware.root import Root
from hoosh.hardware.sight import Sight
from hoosh.testing.house import memory_house
from hoosh.testing.machines import GIB, FakeMachine, gpu
from hoosh.values.hardware import Device, Inventory

QUIET = Config(discovery=Discovery(local=False, environment=False))


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, message: str, *, room: str = "", **fields: object) -> None:
        self.lines.append((message, fields))

    warning = info


class Clock:
    """Unix time that follows the clock of the test."""

    def __call__(self) -> float:
        return trio.current_time()


def sees(machine: FakeMachine) -> Eyes:
    return partial(ready, machine)


class TimedMachine(FakeMachine):
    """Its looks are dated by the clock of the test."""

    def __init__(self, *devices: Device) -> None:
        super().__init__(*devices, wall_s=Clock())


async def test_a_start_waits_for_no_driver(monkeypatch, tmp_path):
    """The house answers while the first look hangs, and closing it does not wait either."""
    go = threading.Event()
    monkeypatch.setattr("hoosh.hardware.nvml.has_driver", lambda root: go.wait())
    try:
        async with open_gateway(QUIET, environ={}, looks=Detection(Machine(tmp_path, {}))) as gateway:
            assert gateway.readiness() is None
            assert gateway.hardware.inventory is None
            assert b"hoosh_accelerator_temperature_celsius{" not in gateway.metrics_text()
    finally:
        go.set()


async def test_the_first_look_is_waited_for_and_not_for_ever(autojump_clock):
    class Slow(FakeMachine):
        async def look(self, disabled=()):
            await trio.sleep(4)
            return await super().look(disabled)

    class Stuck(FakeMachine):
        async def look(self, disabled=()):
            await trio.sleep_forever()

    async with memory_house(QUIET, machine=Slow(gpu())) as house:
        inventory = await house.gateway.hardware.look()
        assert trio.current_time() >= 4
        assert inventory.vram_bytes == 24 * GIB
    async with memory_house(QUIET, machine=Stuck()) as house:
        status, headers, body = await house.get("/v1/hardware")
        assert (status, headers.get(b"retry-after")) == (503, b"5")
        assert b"still being looked at" in body


async def test_who_waits_for_the_first_look_has_it_though_the_configuration_changes_meanwhile(autojump_clock):
    class Slow(FakeMachine):
        async def look(self, disabled=()):
            await trio.sleep(2)
            return await super().look(disabled)

    hardware = Hardware(Settings(), sees(Slow(gpu())))
    seen: list[tuple[int, float]] = []

    async def wait() -> None:
        seen.append(((await hardware.look()).vram_bytes, trio.current_time()))

    async with trio.open_nursery() as nursery:
        await nursery.start(hardware.run)
        async with trio.open_nursery() as waiting:
            waiting.start_soon(wait)
            await trio.sleep(1)
            hardware.configure(Settings(disabled_backends=("vulkan",)))
        nursery.cancel_scope.cancel()
    assert seen == [(24 * GIB, 4.0)], "two looks, of which the first counts no more"


async def test_glances_come_often_and_whole_looks_when_the_last_is_too_old(autojump_clock):
    machine = TimedMachine(gpu())
    hardware = Hardware(Settings(refresh_interval_secs=30, cache_ttl_secs=300), sees(machine), wall_s=Clock())
    async with trio.open_nursery() as nursery:
        await nursery.start(hardware.run)
        await trio.sleep(299)
        assert (machine.looks, machine.glances) == (1, 9)
        machine.devices = (gpu(), gpu(1))
        await trio.sleep(2)
        assert (machine.looks, machine.glances) == (2, 9)
        assert hardware.inventory is not None
        assert len(hardware.inventory.accelerators) == 2
        nursery.cancel_scope.cancel()


async def test_without_an_interval_once_is_enough(autojump_clock):
    machine = TimedMachine(gpu())
    async with trio.open_nursery() as nursery:
        await nursery.start(Hardware(Settings(refresh_interval_secs=0), sees(machine), wall_s=Clock()).run)
        await trio.sleep(86_400)
        assert (machine.looks, machine.glances) == (1, 0)
        nursery.cancel_scope.cancel()


async def test_where_none_is_kept_whole_looks_are_as_rare(autojump_clock):
    machine = TimedMachine(gpu())
    async with trio.open_nursery() as nursery:
        await nursery.start(Hardware(Settings(cache_ttl_secs=0), sees(machine), wall_s=Clock()).run)
        await trio.sleep(299)
        assert (machine.looks, machine.glances) == (1, 9)
        nursery.cancel_scope.cancel()


async def test_other_backends_mean_another_look_and_a_switch_means_none(autojump_clock):
    machine = TimedMachine(gpu())
    settings = Settings(refresh_interval_secs=0)
    hardware = Hardware(settings, sees(machine), wall_s=Clock())
    async with trio.open_nursery() as nursery:
        await nursery.start(hardware.run)
        assert len((await hardware.look()).accelerators) == 1
        hardware.configure(replace(settings, disabled_backends=("cuda",), vram_reserve_bytes=7))
        assert hardware.inventory is None
        assert hardware.reserve_bytes == 7
        assert (await hardware.look()).accelerators == ()
        assert machine.asked == [(), ("cuda",)]
        hardware.configure(replace(settings, enabled=False))
        inventory = await hardware.look()
        assert (hardware.inventory, inventory.devices) == (None, ())
        await trio.sleep(1000)
        assert machine.looks == 2
        hardware.configure(settings)
        assert len((await hardware.look()).accelerators) == 1
        nursery.cancel_scope.cancel()


async def test_a_look_under_settings_that_count_no_more_is_not_shown(autojump_clock):
    class Slow(TimedMachine):
        async def look(self, disabled=()):
            await trio.sleep(10)
            return await super().look(disabled)

    machine = Slow(gpu())
    hardware = Hardware(Settings(), sees(machine), wall_s=Clock())
    async with trio.open_nursery() as nursery:
        await nursery.start(hardware.run)
        await trio.sleep(5)
        hardware.configure(Settings(disabled_backends=("cuda",)))
        await trio.sleep(6)
        assert hardware.inventory is None
        await trio.sleep(10)
        assert hardware.inventory is not None
        assert hardware.inventory.accelerators == ()
        nursery.cancel_scope.cancel()


async def test_a_crash_is_a_line_of_the_log_and_the_last_look_stays(autojump_clock):
    class Breaking(TimedMachine):
        async def glance(self, before):
            raise RuntimeError("a bug")

    log = Log()
    hardware = Hardware(Settings(), sees(Breaking(gpu())), log, wall_s=Clock())
    async with trio.open_nursery() as nursery:
        await nursery.start(hardware.run)
        await trio.sleep(100)
        assert ("the machine could not be looked at", {"error": "RuntimeError"}) in log.lines
        assert hardware.inventory is not None
        nursery.cancel_scope.cancel()


async def test_the_log_is_told_once_of_what_goes_on_being_wrong(autojump_clock):
    machine, log = TimedMachine(gpu()), Log()
    machine.warnings = ("cuda: GPU 1: GPU is lost",)
    async with trio.open_nursery() as nursery:
        await nursery.start(Hardware(Settings(), sees(machine), log, wall_s=Clock()).run)
        await trio.sleep(100)
        assert log.lines == [("hardware not understood", {"what": "cuda: GPU 1: GPU is lost"})]
        nursery.cancel_scope.cancel()


# -- the look on the disk, in threads: on the real clock -------------------------------------------------------------


class WatchedMachine(FakeMachine):
    """Says when it is glanced at: what a look had to write is written by then."""

    def __init__(self, *devices: Device) -> None:
        super().__init__(*devices)
        self.glanced = trio.Event()

    async def glance(self, before: Sight) -> Sight:
        self.glanced.set()
        return await super().glance(before)


async def first_inventory(
    machine: WatchedMachine,
    path: Path,
    settings: Settings = Settings(),  # noqa: B008  # frozen
    log: Log | None = None,
) -> Inventory:
    async def eyes() -> tuple[FakeMachine, KeptSight]:
        return machine, KeptSight(path, Root("/nonexistent"))

    hardware = Hardware(settings, eyes, log)
    async with trio.open_nursery() as nursery:
        await nursery.start(hardware.run)
        inventory = await hardware.look()
        if settings.cache_ttl_secs:
            hardware.configure(settings)
            await machine.glanced.wait()
        nursery.cancel_scope.cancel()
    return inventory


async def test_a_gateway_that_starts_again_knows_its_machine_at_once(tmp_path):
    path = tmp_path / "hoosh" / "hardware.json"
    first, second = WatchedMachine(gpu()), WatchedMachine(gpu())
    await first_inventory(first, path)
    inventory = await first_inventory(second, path)
    assert len(inventory.accelerators) == 1
    assert (first.looks, second.looks) == (1, 0)


async def test_what_was_disabled_meanwhile_is_not_believed(tmp_path):
    path = tmp_path / "hardware.json"
    await first_inventory(WatchedMachine(gpu()), path)
    machine = WatchedMachine(gpu())
    inventory = await first_inventory(machine, path, Settings(disabled_backends=("cuda",)))
    assert (inventory.accelerators, machine.looks) == ((), 1)


async def test_a_look_that_complains_is_not_kept_and_none_is_where_nobody_wants_it(tmp_path):
    path = tmp_path / "hardware.json"
    machine = WatchedMachine(gpu())
    machine.warnings = ("cuda: has not answered within 10 s",)
    await first_inventory(machine, path)
    assert not path.exists()
    await first_inventory(WatchedMachine(gpu()), path, Settings(cache_ttl_secs=0))
    assert not path.exists()


async def test_a_disk_that_takes_nothing_is_no_failure(tmp_path):
    (tmp_path / "file").write_text("")
    log = Log()
    inventory = await first_inventory(WatchedMachine(gpu()), tmp_path / "file" / "hoosh" / "hardware.json", log=log)
    assert len(inventory.accelerators) == 1
    assert log.lines == [("hardware not kept on the disk", {"error": "Not a directory"})]


async def test_who_never_runs_looks_at_nothing():
    hardware = Hardware()
    assert (hardware.inventory, hardware.reserve_bytes) == (None, 0)


# -- the house -------------------------------------------------------------------------------------------------------


async def test_metrics_show_what_each_accelerator_says_of_itself():
    async with memory_house(QUIET, machine=FakeMachine(gpu(), gpu(1, used_bytes=None))) as house:
        await house.gateway.hardware.look()
        text = house.gateway.metrics_text().decode()
    label = 'device="{}",name="Fake GPU"'
    for line in (
        f'hoosh_accelerator_memory_bytes{{{label.format(0)},state="total",type="cuda"}} 2.5769803776e+10',
        f'hoosh_accelerator_memory_bytes{{{label.format(0)},state="used",type="cuda"}} 1.073741824e+09',
        f'hoosh_accelerator_utilization_ratio{{{label.format(1)},type="cuda"}} 0.12',
        f'hoosh_accelerator_temperature_celsius{{{label.format(1)},type="cuda"}} 45.0',
        f'hoosh_accelerator_power_watts{{{label.format(1)},type="cuda"}} 120.0',
    ):
        assert line in text
    assert f'{label.format(1)},state="used"' not in text


async def test_a_reload_reaches_the_machine():
    machine = FakeMachine(gpu())
    async with memory_house(QUIET, machine=machine) as house:
        await house.gateway.hardware.look()
        changed = loads('[hardware]\ndisabled_backends = ["CUDA"]\nvram_reserve_bytes = 1024\n', "x", {})
        told = await house.gateway.reload(replace(QUIET, hardware=changed.hardware))
        assert told.changed == ("hardware",)
        assert told.needs_restart == ()
        assert (await house.gateway.hardware.look()).accelerators == ()
        assert house.gateway.hardware.reserve_bytes == 1024


async def test_requests_go_on_while_the_machine_cannot_be_looked_at():
    class Breaking(FakeMachine):
        async def look(self, disabled=()):
            raise RuntimeError("a bug")

    asked = {"model": "echo", "messages": [{"role": "user", "content": "salam"}]}
    async with memory_house(QUIET, machine=Breaking()) as house:
        status, _, body = await house.post("/v1/chat/completions", asked)
        assert status == 200
        assert b"salam" in body
        assert house.gateway.readiness() is None
