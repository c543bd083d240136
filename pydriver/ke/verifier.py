# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The verifier: the violations of rules by a driver, kept until the end of the run.

Where WDF only breaks into the debugger (a verifier break), or where Windows notices nothing at run
time but a static rule would, the violation is recorded here and the call behaves as WDF's does;
`System.close` raises all violations. Violations that are bug checks in WDF or Windows go through
`Kernel.bug_check`.

With the verifier off nothing is recorded, and checks that WDF makes only under its verifier are not
made.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock, get_ident
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from pydriver.errors import PydriverError
from pydriver.ke.bugcheck import (
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    Incident,
)
from pydriver.ke.probes import Point
from pydriver.place import Place, Stack, note_driver, place_of
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR

if TYPE_CHECKING:
    from pydriver.ke.failure import FailStop

__all__ = ("HeldLock", "Verifier", "VerifierConfig", "VerifierError", "Violation")

DEADLOCK: Final = 0x1001
"""Parameter 1 of 0xC4: two locks are taken in both orders [Bug Check 0xC4]."""


@dataclass(frozen=True)
class VerifierConfig:
    """The checks that the verifier makes.

    :ivar enabled: whether the verifier is on, as `VerifierOn` sets it for a driver
    :ivar fail_creations: whether each creation of an object, and each allocation, fails once for
        each call stack of the driver [VerifierAllocateFailCount]
    :ivar dpc_timeout: seconds that one ISR or DPC may take before the DPC watchdog stops the
        system [Bug Check 0x133, DpcTimeout]
    :ivar power_timeout: seconds that a PnP or power callback may take [Bug Check 0x9F]
    """

    enabled: bool = True
    fail_creations: bool = False
    dpc_timeout: float = 20.0
    power_timeout: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Violation(Incident):
    """A broken rule that did not stop the system.

    :ivar times: the number of times that the same call stack broke the same rule
    """

    times: int = 1

    def report(self, *, events: bool = False) -> str:
        """Returns the report, for people.

        :param events: whether to include the recorder's last events
        """
        often = f" ({self.times} times)" if self.times > 1 else ""
        return "\n".join(self.lines(f"*** VERIFIER {self.rule}{often}", events=events))


class VerifierError(PydriverError):
    """A run broke rules of the framework.

    :ivar violations: the violations, each combination of rule and call stack once
    """

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        count = len(self.violations)
        super().__init__(
            "\n".join(
                (
                    f"{count} rule{'s were' if count > 1 else ' was'} broken",
                    *(each.report() for each in self.violations),
                )
            )
        )


# The note of an acquisition, for each lock that is held and for the history of a spin lock: the
# thread, a note of the driver's place (`None` for the framework), the time, and the duration
# (`None` while it is held). It is a list because one is made at each acquisition; classes are made
# of it only for a reader.
AcquisitionNote = list[Any]
THREAD, PLACE, ACQUIRED, HELD = range(4)


