# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Places: the code that is blamed, and its line."""

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

import pydriver.place
from pydriver.place import (
    GENERATED,
    Caller,
    Note,
    Place,
    Stack,
    call_above,
    callback_name,
    called_by_driver,
    driver_place_of,
    find_caller,
    note_driver,
    note_of,
    place_of,
    place_of_callback,
)

PACKAGE = Path(pydriver.place.__file__).parent
FRAMEWORK = str(PACKAGE / "wdf" / "made_up.py")
DRIVER = str(PACKAGE / "drivers" / "made_up.py")


def lines_of(place: Place) -> tuple[str, int]:
    return place.function, place.line


def in_file(file: str, source: str, **names: Any) -> Callable[..., Any]:
    """The function `made` of a source, compiled as if it were in a given file."""
    namespace: dict[str, Any] = dict(names)
    exec(compile(source, file, "exec"), namespace)
    made: Callable[..., Any] = namespace["made"]
    return made


def passing_on(file: str) -> Callable[..., Any]:
    """A function in a given file that calls its argument."""
    return in_file(file, "def made(call):\n    return call()\n")


framework = passing_on(FRAMEWORK)
a_driver = passing_on(DRIVER)


# Stacks


def test_stack_shows_the_innermost_calls_that_the_framework_does_not_part() -> None:
    def inner() -> Stack:
        return framework(Stack.current)

    def callback() -> Stack:
        return inner()

    def application() -> Stack:
        return framework(callback)

    stack = application()
    assert [each.function.rpartition(".")[2] for each in stack.places] == ["callback", "inner"]
    assert [each.file for each in stack.places] == [__file__, __file__]
    assert stack.places[0].source == "return inner()"
    every = [each.function.rpartition(".")[2] for each in stack.all_places]
    assert every[-3:] == ["application", "callback", "inner"]


def test_test_runner_is_on_no_stack() -> None:
    places = Stack.current().all_places
    assert places[-1].function == "test_test_runner_is_on_no_stack"
    folders = {Path(each.file).parent.name for each in places}
    assert not folders & {"_pytest", "pluggy"}


@pytest.mark.parametrize(
    ("file", "blamed"),
    [
        (DRIVER, True),
        (str(PACKAGE / "cli" / "made_up.py"), True),
        (str(PACKAGE / "bench" / "made_up.py"), True),
        ("/somewhere/else.py", True),
        ("<stdin>", True),
        (FRAMEWORK, False),
        (str(PACKAGE / "regs.py"), False),
        (str(PACKAGE / "of_next_year" / "made_up.py"), False),
        (f"{GENERATED}WdfMade>", False),
        (threading.__file__, False),
    ],
)
def test_framework_and_what_starts_threads_are_on_no_stack(file: str, *, blamed: bool) -> None:
    stack = framework(lambda: passing_on(file)(Stack.current))
    files = [each.file for each in stack.places]
    assert (file in files) is blamed


def test_error_names_the_lines_it_left() -> None:
    def fails() -> None:
        raise ValueError("on purpose")

    def callback() -> None:
        framework(lambda: a_driver(fails))

    with pytest.raises(ValueError, match="on purpose") as raised:
        framework(callback)
    places = Stack.of_error(raised.value).places
    assert [each.function.rpartition(".")[2] for each in places] == ["<lambda>", "made", "fails"]
    assert places[-1].source == 'raise ValueError("on purpose")'
    assert Stack.of_error(ValueError()).places == ()


def test_variables_of_the_callback_are_at_hand_the_innermost_first() -> None:
    outer, inner = object(), object()

    def callback() -> list[object]:
        kept = inner
        stack = Stack.current()
        assert kept is inner
        return stack.objects

    def application() -> list[object]:
        kept = outer
        found = framework(callback)
        assert kept is outer
        return found

    assert inner in application()
    assert outer not in application()


def test_stack_of_a_thread_tells_whether_its_callback_is_running() -> None:
    begun, go = threading.Event(), threading.Event()

    def callback() -> None:
        begun.set()
        assert go.wait(10)

    thread = threading.Thread(target=framework, args=(callback,))
    thread.start()
    assert begun.wait(10)
    stack = Stack.of_thread(thread.ident)
    assert stack is not None
    assert thread.ident in Stack.of_threads()
    assert [each.function.rpartition(".")[2] for each in stack.places] == ["callback"]
    running = stack.callback
    assert running is not None
    assert running.running
    go.set()
    thread.join()
    assert not running.running
    assert Stack.of_thread(thread.ident) is None
    assert Stack.of_thread(None) is None


def test_application_that_waits_in_the_framework_is_no_callback() -> None:
    assert framework(Stack.current).callback is None


def test_callback_of_a_stack_is_the_innermost_one() -> None:
    stacks: list[Stack] = []

    def inner() -> None:
        stacks.append(Stack.current())

    def outer() -> bool:
        framework(inner)
        callback = stacks[0].callback
        assert callback is not None
        return callback.running

    assert not framework(outer)


