# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The registry: keys with values, in memory, for the lifetime of the system."""

from threading import Lock

__all__ = ("Registry", "RegistryValue")

RegistryValue = int | str | bytes | tuple[str, ...]
"""REG_DWORD, REG_SZ, REG_BINARY, REG_MULTI_SZ."""


class Registry:
    """The registry of one system. Names of keys and values are case-insensitive.

    A key is named by its path; a key that was never written to is empty.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._keys: dict[str, dict[str, RegistryValue]] = {}

    def query(self, key: str, name: str) -> RegistryValue | None:
        """Returns a value, or ``None`` if there is none of that name."""
        with self._lock:
            return self._keys.get(key.lower(), {}).get(name.lower())

    def assign(self, key: str, name: str, value: RegistryValue) -> None:
        """Writes a value."""
        with self._lock:
            self._keys.setdefault(key.lower(), {})[name.lower()] = value
