"""Where trials live: in memory, or in an SQL database that survives the process."""

from __future__ import annotations

from archwright.stores.base import Store
from archwright.stores.memory import MemoryStore
from archwright.stores.opening import open_store

__all__ = ["MemoryStore", "Store", "open_store"]
