# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""How soon a thread that waits for Python's interpreter lock gets it, while systems run."""

import contextlib
import sys
from collections.abc import Iterator
from threading import Lock

__all__ = ("SWITCH_INTERVAL", "prompt_switching")

SWITCH_INTERVAL = 0.0005
"""Seconds after which Python's interpreter lock goes to a thread that waits for it."""


class _Block:
    """A block that shortens the interval.

    :ivar before: the interval to restore at its end
    """

    def __init__(self) -> None:
        self.before = sys.getswitchinterval()


# The interval is the process's, so blocks that overlap share it. Each restores the interval that it
# found; one that ends before a later one leaves that to the later one. `_lock` guards the list, in
# which the blocks are in the order of their beginnings.
_lock = Lock()
_blocks: list[_Block] = []


@contextlib.contextmanager
def prompt_switching() -> Iterator[None]:
    """Shortens the interval inside the block, and until every later such block has ended.

    With Python's default of 5 ms, an application's thread that computes would delay each ISR by
    that time, several times.
    """
    with _lock:
        block = _Block()
        _blocks.append(block)
        sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        yield
    finally:
        with _lock:
            index = _blocks.index(block)
            del _blocks[index]
            if index < len(_blocks):
                _blocks[index].before = block.before
            else:
                sys.setswitchinterval(block.before)
