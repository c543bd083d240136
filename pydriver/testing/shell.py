# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`--pydriver-shell-on-fail`: a Python console in a test that has failed, before anything ends."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydriver.debug import Views
from pydriver.debug.shell import cache_folder, make_shell, view_commands
from pydriver.errors import PydriverError
from pydriver.ke import BugCheck
from pydriver.system import System

if TYPE_CHECKING:
    import pytest

    from pydriver.testing.watch import Watch

__all__ = ("open_shell",)

STANDS_STILL = "The machine is stopped; machine.resume() lets it run, machine.stop() stops it."
HAS_ENDED = "The system has ended: registers cannot be read."


def open_shell(
    item: "pytest.Item", error: "pytest.ExceptionInfo[BaseException]", watch: "Watch | None"
) -> None:
    """Opens the console, and returns when the user leaves it.

    Meanwhile the test's output is not captured, the machine is stopped, and no watchdog fires.

    :param item: the test
    :param error: the error with which it failed
    :param watch: the watch of its system; ``None`` if it has no system
    """
    names = _test_locals(item, error)
    state = "The test has no machine."
    with contextlib.ExitStack() as stack:
        if watch is not None:
            names = {**watch.objects, **names}
            state = HAS_ENDED
            if watch.failure is None:
                stack.enter_context(_paused(watch))
                state = STANDS_STILL
        names["error"] = error.value
        banner = "\n".join(
            (
                "",
                f"{item.nodeid} has failed: {error.typename}",
                state,
                f"Names: {', '.join(sorted(names))}. Ctrl-D continues.",
            )
        )
        capture = item.config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)
            stack.callback(capture.resume_global_capture)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pytest's own may be errors
            _interact(banner, names)


def _test_locals(
    item: "pytest.Item", error: "pytest.ExceptionInfo[BaseException]"
) -> dict[str, Any]:
    """The local variables of the test when it failed; its arguments, if it never ran."""
    code_of_test = getattr(getattr(item, "function", None), "__code__", None)
    for entry in error.traceback:
        if entry.frame.code.raw is code_of_test:
            found = entry.frame.f_locals
            break
    else:
        found = getattr(item, "funcargs", {})
    # pytest's own begin with an underscore, or with @.
    return {name: each for name, each in found.items() if name[0] not in "_@"}


@contextlib.contextmanager
def _paused(watch: "Watch") -> Iterator[None]:
    machine, watchdog = watch.system.machine, watch.system.kernel.watchdog
    watchdog.hold(watch)
    try:
        # A system that cannot be stopped is shown as it is.
        with contextlib.suppress(BugCheck, PydriverError):
            machine.stop()
        yield
        with contextlib.suppress(BugCheck, PydriverError):
            machine.resume()
    finally:
        watchdog.release(watch)


def _interact(banner: str, names: dict[str, Any]) -> None:
    system = names.get("system")
    commands = view_commands(Views(system).execute) if isinstance(system, System) else {}
    make_shell(commands, names, f"{banner}\n", cache_folder())()
