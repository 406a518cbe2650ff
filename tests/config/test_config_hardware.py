"""`[hardware]`: what is looked for, and mistakes with their lines."""

from __future__ import annotations

import pytest

from hoosh.config import Config, Hardware, loads
from hoosh.errors import ConfigError
from hoosh.hardware.settings import BACKENDS


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, "hoosh.toml", {})
    return [mistake.removeprefix("hoosh.toml:") for mistake in caught.value.mistakes]


def test_the_defaults_are_the_reference_s():
    assert loads("", "hoosh.toml", {}).hardware == Config().hardware == Hardware()
    said = Hardware()
    assert (said.enabled, said.cache_ttl_secs, said.disabled_backends) == (True, 300, ())
    assert (said.vram_reserve_bytes, said.refresh_interval_secs) == (0, 30)


def test_all_of_it_at_once():
    text = (
        "[hardware]\nenabled = false\ncache_ttl_secs = 0\nvram_reserve_bytes = 2147483648\nrefresh_interval_secs = 0\n"
    )
    assert loads(text, "hoosh.toml", {}).hardware == Hardware(
        enabled=False, cache_ttl_secs=0, vram_reserve_bytes=2 * 1024**3, refresh_interval_secs=0
    )


@pytest.mark.parametrize("name", ["intel_npu", "intel-npu", "Intel_NPU", "INTEL-NPU"])
def test_case_and_dashes_do_not_count_in_names_of_backends(name):
    read = loads(f'[hardware]\ndisabled_backends = ["vulkan", "{name}"]\n', "hoosh.toml", {})
    assert read.hardware.disabled_backends == ("vulkan", "intel_npu")
    assert Hardware(disabled_backends=(name,)).disabled_backends == ("intel_npu",)


def test_every_name_of_the_reference_is_known():
    listed = ", ".join(f'"{name}"' for name in BACKENDS)
    assert loads(f"[hardware]\ndisabled_backends = [{listed}]\n", "x", {}).hardware.disabled_backends == BACKENDS
    assert len(BACKENDS) == 17


def test_an_unknown_backend_is_a_mistake_with_its_line():
    (mistake,) = mistakes('[hardware]\ndisabled_backends = [\n  "vulkan",\n  "cuba",\n]\n')
    assert mistake.startswith("4: hardware.disabled_backends[1]: `cuba` is no backend; did you mean `cuda`?")
    with pytest.raises(ConfigError, match="`cuba` is no backend"):
        Hardware(disabled_backends=("cuba",))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('disabled_backends = "cuda"', "is text, must be a list of cuda, rocm"),
        ("disabled_backends = [3]", "3 is no backend"),
        ("cache_ttl_secs = -1", "must be a whole number from 0 to 1000000000"),
        ("vram_reserve_bytes = 1.5", "must be a whole number from 0 to"),
        (f"refresh_interval_secs = 1{'0' * 400}", "from 0 to"),  # more than a float can be
        (f"vram_reserve_bytes = {2**64}", "from 0 to"),  # more than JSON can say here
        ("refresh_secs = 3", "unknown key; did you mean `refresh_interval_secs`?"),
    ],
)
def test_other_mistakes(line, said):
    (mistake,) = mistakes(f"[hardware]\n{line}\n")
    assert mistake.startswith("2: hardware.")
    assert said in mistake
