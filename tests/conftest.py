# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Setup of all tests: signals are handled as in a terminal; some tests have the machine alone."""

import fcntl
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

# Workers take turns by locks on two files that exist anyway. A test locks the turnstile, then the
# room, which it shares unless it is marked `alone`, and unlocks the turnstile. One that waits for
# the room to be empty therefore keeps others from entering, and waits for one test at most.
_TURNSTILE = Path(__file__)
_ROOM = Path(__file__).parents[1] / "pyproject.toml"


def pytest_configure(config: pytest.Config) -> None:
    """Undoes the signal settings that this process inherits from `nohup`, or `&` in a script.

    Such a parent ignores SIGHUP or SIGINT; Python and every command would too, and a test that
    interrupts a command by a signal would wait forever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before the timeout of the test begins
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keeps other workers' tests away from one that is marked `alone`."""
    alone = item.get_closest_marker("alone") is not None
    with _ROOM.open("rb") as room:
        with _TURNSTILE.open("rb") as turnstile:
            fcntl.flock(turnstile, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        return (yield)
