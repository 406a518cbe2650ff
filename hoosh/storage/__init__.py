"""What the house keeps: logs, tables and counters, in memory or in SQLite."""

from hoosh.storage.contract import Counter, Durability, Log, Row, Store, StoreStatistics, Table
from hoosh.storage.settings import Storage

__all__ = ["Counter", "Durability", "Log", "Row", "Storage", "Store", "StoreStatistics", "Table"]
