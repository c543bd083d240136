# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What all tests rely on: signals as a terminal gives them."""

import signal

import pytest

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    """Undoes what `nohup`, or `&` in a script, has handed down to us and to every command.

    Such a parent has SIGHUP or SIGINT ignored; Python keeps to that, and a test that interrupts a
    command by a signal would wait for ever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
