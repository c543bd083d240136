# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The files that a command reads and writes."""

import contextlib
import os
import stat
from pathlib import Path

import click

__all__ = ("OutputFile", "open_input")


def open_input(path: Path) -> int:
    """Opens the input.

    :return: a descriptor
    :raises click.UsageError: it cannot be read, or is not a regular file
    """
    try:
        # O_NONBLOCK: a FIFO without a writer is refused, not waited for.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise click.UsageError(f"cannot read {path}: {reason}") from error
    if fault := _refuse(os.fstat(fd).st_mode):
        os.close(fd)
        raise click.UsageError(f"cannot read {path}: {fault}")
    return fd


class OutputFile:
    """A file to write, which appears under its name when it is complete, or never.

    Until then it has a temporary name beside that one.

    :param path: the name; the target of a symbolic link is replaced, not the link
    :raises click.UsageError: the file cannot be created there
    :ivar path: the name, with symbolic links resolved
    """

    def __init__(self, path: Path) -> None:
        self._fd = -1
        try:
            self.path = path.resolve()
            if self.path.exists() and (fault := _refuse(self.path.stat().st_mode)):
                raise click.UsageError(f"cannot write {path}: {fault}")
            name = f".{self.path.name[:200]}.{os.urandom(4).hex()}.part"
            self._part = self.path.with_name(name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(self._part, flags, 0o666)
        except (OSError, RuntimeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise click.UsageError(f"cannot write {path}: {reason}") from error

    @property
    def link(self) -> Path:
        """A name for the unfinished file, for a child process; without special characters."""
        return Path(f"/proc/{os.getpid()}/fd/{self._fd}")

    def write(self, data: memoryview, offset: int) -> None:
        """Writes a block; blocks may come in any order.

        :raises OSError: naming the file
        """
        while data:
            try:
                written = os.pwrite(self._fd, data, offset)
            except OSError as error:
                error.filename = str(self.path)
                raise
            data = data[written:]
            offset += written

    def resize(self, size: int) -> None:
        """Sets the size of the file; added bytes are a hole.

        :param size: bytes

        :raises OSError: naming the file
        """
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            error.filename = str(self.path)
            raise

    def commit(self) -> None:
        """Gives the file its name.

        :raises OSError: naming the file
        """
        fd, self._fd = self._fd, -1
        try:
            os.close(fd)
            self._part.replace(self.path)
        except OSError as error:
            self._part.unlink(missing_ok=True)
            error.filename = str(self.path)
            raise

    def discard(self) -> None:
        """Removes the file, unless it has its name already. Idempotent."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        with contextlib.suppress(OSError):
            self._part.unlink()


def _refuse(mode: int) -> str:
    """The reason why a file cannot be input or output; empty if it is a regular file."""
    if stat.S_ISDIR(mode):
        return "it is a directory"
    return "" if stat.S_ISREG(mode) else "it is not a regular file"
