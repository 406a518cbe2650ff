"""`hoosh-trio keys new`: what it prints works, once, and is kept nowhere."""

from __future__ import annotations

import json

import pytest

from hoosh.access import KeyRing
from hoosh.cli import main
from hoosh.config import loads
from hoosh.errors import Unauthenticated


def printed(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[str, str]:
    """The key, and everything after it."""
    assert main(["keys", "new", *flags]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    key, _, rest = out.partition("\n")
    return key, rest


def test_the_block_it_prints_knows_the_key_and_nothing_else(capsys):
    key, rest = printed(capsys, "--name", "ada@example.com")
    assert key.startswith("sk-hoosh-")
    assert len(key) == len("sk-hoosh-") + 43, "256 bits in base64url"
    assert key not in rest
    config = loads(rest[rest.index("[[keys]]") :], "hoosh.toml", {})
    ring = KeyRing(config.all_keys())
    assert ring.authenticate(b"Bearer " + key.encode(), now_s=0.0).name == "ada@example.com"
    with pytest.raises(Unauthenticated):
        ring.authenticate(b"Bearer " + key[:-1].encode(), now_s=0.0)


def test_no_key_is_printed_twice(capsys):
    assert len({printed(capsys)[0] for _ in range(50)}) == 50


def test_json_says_the_same(capsys):
    assert main(["keys", "new", "--json", "--name", "ada", "--prefix", "hk_"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"name", "key", "digest"}
    assert told["key"].startswith("hk_")
    config = loads(f'[[keys]]\nname = "{told["name"]}"\nkey = "{told["digest"]}"', "hoosh.toml", {})
    assert KeyRing(config.keys).authenticate(None, told["key"].encode(), now_s=0.0).name == "ada"


def test_it_is_written_nowhere(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HOOSH_STATE_DIR", str(tmp_path / "state"))
    printed(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "flags",
    [
        ["--name", ""],
        ["--name", 'a"\nkey = "x'],
        ["--name", "a" * 65],
        ["--name", "ä"],
        ["--prefix", "a b"],
        ["--prefix", "é"],
        ["--prefix", "p" * 33],
        ["--zzz"],
    ],
)
def test_what_would_not_fit_into_a_file_or_a_header_is_wrong_usage(flags, capsys):
    assert main(["keys", "new", *flags]) == 2
    assert capsys.readouterr().out == ""


def test_keys_alone_tells_what_there_is(capsys):
    assert main(["keys"]) == 0
    assert "new" in capsys.readouterr().out


def test_its_help_says_that_the_key_is_kept_nowhere(capsys):
    assert main(["keys", "new", "--help"]) == 0
    assert "kept nowhere" in capsys.readouterr().out.replace("\n", " ")
