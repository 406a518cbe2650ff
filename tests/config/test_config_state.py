"""Where the books lie when nobody says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from hoosh.config.state import state_directory, store_path


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"HOOSH_STATE_DIR": "/srv/h", "XDG_STATE_HOME": "/x", "HOME": "/home/a"}, "/srv/h"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/home/a"}, "/x/hoosh"),
        ({"XDG_STATE_HOME": "x", "HOME": "/home/a"}, "/home/a/.local/state/hoosh"),
        ({"XDG_STATE_HOME": "", "HOOSH_STATE_DIR": "", "HOME": "/home/a"}, "/home/a/.local/state/hoosh"),
    ],
)
def test_the_state_directory_is_the_first_that_is_named(environ, place):
    assert state_directory(environ) == Path(place)
    assert store_path(environ) == Path(place) / "hoosh.db"


def test_a_relative_state_directory_starts_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert state_directory({"HOOSH_STATE_DIR": "books"}) == tmp_path / "books"


def test_nothing_is_created(tmp_path):
    store_path({"HOOSH_STATE_DIR": str(tmp_path / "a")})
    assert not list(tmp_path.iterdir())