def acquired_at(note: AcquisitionNote) -> Place | None:
    """Returns the driver's line that a note of an acquisition names."""
    place = note[PLACE]
    return None if place is None else place_of(place)


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock that is held.

    :ivar lock: the lock
    :ivar thread: the identifier of the thread that acquired it
    :ivar place: the driver's line that acquired it, or ``None`` if the framework did
    """

    lock: object
    thread: int
    place: Place | None


@dataclass
class _Seen:
    incident: dict[str, Any]
    times: int = 1


class Verifier:
    """The violations of one system.

    :param kernel: the kernel of the system
    :param config: the checks that are made
    :ivar enabled: whether the verifier is on; see :class:`VerifierConfig`
    """

    def __init__(self, kernel: "FailStop", config: VerifierConfig) -> None:
        self.config = config
        self.enabled = config.enabled
        self._kernel = kernel
        # Keyed by the locks themselves: the address of a deleted one is soon another lock's.
        self._held: dict[object, AcquisitionNote] = {}  # a lock's entry is its holder's
        self._lock = Lock()  # guards the three below
        self._seen: dict[tuple[str, tuple[Place, ...], str], _Seen] = {}
        self._failed: set[tuple[str, ...]] = set()
        self._order: defaultdict[object, set[object]] = defaultdict(set)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The violations so far, in order."""
        with self._lock:
            return tuple(
                Violation(**each.incident, times=each.times) for each in self._seen.values()
            )

    def violation(
        self,
        rule: str,
        message: str,
        subject: object = None,
        *,
        apart: bool = False,
        stack: Stack | None = None,
        returned: object = None,
        origin: Place | None = None,
    ) -> None:
        """Records a broken rule; nothing happens while the verifier is off.

        :param rule: the name of the rule, from the KMDF rule sets where it has one there
        :param message: the event, in one sentence
        :param subject: the object concerned
        :param apart: whether to count by message instead of by call stack, because the stack does
            not show what broke the rule
        :param stack: the stack of the thread concerned, if that is another one
        :param returned: the callback, if it has returned and so is not on a stack
        :param origin: the line in the callback that is to blame
        """
        if not self.enabled:
            return
        kernel = self._kernel
        processor = kernel.current.processor
        kernel.record(
            (
                perf_counter_ns(),
                Event.VIOLATION,
                NO_PROCESSOR if processor is None else processor.number,
                kernel.irql(),
                subject,
                rule,
            )
        )
        incident = kernel.incident(
            rule, message, subject, stack=stack, returned=returned, origin=origin
        )
        frames = incident["frames"]
        by_message = apart or not frames or returned is not None
        key = (rule, frames, message if by_message else "")
        with self._lock:
            seen = self._seen.setdefault(key, _Seen(incident, 0))
            seen.times += 1
        if kernel.probe is not None:
            kernel.probe(Point.RULE, rule, subject, 0)

    def clear(self) -> None:
        """Forgets the violations so far."""
        with self._lock:
            self._seen.clear()

    def check(self) -> None:
        """Raises an error if there are violations.

        :raises VerifierError: there are violations
        """
        violations = self.violations
        if violations:
            raise VerifierError(violations)

    def fails_creation(self) -> bool:
        """Returns whether the current creation should fail: once for each stack of the driver."""
        if not self.config.fail_creations or not self.enabled:
            return False
        stack = tuple(map(str, Stack.current().places))
        with self._lock:
            new = bool(stack) and stack not in self._failed
            self._failed.add(stack)
        return new

    # Locks. Those that a thread holds are in `kernel.current.held`: an interrupt that nests on the
    # thread adds its own at the end, and has released them when it returns.

    def acquired(self, lock: object) -> AcquisitionNote:
        """Notes a lock that the calling thread has acquired; locks call it if `enabled`."""
        held = self._kernel.current.held
        if held:
            self._check_order(lock, held)
        held.append(lock)
        note = [get_ident(), note_driver(2), perf_counter_ns(), None]
        self._held[lock] = note
        return note

    def released(self, lock: object) -> None:
        """Notes that a lock was released, in any order."""
        note = self._held.pop(lock, None)
        if note is not None:
            note[HELD] = perf_counter_ns() - note[ACQUIRED]
        held = self._kernel.current.held
        if held and held[-1] is lock:
            del held[-1]
            return
        for index in range(len(held) - 2, -1, -1):
            if held[index] is lock:
                del held[index]
                return

    @property
    def held_locks(self) -> "tuple[HeldLock, ...]":
        """The locks that are held now, on all threads."""
        return tuple(
            HeldLock(lock, note[THREAD], acquired_at(note))
            for lock, note in self._held.copy().items()
        )

    def acquired_at(self, lock: object) -> Place | None:
        """Returns the driver's line that acquired a lock that is held."""
        note = self._held.get(lock)
        return None if note is None else acquired_at(note)

    def _check_order(self, lock: object, held: list[object]) -> None:
        for outer in held:
            if outer is lock:
                continue
            with self._lock:
                inverted = outer in self._order[lock]
                self._order[outer].add(lock)
            if inverted:
                self._kernel.bug_check(
                    DRIVER_VERIFIER_DETECTED_VIOLATION,
                    DEADLOCK,
                    id(lock),
                    rule="LockOrder",
                    message=f"{lock} is acquired while {outer} is held, and {outer} has been "
                    f"acquired while {lock} was: two threads can wait for each other",
                )

    def forget_lock(self, lock: object) -> None:
        """Forgets a lock that has been destroyed."""
        self._held.pop(lock, None)
        with self._lock:
            self._order.pop(lock, None)
            for later in self._order.values():
                later.discard(lock)
