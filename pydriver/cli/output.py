# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A file that a command writes: it appears under its name when it is complete, or never."""

import contextlib
import os
import secrets
from pathlib import Path

import click

from pydriver.cli.options import refuse_file

__all__ = ("OutputFile",)


class OutputFile:
    """A file under a temporary name beside the one that it will have.

    :param path: where it shall be; what a symbolic link leads to is replaced, not the link
    :raises click.UsageError: it cannot be created there
    :ivar path: where it shall be
    """

    def __init__(self, path: Path) -> None:
        self._fd = -1
        try:
            self.path = path.resolve()
            if self.path.exists() and (fault := refuse_file(self.path.stat().st_mode)):
                raise click.UsageError(f"cannot write {path}: {fault}")
            name = f".{self.path.name[:200]}.{secrets.token_hex(4)}.part"
            self._part = self.path.with_name(name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(self._part, flags, 0o666)
        except (OSError, RuntimeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise click.UsageError(f"cannot write {path}: {reason}") from error

    @property
    def link(self) -> Path:
        """A name for it while it is not complete, for a child process; free of special signs."""
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
        """Makes the file so long: what is added is a hole.

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
        """Removes what was written, unless it has its name already. Idempotent."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        with contextlib.suppress(OSError):
            self._part.unlink()