def test_library_code_is_shown_and_not_blamed() -> None:
    @contextlib.contextmanager
    def around() -> Iterator[Stack]:
        yield Stack.current()

    def callback() -> tuple[Place, ...]:
        with around() as stack:
            return stack.places

    places = framework(callback)
    assert [(each.function.rpartition(".")[2], each.library) for each in places] == [
        ("callback", False),
        ("__enter__", True),
        ("around", False),
    ]


# Notes


def test_note_is_of_the_line_that_was_reached_then() -> None:
    notes: list[Note] = []
    here = inspect.currentframe()
    assert here is not None
    first = here.f_lineno + 1
    notes.append(note_of(call_above(0)))
    notes.append(note_of(call_above(0)))
    assert [place_of(each).line for each in notes] == [first, first + 1]
    assert place_of(notes[0]).function == here.f_code.co_qualname
    assert place_of(notes[0]).file == __file__


def test_note_of_a_driver_passes_over_the_framework_near_it() -> None:
    near = in_file(FRAMEWORK, "def made():\n    return note_driver(0)\n", note_driver=note_driver)
    note = near()
    assert note is not None
    place = driver_place_of(note)
    assert place is not None
    assert place.source == "note = near()"
    far = near
    source = "def made():\n    return inner()\n"
    for _ in range(4):
        far = in_file(FRAMEWORK, source, inner=far)
    assert far() is None


def test_note_of_the_framework_names_no_place_of_a_driver() -> None:
    source = "def made():\n    return note_of(call_above(0))\n"
    ours = in_file(FRAMEWORK, source, note_of=note_of, call_above=call_above)()
    theirs = in_file(DRIVER, source, note_of=note_of, call_above=call_above)()
    assert driver_place_of(ours) is None
    assert driver_place_of(None) is None
    assert str(driver_place_of(theirs)) == "made (made_up.py:2)"


def test_ddi_knows_whether_a_driver_calls_it() -> None:
    source = "def made():\n    return called_by_driver()\n"
    ddi = in_file(FRAMEWORK, source, called_by_driver=called_by_driver)
    assert ddi()
    assert not framework(ddi)


# Callers of accesses


def test_caller_of_an_access_is_the_line_below_the_callback() -> None:
    def take() -> Caller | None:
        return framework(find_caller)

    def isr() -> Caller | None:
        return take()

    caller = framework(isr)
    first = take.__code__.co_firstlineno
    path = "test_caller_of_an_access_is_the_line_below_the_callback.<locals>"
    assert str(caller) == f"{path}.isr: {path}.take (test_place.py:{first + 1})"
    caller = framework(take)
    assert str(caller) == f"{path}.take (test_place.py:{first + 1})"


def test_caller_of_an_access_is_found_through_library_code() -> None:
    @contextlib.contextmanager
    def around() -> Iterator[Caller | None]:
        yield find_caller()

    def isr() -> Caller | None:
        with around() as caller:
            return caller

    path = "test_caller_of_an_access_is_found_through_library_code.<locals>"
    assert str(framework(isr)).startswith(f"{path}.isr: {path}.around (")


def test_commands_of_the_package_are_no_callers_of_an_access() -> None:
    found: list[Caller | None] = []
    command = in_file(
        str(PACKAGE / "cli" / "made_up.py"),
        "def made():\n    found.append(find_caller())\n",
        found=found,
        find_caller=find_caller,
    )
    thread = threading.Thread(target=command)
    thread.start()
    thread.join()
    assert found == [None]


# Callbacks


class Handlers:
    def method(self) -> None: ...


def definition(function: Callable[..., Any]) -> tuple[str, int]:
    code = function.__code__
    assert isinstance(code, CodeType)
    return code.co_qualname, code.co_firstlineno


def test_callback_is_defined_where_the_driver_wrote_it() -> None:
    def callback() -> None: ...

    bound = Handlers().method
    wrapping = in_file(
        FRAMEWORK, "def made(routine):\n    def call():\n        routine()\n    return call\n"
    )(callback)
    assert isinstance(wrapping, FunctionType)
    for each in (callback, functools.partial(callback, 1), wrapping):
        place = place_of_callback(each)
        assert place is not None
        assert lines_of(place) == definition(callback)
    method = place_of_callback(bound)
    assert method is not None
    assert lines_of(method) == definition(Handlers.method)
    assert place_of_callback(len) is None


def test_callbacks_have_the_name_the_driver_gave_them() -> None:
    assert callback_name(Handlers.method) == "Handlers.method"
    assert callback_name(functools.partial(Handlers.method)) == "Handlers.method"
    assert callback_name(Handlers()) == "Handlers"


def test_places_are_equal_if_they_name_the_same_line() -> None:
    first, second = (place_of(note_of(call_above(0))) for _ in range(2))
    assert first == second
    assert len({first, second}) == 1
    assert first != place_of(note_of(call_above(0)))
