# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Places: the line of a driver, or of an application, that something is to be blamed on.

A report, the verifier, the watchdogs and the debugger know code only as a :class:`Place`: a
function, a file and a line. They find places in three ways:

- a :class:`Stack` is where a thread is now, or where an exception came from;
- :func:`place_of_callback` is where a driver defines a callback;
- a *note* is taken where there is no time to find a line: on each acquisition of a lock, and each
  time an IRQL is raised. It is a value that nobody looks into; :func:`place_of` makes a place of it
  when somebody asks.

That a driver's code is Python, and its calls are frames, is known to this module alone.
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
        """Whether the code is a library's, on which nothing is blamed."""
        return False

    def __str__(self) -> str:
        return f"{self.function} ({Path(self.file).name}:{self.line})"


@dataclass(frozen=True, slots=True)
class PythonPlace(Place):
    """A line of Python.

    :ivar function: the function's qualified name
    :ivar file: the full path
    :ivar line: from 1
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
        """A line of a function's code."""
        return cls(_name(code), code.co_filename, line)

    @classmethod
    def at(cls, code: CodeType, instruction: int) -> Self:
        """The line of an instruction, which is a frame's ``f_lasti``."""
        for start, end, line in code.co_lines():
            if start <= instruction < end and line is not None:
                return cls.at_line(code, line)
        return cls.at_line(code, code.co_firstlineno)


def _name(code: CodeType) -> str:
    # Python 3.11 has it; the type checker's stubs may not.
    return str(getattr(code, "co_qualname", code.co_name))


# Whose code a file has


class Origin(Enum):
    """The side that a file's code is on."""

    DRIVER = 0
    """a driver's, or an application's"""
    COMMAND = 1
    """an application that is one of this package's commands"""
    LIBRARY = 2
    """Python's own, called by whichever side"""
    HOST = 3
    """what starts threads and tests: it calls the framework, and is nobody's callback"""
    FRAMEWORK = 4


GENERATED = "<DDI "
"""The beginning of the names of the files that the DDIs' checks are compiled from."""

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
    """The origin of each file that has been asked for, by its name."""

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
    """Where pytest is, if it runs: no file of it is looked up before it has been imported."""
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
"""A note of a place: of Python, code and instruction. Only this module looks into one."""

DEPTH: Final = 4
"""Calls of the framework at most between a driver and what notes the driver's place."""

call_above = sys._getframe
"""The call that is so many levels above the caller; of no use but for :func:`note_of`."""

note_of: "attrgetter[Note]" = attrgetter("f_code", "f_lasti")
"""Makes a note of a call that is under way. Its line is searched for each time that it is read: too
dear for where notes are taken."""


def note_driver(level: int) -> Note | None:
    """A note of the driver's call that is innermost on the calling thread's stack.

    :param level: levels above the caller at which to begin
    :return: ``None``: none is near: the framework itself is at work
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
    """The place that a note names."""
    return PythonPlace.at(*note)


def driver_place_of(note: Note | None) -> Place | None:
    """The place that a note names, if it is not one of the framework's."""
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
        """For example ``isr (edu.py:253)``, or ``isr: take (edu.py:253)``."""
        place = place_of(self.call)
        if self.callback[0] is self.call[0]:
            return str(place)
        return f"{_name(self.callback[0])}: {place}"


def find_caller() -> Caller | None:
    """Finds the driver's call that makes an access, on the calling thread's stack.

    :return: ``None``: the framework itself makes it, or one of this package's commands
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

    :param thread: identifier of the thread it runs on
    :param frame: the callback's own
    """

    __slots__ = ("_frame", "_thread")

    def __init__(self, thread: int, frame: FrameType) -> None:
        self._thread = thread
        self._frame = frame

    @property
    def running(self) -> bool:
        """Whether it has still not returned."""
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

    It tells where the thread was when the stack was looked at. What it is made of keeps the
    variables of these calls alive: keep the places, not the stack. No call of the framework is
    kept, for one of those has the stack among its own variables.

    :ivar callback: the callback that the framework has called last; ``None``: it has called none
    """

    __slots__ = ("_runs", "callback")

    def __init__(self, frames: Iterable[tuple[FrameType, int]], thread: int) -> None:
        # Runs of calls that nothing of the framework parts, the innermost first.
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
        """The calling thread's."""
        return cls(traceback.walk_stack(sys._getframe(1)), threading.get_ident())

    @classmethod
    def of_thread(cls, thread: int | None) -> Self | None:
        """Another thread's.

        :param thread: its identifier; ``None``: it has not been started
        :return: ``None``: it does not run
        """
        frame = None if thread is None else sys._current_frames().get(thread)
        if frame is None or thread is None:
            return None
        return cls(traceback.walk_stack(frame), thread)

    @classmethod
    def of_threads(cls) -> dict[int, Self]:
        """Every thread's, at one moment, by the threads' identifiers."""
        return {
            thread: cls(traceback.walk_stack(frame), thread)
            for thread, frame in sys._current_frames().items()
        }

    @classmethod
    def of_error(cls, error: BaseException) -> Self:
        """The calls an exception has left; none if it was not raised."""
        frames = list(traceback.walk_tb(error.__traceback__))
        return cls(reversed(frames), threading.get_ident())

    @property
    def places(self) -> tuple[Place, ...]:
        """The callback that is running: the innermost calls that nothing of the framework parts.

        The outermost comes first. Empty: nothing of a driver is on the stack.
        """
        return _places(self._runs[0])

    @property
    def all_places(self) -> tuple[Place, ...]:
        """All calls of drivers and applications, the outermost first."""
        return tuple(place for run in reversed(self._runs) for place in _places(run))

    @property
    def objects(self) -> list[object]:
        """What the calls of :attr:`places` have in their variables, the innermost first."""
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
    """The name a driver gives a callback, for a message."""
    while isinstance(callback, partial):
        callback = callback.func
    return getattr(callback, "__qualname__", None) or type(callback).__qualname__


def place_of_callback(callback: object) -> Place | None:
    """The place where a driver defines a callback.

    :param callback: it, or a routine of the framework that calls it
    :return: ``None`` if it is not written in Python
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
