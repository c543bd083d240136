# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Places: lines of drivers and applications, which reports name as the cause of a failure.

A report, the verifier, the watchdogs and the debugger know code only as a :class:`Place`: a
function, a file and a line. They find places in three ways:

- a :class:`Stack` is where a thread is now, or where an exception came from;
- :func:`place_of_callback` is where a driver defines a callback;
- a *note* is taken where there is no time to find a line: on each acquisition of a lock, and each
  time an IRQL is raised. It is an opaque value, which :func:`place_of` turns into a place on
  request.

Only this module knows that a driver's code is Python, and that its calls are frames.
"""

import contextlib
import linecache
import sys
import sysconfig
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Final, NamedTuple, Self

__all__ = (
    "GENERATED",
    "Call",
    "Caller",
    "Note",
    "Place",
    "Stack",
    "call_above",
    "callback_name",
    "called_by_driver",
    "driver_place_of",
    "find_caller",
    "note_driver",
    "note_of",
    "place_of",
    "place_of_callback",
)


class Place(ABC):
    """A line of code. Two places are equal if they name the same line of the same function."""

    __slots__ = ()

    @property
    @abstractmethod
    def function(self) -> str:
        """The qualified name of the function the line is in."""

    @property
    @abstractmethod
    def file(self) -> str:
        """The full path of the source file."""

    @property
    @abstractmethod
    def line(self) -> int:
        """The line's number, from 1."""

    @property
    def source(self) -> str:
        """The text of the line, without its indentation; empty if the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    @property
    def library(self) -> bool:
        """Whether the code belongs to a library, which is never blamed."""
        return False

    def __str__(self) -> str:
        return f"{self.function} ({Path(self.file).name}:{self.line})"


@dataclass(frozen=True, slots=True)
class PythonPlace(Place):
    """A line of Python.

    :ivar function: the function's qualified name
    :ivar file: the full path
    :ivar line: the line's number, from 1
    """

    function: str
    file: str
    line: int

    __str__ = Place.__str__

    @property
    def library(self) -> bool:
        """Whether the code is Python's own."""
        return _origins[self.file] in {Origin.LIBRARY, Origin.HOST}

    @classmethod
    def at_line(cls, code: CodeType, line: int) -> Self:
        """Makes the place of a line of a function's code."""
        return cls(_name(code), code.co_filename, line)

    @classmethod
    def at(cls, code: CodeType, instruction: int) -> Self:
        """Makes the place of an instruction, given as a frame's ``f_lasti``."""
        for start, end, line in code.co_lines():
            if start <= instruction < end and line is not None:
                return cls.at_line(code, line)
        return cls.at_line(code, code.co_firstlineno)


def _name(code: CodeType) -> str:
    # Python 3.11 has it; the type checker's stubs may not.
    return str(getattr(code, "co_qualname", code.co_name))


# Origins of files


class Origin(Enum):
    """The side to which a file's code belongs."""

    DRIVER = 0
    """a driver's, or an application's"""
    COMMAND = 1
    """an application that is one of this package's commands"""
    LIBRARY = 2
    """Python's own, called by any side"""
    HOST = 3
    """code that starts threads and tests: it calls the framework, and is not a callback"""
    FRAMEWORK = 4


GENERATED = "<DDI "
"""The beginning of the names of the files from which the DDIs' checks are compiled."""

_PACKAGE = f"{Path(__file__).resolve().parent}/"
_DRIVERS = f"{_PACKAGE}drivers/"
_COMMANDS = tuple(f"{_PACKAGE}{folder}/" for folder in ("bench", "cli", "replay"))
_LIBRARY = (
    *(f"{sysconfig.get_path(each)}/" for each in ("stdlib", "platstdlib")),
    "<frozen ",
)
_INSTALLED = tuple(f"{sysconfig.get_path(each)}/" for each in ("purelib", "platlib"))
_TEST_RUNNER = ("_pytest", "pluggy")


class _Origins(dict[str, Origin]):
    """The origin of each file that has been looked up, by its name."""

    def __missing__(self, file: str) -> Origin:
        origin = self[file] = _origin_of(file)
        return origin


