# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Setup of all tests: signals are handled as in a terminal."""

import signal

import pytest

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    """Undoes the signal settings that this process inherits from `nohup`, or `&` in a script.

    Such a parent ignores SIGHUP or SIGINT; Python and every command would too, and a test that
    interrupts a command by a signal would wait forever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
