"""Both stores keep the contract, and `[storage].url` names one of them."""

from pathlib import Path

import pytest

from hoosh.errors import StorageError
from hoosh.storage import MemoryStore, SqliteStore, Storage, open_store
from hoosh.testing.stores import check_store, running


async def test_the_memory_store_keeps_the_contract():
    await check_store(lambda now: MemoryStore(now=now))


async def test_the_sqlite_store_keeps_the_contract(tmp_path: Path):
    def make(now):
        return SqliteStore(tmp_path / "new" / "folder" / "hoosh.db", now=now)

    await check_store(make, again=make)


async def test_files_and_folder_are_for_their_owner_only(tmp_path: Path):
    path = tmp_path / "state" / "hoosh.db"
    async with running(SqliteStore(path)) as store:
        await store.table("t").put("k", b"v")
        assert path.parent.stat().st_mode & 0o777 == 0o700
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(["hoosh.db", "hoosh.db-wal", "hoosh.db-shm", "hoosh.db.lock"], 0o600)


URLS = [
    ("memory:", None),
    ("sqlite:////var/lib/hoosh.db", "/var/lib/hoosh.db"),
    ("sqlite:///state/hoosh.db", "state/hoosh.db"),
    ("sqlite:///../hoosh.db", "../hoosh.db"),
    ("sqlite:////with space/100%25/x.db", "/with space/100%25/x.db"),
]


@pytest.mark.parametrize(("url", "path"), URLS)
def test_a_url_names_a_store(url: str, path: str | None):
    store = open_store(Storage(url=url, durability="sync"), default=Path("unused"))
    assert store.durability == "sync"
    assert isinstance(store, MemoryStore if path is None else SqliteStore)
    assert store.statistics().place == ("" if path is None else str(Path(path)))


def test_without_a_url_the_default_counts_and_without_a_default_memory():
    assert open_store(Storage(), default=Path("x.db")).statistics().place == "x.db"
    assert isinstance(open_store(Storage()), MemoryStore)


BAD = ["sqlite:", "sqlite://", "sqlite:///", "sqlite:///a/", "sqlite:///.", "sqlite:///a\0", "sqlite://host/x", "x.db"]


@pytest.mark.parametrize("url", [*BAD, "mysql://x", "Memory:", "postgresql://me:secret@x/db", "redis://:secret@x"])
def test_another_url_is_refused_with_what_is_possible(url: str):
    with pytest.raises(StorageError, match=r"Possible are `memory:`, `sqlite:////absolute") as caught:
        open_store(Storage(url=url))
    assert ("later version" in str(caught.value)) == url.startswith(("postgres", "redis"))
    assert "secret" not in str(caught.value)
