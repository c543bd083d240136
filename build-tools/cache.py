# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The cache that clones share: locks, and directories that either are complete or do not exist."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from command_log import BuildError
from progress import Progress

#: The most finished binaries that the cache keeps.
BINARIES_KEPT = 16


def cache_directory() -> Path:
    """Return the project's cache directory, which is made if necessary."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore relative paths.
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    cache = root / "pydriver"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def digest(*parts: object) -> str:
    """Return a short hash of ``parts``: of bytes as they are, of anything else its repr."""
    total = hashlib.sha256()
    for part in parts:
        total.update(
            hashlib.sha256(part if isinstance(part, bytes) else repr(part).encode()).digest()
        )
    return total.hexdigest()[:16]


@contextlib.contextmanager
def locked(path: Path, progress: Progress) -> Iterator[int]:
    """Hold an exclusive lock on the file ``path``; yield its descriptor for children to inherit."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"another build holds {path}, waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def made_at_once(path: Path) -> Iterator[Path]:
    """Yield a temporary directory that becomes ``path`` when the block ends well."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        # Another process without our lock may have been faster: its directory is as good.
        with contextlib.suppress(OSError):
            temporary.rename(path)
        if not path.is_dir():
            raise BuildError(f"cannot rename {temporary} to {path}")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def prune(cache: Path) -> None:
    """Remove the binaries that have not been used for longest; each edit of the device makes one.

    A clone that still has a link to such a binary finds the link broken and builds it again.
    """

    def age(path: Path) -> float:
        try:
            return -path.stat().st_mtime
        except FileNotFoundError:  # another process prunes, too
            return 0.0

    for path in sorted(cache.glob("qemu-*"), key=age)[BINARIES_KEPT:]:
        doomed = path.with_name(f".{path.name}-{os.getpid()}")
        with contextlib.suppress(OSError):
            path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