def _origin_of(file: str) -> Origin:
    if file.startswith(GENERATED):
        return Origin.FRAMEWORK
    if file.startswith(_PACKAGE):
        if file.startswith(_DRIVERS):
            return Origin.DRIVER
        return Origin.COMMAND if file.startswith(_COMMANDS) else Origin.FRAMEWORK
    if file == threading.__file__ or file.startswith(tuple(_folders_of_test_runner())):
        return Origin.HOST
    library = file.startswith(_LIBRARY) and not file.startswith(_INSTALLED)
    return Origin.LIBRARY if library else Origin.DRIVER


def _folders_of_test_runner() -> Iterator[str]:
    """Yields pytest's folders, if it runs; its files are looked up only after its import."""
    for name in _TEST_RUNNER:
        for folder in getattr(sys.modules.get(name), "__path__", ()):
            yield f"{folder}/"


_origins = _Origins()
_DRIVER: Final = Origin.DRIVER
_FRAMEWORK: Final = Origin.FRAMEWORK
_BLAMED: Final = frozenset({Origin.DRIVER, Origin.COMMAND, Origin.LIBRARY})
"""The code that a stack shows."""


# Notes

Note = tuple[CodeType, int]
"""A note of a place; for Python, code and instruction. Only this module may read one."""

DEPTH: Final = 4
"""Most calls of the framework between a driver and the function that notes its place."""

call_above = sys._getframe
"""The call that is a number of levels above the caller; its only use is :func:`note_of`."""

note_of: "attrgetter[Note]" = attrgetter("f_code", "f_lasti")
"""Makes a note of a call that has not returned. It keeps the instruction, not the line: Python
searches for the line at each read, which costs too much where notes are taken."""


def note_driver(level: int) -> Note | None:
    """Takes a note of the driver's innermost call on the calling thread's stack.

    :param level: the number of levels above the caller at which to begin
    :return: the note, or ``None`` if no such call is near, because the framework itself is at work
    """
    frame: FrameType | None = sys._getframe(level + 1)
    left = DEPTH
    while frame is not None and left:
        if _origins[frame.f_code.co_filename] is not _FRAMEWORK:
            return frame.f_code, frame.f_lasti
        frame = frame.f_back
        left -= 1
    return None


def place_of(note: Note) -> Place:
    """Returns the place that a note names."""
    return PythonPlace.at(*note)


def driver_place_of(note: Note | None) -> Place | None:
    """Returns the place that a note names, if it is not in the framework."""
    if note is None or _origins[note[0].co_filename] is _FRAMEWORK:
        return None
    return place_of(note)


class Caller(NamedTuple):
    """The driver's call that makes an access.

    :ivar callback: a note of the callback that runs
    :ivar call: a note of the function of the driver that makes the access, perhaps the callback
        itself
    """

    callback: Note
    call: Note

    def __str__(self) -> str:
        """Returns, for example, ``isr (edu.py:253)`` or ``isr: take (edu.py:253)``."""
        place = place_of(self.call)
        if self.callback[0] is self.call[0]:
            return str(place)
        return f"{_name(self.callback[0])}: {place}"


