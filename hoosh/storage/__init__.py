"""What the house keeps: logs, tables and counters, in memory or in SQLite."""

from hoosh.storage.contract import Counter, Durability, Log, Row, Store, StoreStatistics, Table
from hoosh.storage.memory import MemoryStore
from hoosh.storage.opening import open_store
from hoosh.storage.settings import Storage
from hoosh.storage.sqlite import SqliteStore

__all__ = [
    "Counter",
    "Durability",
    "Log",
    "MemoryStore",
    "Row",
    "SqliteStore",
    "Storage",
    "Store",
    "StoreStatistics",
    "Table",
    "open_store",
]
