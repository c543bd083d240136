# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Memory that QEMU and the controller share: anonymous files, and reservations in them."""

import mmap
import os
from bisect import bisect_left
from threading import Lock
from typing import Any

from pydriver.abi._native import ffi
from pydriver.errors import ConfigurationError, MachineError

__all__ = ("Reservations", "SharedMemory", "host_address")


_OTHERS = (bytes, bytearray)
"""Buffers of Python's own, which are in no such memory: nothing needs to be computed."""


def host_address(view: memoryview) -> int:
    """The address, in this process, of the first byte of a contiguous view."""
    return int(ffi.cast("uintptr_t", ffi.from_buffer(view)))


class SharedMemory:
    """A memfd, mapped here and passed to QEMU as ``/proc/self/fd/N``: it leaves no name behind.

    :param name: the name that ``/proc/PID/maps`` shows
    :param size: the size in bytes, a multiple of the page size
    :raises ConfigurationError: the size is not a positive multiple of the page size
    :raises MachineError: the system has no memory, or no descriptor, for it
    """

    def __init__(self, name: str, size: int) -> None:
        if size <= 0 or size % mmap.PAGESIZE:
            raise ConfigurationError(f"{name}: {size} bytes is not a positive number of pages")
        self.size = size
        fd = -1
        try:
            fd = os.memfd_create(f"pydriver-{name}", os.MFD_CLOEXEC)
            os.ftruncate(fd, size)
            self._map = mmap.mmap(fd, size)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            raise MachineError(
                f"no memory for {name}: memfd of {size >> 10} KiB: {error.strerror}"
            ) from error
        self.fd = fd
        self.view = memoryview(self._map)
        self._buffer = ffi.from_buffer(self._map)
        self._start = host_address(self.view)

    def backend(self, identifier: str) -> str:
        """Returns the argument of ``-object`` that makes it a shared memory backend of QEMU."""
        path = f"/proc/self/fd/{self.fd}"
        return f"memory-backend-file,id={identifier},mem-path={path},size={self.size},share=on"

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from an offset."""
        return bytes(self.view[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        """Puts bytes to an offset."""
        self.view[offset : offset + len(data)] = data

    def pointer(self, offset: int = 0, ctype: str = "uint8_t *") -> Any:
        """A cffi pointer into the memory, valid until :meth:`close`.

        :param offset: the offset from the start of the memory, in bytes
        :param ctype: the C type of the pointer
        """
        return ffi.cast(ctype, self._buffer + offset)

    def offset_of(self, view: memoryview) -> int | None:
        """Returns the offset in the memory of bytes that Python has a view of.

        :param view: contiguous bytes of any buffer
        :return: the offset, or ``None`` if the bytes are not in this memory or there are none
        """
        if type(view.obj) in _OTHERS:
            return None
        offset = host_address(view) - self._start
        return offset if view.nbytes and 0 <= offset <= self.size - view.nbytes else None

    def close(self) -> None:
        """Unmaps the memory and closes it; pointers and slices in use keep the mapping alive."""
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        ffi.release(self._buffer)
        self.view.release()
        try:
            self._map.close()
        except BufferError:
            # A caller still holds a slice; the mapping ends with it.
            del self._map


class Reservations:
    """First-fit allocation in a range of addresses: guest RAM that the controller lends out.

    Any thread may call it.

    :param start: the first address
    :param end: the address after the last one
    """

    def __init__(self, start: int, end: int) -> None:
        self._free = [(start, end)]
        self._taken: dict[int, int] = {}
        self._lock = Lock()

    def reserve(self, size: int, align: int = 4096) -> int:
        """Takes a range of addresses.

        :param size: the length of the range in bytes
        :param align: a power of two; the range starts at a multiple of it
        :return: the first address
        :raises ConfigurationError: a parameter is not positive, or ``align`` is not a power of two
        :raises MachineError: no gap is large enough
        """
        if size <= 0 or align <= 0 or align & (align - 1):
            raise ConfigurationError(f"cannot reserve {size} bytes aligned to {align}")
        with self._lock:
            for index, (start, end) in enumerate(self._free):
                address = (start + align - 1) & -align
                if address + size <= end:
                    gaps = [(start, address), (address + size, end)]
                    self._free[index : index + 1] = [gap for gap in gaps if gap[0] < gap[1]]
                    self._taken[address] = size
                    return address
        raise MachineError(
            f"guest memory is exhausted: no room for {size} bytes aligned to {align}"
        )

    @property
    def taken(self) -> list[tuple[int, int]]:
        """The ranges that are reserved, each as its first address and the one after its last."""
        with self._lock:
            return sorted((start, start + size) for start, size in self._taken.items())

    def release(self, address: int) -> None:
        """Gives a range back.

        :param address: the address that :meth:`reserve` returned
        """
        with self._lock:
            start, end = address, address + self._taken.pop(address)
            first = last = bisect_left(self._free, (start, end))
            if first and self._free[first - 1][1] == start:
                first -= 1
                start = self._free[first][0]
            if last < len(self._free) and self._free[last][0] == end:
                end = self._free[last][1]
                last += 1
            self._free[first:last] = [(start, end)]