def find_caller() -> Caller | None:
    """Finds the driver's call that makes an access, on the calling thread's stack.

    :return: the call, or ``None`` if the framework or a command of this package makes the access
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _origins[frame.f_code.co_filename] is not _DRIVER:
        frame = frame.f_back
    if frame is None:
        return None
    call = outermost = frame
    while frame is not None:
        origin = _origins[frame.f_code.co_filename]
        if origin is _DRIVER:
            outermost = frame
        elif origin is not Origin.LIBRARY:
            break
        frame = frame.f_back
    return Caller(
        (outermost.f_code, outermost.f_lasti),
        (call.f_code, call.f_lasti),
    )


def called_by_driver() -> bool:
    """Whether a driver, or an application, calls the caller of this function."""
    return _origins[sys._getframe(2).f_code.co_filename] is not _FRAMEWORK


# Stacks


class Call:
    """A driver's callback that the framework has called and that has not returned.

    :param thread: the identifier of the thread it runs on
    :param frame: the frame of the callback
    """

    __slots__ = ("_frame", "_thread")

    def __init__(self, thread: int, frame: FrameType) -> None:
        self._thread = thread
        self._frame = frame

    @property
    def running(self) -> bool:
        """Whether the callback has not returned yet."""
        frame = sys._current_frames().get(self._thread)
        while frame is not None:
            if frame is self._frame:
                return True
            frame = frame.f_back
        return False


_Frames = list[tuple[FrameType, int]]
"""Frames, each with the line it is at, the innermost first."""


class Stack:
    """The calls of drivers and applications on a thread's stack, or those an exception has left.

    It shows where the thread was when the stack was taken. The frames in it keep the variables of
    these calls alive: keep the places, not the stack. Calls of the framework are left out, because
    one of those has the stack among its own variables.

    :ivar callback: the callback that the framework called last, or ``None``
    """

    __slots__ = ("_runs", "callback")

    def __init__(self, frames: Iterable[tuple[FrameType, int]], thread: int) -> None:
        # Runs of calls without a call of the framework in between, the innermost first.
        self._runs: list[_Frames] = [[]]
        self.callback: Call | None = None
        outermost: FrameType | None = None
        for frame, line in frames:
            origin = _origins[frame.f_code.co_filename]
            if origin is not _FRAMEWORK:
                outermost = frame
            elif outermost is not None and self.callback is None:
                self.callback = Call(thread, outermost)
            if origin in _BLAMED:
                self._runs[-1].append((frame, line))
            elif self._runs[-1]:
                self._runs.append([])

    @classmethod
    def current(cls) -> Self:
        """Takes the stack of the calling thread."""
        return cls(traceback.walk_stack(sys._getframe(1)), threading.get_ident())

    @classmethod
    def of_thread(cls, thread: int | None) -> Self | None:
        """Takes the stack of another thread.

        :param thread: the identifier of the thread; ``None`` if it has not been started
        :return: the stack, or ``None`` if the thread does not run
        """
        frame = None if thread is None else sys._current_frames().get(thread)
        if frame is None or thread is None:
            return None
        return cls(traceback.walk_stack(frame), thread)

    @classmethod
    def of_threads(cls) -> dict[int, Self]:
        """Takes the stacks of all threads at one moment; by the identifiers of the threads."""
        return {
            thread: cls(traceback.walk_stack(frame), thread)
            for thread, frame in sys._current_frames().items()
        }

    @classmethod
    def of_error(cls, error: BaseException) -> Self:
        """Takes the calls that an exception has left; none if it was not raised."""
        frames = list(traceback.walk_tb(error.__traceback__))
        return cls(reversed(frames), threading.get_ident())

    @property
    def places(self) -> tuple[Place, ...]:
        """The running callback: the innermost calls without a call of the framework in between.

        The outermost comes first. Empty if no code of a driver is on the stack.
        """
        return _places(self._runs[0])

    @property
    def all_places(self) -> tuple[Place, ...]:
        """All calls of drivers and applications, the outermost first."""
        return tuple(place for run in reversed(self._runs) for place in _places(run))

    @property
    def objects(self) -> list[object]:
        """The objects in the variables of the calls of :attr:`places`, the innermost first."""
        return [
            value
            for frame, _ in self._runs[0]
            if frame.f_code.co_name != "<module>"
            for value in frame.f_locals.values()
        ]


def _places(run: _Frames) -> tuple[Place, ...]:
    return tuple(PythonPlace.at_line(frame.f_code, line) for frame, line in reversed(run))


# Callbacks


def callback_name(callback: object) -> str:
    """Returns the name that a driver gives a callback, for a message."""
    while isinstance(callback, partial):
        callback = callback.func
    return getattr(callback, "__qualname__", None) or type(callback).__qualname__


def place_of_callback(callback: object) -> Place | None:
    """Returns the place where a driver defines a callback.

    :param callback: the callback, or a routine of the framework that calls it
    :return: the place, or ``None`` if the callback is not written in Python
    """
    seen: set[int] = set()
    found = [callback]
    while found:
        each = found.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, partial):
            found += [each.func, *each.args]
        elif isinstance(each, MethodType):
            found += [each.__func__, getattr(each.__self__, "_routine", None)]
        elif isinstance(each, FunctionType):
            code = each.__code__
            if _origins[code.co_filename] is not _FRAMEWORK:
                return PythonPlace.at_line(code, code.co_firstlineno)
            for cell in each.__closure__ or ():
                with contextlib.suppress(ValueError):  # it is empty
                    found.append(cell.cell_contents)
    return None
