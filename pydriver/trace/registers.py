# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A register trace: every access to a device, written to a file while it happens.

Any thread records, at any IRQL: it appends to a queue, and a thread of the trace turns the content
of the queue into lines. When the queue has become too long, the recording thread makes the lines
itself, so that memory is bounded. The two locks are held for Python code only; no access is made
while one is held:

- `_order` keeps a write next to the changes of memory before it in the queue, and guards the copy
  of the memory;
- `_writing` is held by the thread that empties the queue, so that lines come in the queue's order.

Until the system has started, the file is written under another name. Only whole lines are written:
if something breaks, the file is complete up to that point.
"""

import contextlib
import os
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event, Lock
from time import perf_counter_ns

from pydriver.errors import ConfigurationError
from pydriver.place import find_caller
from pydriver.trace.access import READS, Answered, RegisterAccess, Value
from pydriver.trace.lines import AccessRecord, Lines, MemoryRecord, TracedMachine
from pydriver.trace.memory import MemoryChanges

__all__ = ("RegisterTrace",)

INTERVAL = 0.05
"""Seconds until a recorded access is in the file, unless Python is busy."""

MOST_RECORDS = 10_000
MOST_BYTES = 4 << 20
"""The limits of the queue. A thread that exceeds them makes the lines, which takes some 20 ms."""


class RegisterTrace:
    """A trace that is being written.

    :param path: the path of the file; an existing file is replaced when the system has started
    :raises ConfigurationError: the file cannot be created
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: deque[AccessRecord | MemoryRecord] = deque()
        self._queued_bytes = 0
        self._order = Lock()
        self._writing = Lock()
        self._stop = Event()
        self._thread = threading.Thread(target=self._run, name="pydriver-trace", daemon=True)
        self._lines: Lines | None = None
        self._memory = MemoryChanges(())
        self._ignored: tuple[range, ...] = ()
        self._recording = False
        self._failure: OSError | None = None
        self._size = 0
        try:
            target = path.resolve()
            if target.exists() and not target.is_file():
                raise ConfigurationError(f"cannot write {path}: it is not a regular file")
            self._target = target
            self._part = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(self._part, flags, 0o666)
        except (OSError, RuntimeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigurationError(f"cannot write {path}: {reason}") from error

    def begin(self, machine: TracedMachine, memory: MemoryChanges) -> None:
        """Writes the machine's description, and starts to record. Called when the bus is ready.

        :param machine: the machine that is traced
        :param memory: the changes of the memory that the driver and its devices share
        """
        self._lines = Lines(machine, perf_counter_ns())
        self._memory = memory
        self._ignored = machine.ignored
        self._write(self._lines.header())
        with self._guarded():
            self._part.replace(self._target)
            self._part = self._target
            self._recording = self._failure is None
        self._thread.start()

    def close(self) -> None:
        """Writes the rest. Without :meth:`begin`, there is no file afterwards. Idempotent.

        :raises OSError: not everything could be written; the lines in the file are whole
        """
        if self._fd < 0:
            return
        self._recording = False
        if self._thread.ident is not None:
            self._stop.set()
            self._thread.join()
        self._empty()
        if self._lines is not None:
            self._write(self._lines.end(perf_counter_ns()))
        os.close(self._fd)
        self._fd = -1
        if self._part != self._target:
            with contextlib.suppress(OSError):
                self._part.unlink()
        if self._failure is not None:
            raise self._failure

    # Recording

    def on_access(self, access: RegisterAccess) -> Answered | None:
        """Records a write now, and a read when it is answered: see :data:`Observer`."""
        if access.kind in READS:
            return partial(self._record, access)
        self._record(access, access.value)
        return None

    def _record(self, access: RegisterAccess, value: Value) -> None:
        """Records an access, and before a write the changes of the memory."""
        if not self._recording or any(access.address in each for each in self._ignored):
            return
        caller = find_caller()
        with self._order:
            now = perf_counter_ns()
            if access.kind not in READS:
                for base, offset, data in self._memory.take():
                    self._queued_bytes += len(data)
                    self._queue.append(MemoryRecord(now, base, offset, data))
            kind, processor, irql, width, elements, address, _ = access
            self._queue.append(
                AccessRecord(now, kind, processor, irql, width, elements, address, value, caller)
            )
        if len(self._queue) > MOST_RECORDS or self._queued_bytes > MOST_BYTES:
            self._empty()

    # Writing

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._empty()

    def _empty(self) -> None:
        """Turns what is in the queue now into lines."""
        with self._writing:
            self._queued_bytes = 0
            text: list[str] = []
            for _ in range(len(self._queue)):
                assert self._lines is not None  # nothing is queued before there is one
                text += self._lines.of(self._queue.popleft())
            self._write(text)

    def _write(self, lines: list[str]) -> None:
        data = memoryview("".join(lines).encode())
        with self._guarded():
            while data and self._failure is None:
                data = data[os.write(self._fd, data) :]
            if self._failure is None:
                self._size = os.lseek(self._fd, 0, os.SEEK_CUR)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Keeps the first error for :meth:`close`, and the file whole."""
        try:
            yield
        except OSError as error:
            self._recording = False
            error.filename = str(self._path)
            self._failure = self._failure or error
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
