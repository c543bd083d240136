# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The failures that a test expects.

A bug check, a broken rule and the end of QEMU fail the test in which they happen, on any thread. A
test that provokes one of them does so in a block in which the failure is expected.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Generic, TypeVar

import pytest

from pydriver.errors import MachineDied, PydriverError
from pydriver.ke import BugCheck, Violation

if TYPE_CHECKING:
    from pydriver.testing.watch import Watch

__all__ = ("Caught", "Expect")

TIMEOUT = 10.0
"""Seconds after the end of a block in which what it expects may still come."""

LOOK_INTERVAL = 0.005

T = TypeVar("T")
FailureT = TypeVar("FailureT", bound=BaseException)


@dataclass
class Caught(Generic[T]):
    """The failure that a block expected; known when the block is over."""

    _value: T | None = None

    @property
    def value(self) -> T:
        """The bug check, the violation or the end of QEMU.

        :raises RuntimeError: the block is not over
        """
        if self._value is None:
            raise RuntimeError("the value is known only after the block: use it there")
        return self._value


class Expect:
    """Blocks in which a failure is expected.

    :param watch: the watch of the test
    """

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch

    @contextlib.contextmanager
    def bug_check(
        self, code: int | None = None, *, rule: str | None = None, timeout: float = TIMEOUT
    ) -> Iterator[Caught[BugCheck]]:
        """Expects a bug check, in the block or soon after it.

        Errors of calls in the block that are caused by it are suppressed.

        :param code: the code of the bug check; ``None`` for any
        :param rule: the broken rule, or Windows' name of it as the report has it; ``None`` for any
        :param timeout: seconds to wait for it after the block
        :return: the object that catches the :class:`BugCheck`
        """
        __tracebackhide__ = True
        caught: Caught[BugCheck] = Caught()
        with self._system_ends(timeout):
            yield caught
        bug_check = self._ended(BugCheck, "bug check", timeout)
        if code not in (None, bug_check.code):
            pytest.fail(f"bug check 0x{code:X} was expected, not 0x{bug_check.code:X}")
        if rule not in (None, bug_check.state.cause):
            pytest.fail(f"a bug check for {rule} was expected, not for {bug_check.state.cause}")
        caught._value = self._watch.known = bug_check

    @contextlib.contextmanager
    def machine_death(self, *, timeout: float = TIMEOUT) -> Iterator[Caught[MachineDied]]:
        """Expects the end of QEMU, in the block or soon after it; see :meth:`bug_check`."""
        __tracebackhide__ = True
        caught: Caught[MachineDied] = Caught()
        with self._system_ends(timeout):
            yield caught
        caught._value = self._watch.known = self._ended(MachineDied, "end of QEMU", timeout)

    @contextlib.contextmanager
    def violation(self, rule: str, *, timeout: float = TIMEOUT) -> Iterator[Caught[Violation]]:
        """Expects that the verifier finds a broken rule, in the block or soon after it.

        :param rule: the name of the rule
        :param timeout: seconds to wait for it after the block
        :return: the object that catches the :class:`Violation`
        """
        __tracebackhide__ = True
        watch = self._watch
        watch.unexpected += watch.take_violations()
        caught: Caught[Violation] = Caught()
        yield caught
        deadline = monotonic() + timeout
        while caught._value is None:
            for each in watch.take_violations():
                if each.rule == rule:
                    caught._value = each
                else:
                    watch.unexpected.append(each)
            if caught._value is None and monotonic() > deadline:
                pytest.fail(f"rule {rule} was not broken within {timeout:g} s")
            if caught._value is None:
                sleep(LOOK_INTERVAL)

    @contextlib.contextmanager
    def _system_ends(self, timeout: float) -> Iterator[None]:
        """Waits for the failure of the system; takes the errors that follow from it."""
        kernel = self._watch.system.kernel
        never = Lock()
        never.acquire()
        try:
            yield
        except (BugCheck, PydriverError):
            if self._watch.failure is None:
                raise
        with contextlib.suppress(BugCheck, PydriverError):
            kernel.wait(never, timeout)

    def _ended(self, kind: type[FailureT], name: str, timeout: float) -> FailureT:
        __tracebackhide__ = True
        failure = self._watch.system.kernel.failure
        if failure is None:
            pytest.fail(f"no {name} within {timeout:g} s")
        if not isinstance(failure, kind):
            pytest.fail(f"{name} was expected, not {type(failure).__name__}: {failure}")
        return failure
