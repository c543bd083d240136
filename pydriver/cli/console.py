# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Printing to readers that may have gone away, as `head` does."""

import os
import sys

__all__ = ("say",)


def say(text: str, *, error: bool = False) -> bool:
    """Prints a text at once.

    :param text: the text, without a newline at its end
    :param error: whether it goes to stderr
    :return: ``False`` if it could not be written; a reader that has gone away does not count
    """
    stream = sys.stderr if error else sys.stdout
    if stream is None:  # it was closed before this process started
        return True
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        _discard(stream.fileno())
    except OSError as failure:
        _discard(stream.fileno())
        if not error:
            say(f"pydriver: error: cannot write to stdout: {failure.strerror}", error=True)
        return False
    return True


def _discard(fd: int) -> None:
    """Discards what is still buffered, and everything that follows."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, fd)
    os.close(nowhere)
