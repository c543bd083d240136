# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""How far something long has got that is not measured in bytes, on stderr: a bar for a person."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from pydriver.cli.console import say

__all__ = ("steps",)


@contextlib.contextmanager
def steps(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """Shows a bar for the time of a block; a line if stderr is no terminal.

    :param what: is being done
    :param total: what there is to do, in any unit
    :return: what to call with how much is done
    """
    if sys.stderr is None or not sys.stderr.isatty():
        say(what, error=True)
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=max(1, total))
        yield lambda done: progress.update(task, completed=done)
