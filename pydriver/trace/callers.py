# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Who makes an access: the driver's callback, and the line in it or below it."""

import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

__all__ = ("Caller", "find_caller")

_PACKAGE = f"{Path(__file__).resolve().parent.parent}/"
_DRIVERS = f"{_PACKAGE}drivers/"
_LIBRARY = f"{Path(threading.__file__).parent}/"
_OTHERS = f"{_LIBRARY}site-packages/"
_GENERATED = "<DDI "
"""How the names of the files begin that the DDIs' checks are compiled from."""


class Caller(NamedTuple):
    """A place in a driver.

    :ivar callback: the callback that runs
    :ivar function: the function of the driver that made the call, perhaps the callback itself
    :ivar line: in that function's file
    """

    callback: CodeType
    function: CodeType
    line: int

    def __str__(self) -> str:
        """For example ``isr (edu.py:253)``, or ``isr: take (edu.py:253)``."""
        place = f"({Path(self.function.co_filename).name}:{self.line})"
        if self.callback is self.function:
            return f"{_name(self.callback)} {place}"
        return f"{_name(self.callback)}: {_name(self.function)} {place}"


_ours: dict[CodeType, bool] = {}
"""Whether code is the framework's; kept because a stack is searched for each access."""


def find_caller() -> Caller | None:
    """Searches the calling thread's stack for the innermost run of a driver's frames.

    :return: ``None``: the framework itself makes the access
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame.f_code):
        frame = frame.f_back
    if frame is None:
        return None
    function, line = frame.f_code, frame.f_lineno
    callback = function
    while frame is not None and not _is_ours(frame.f_code):
        callback = frame.f_code
        frame = frame.f_back
    return Caller(callback, function, line)


def _is_ours(code: CodeType) -> bool:
    known = _ours.get(code)
    if known is None:
        name = code.co_filename
        known = (
            (name.startswith(_PACKAGE) and not name.startswith(_DRIVERS))
            or (name.startswith(_LIBRARY) and not name.startswith(_OTHERS))
            or name.startswith(_GENERATED)
        )
        _ours[code] = known
    return known


def _name(code: CodeType) -> str:
    # Python 3.11 has it; the type checker's stubs may not.
    return str(getattr(code, "co_qualname", code.co_name))
