# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Deferred procedure calls: KDPC [KeInitializeDpc, KeInsertQueueDpc, KeRemoveQueueDpc].

The time at which the queue is emptied: High and MediumHigh importance request it at once, and so
does Medium on the inserting processor. Low, and Medium on another processor, wait until the queue
has `MAXIMUM_DEPTH` entries, until the IRQL of the processor falls below DISPATCH_LEVEL for another
reason, or until the next tick of the clock, whichever is first. (Windows also considers the rate of
requests, which has no meaning here.)
"""

from collections.abc import Callable
from enum import IntEnum
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Self

from pydriver.declarations.registry import enumeration, stands_for
from pydriver.ke.ddi import function_ddi
from pydriver.ke.irql import DISPATCH_LEVEL, HIGH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.probes import Point, probed
from pydriver.ke.processor import VECTOR_DISPATCH, QueuedDpc
from pydriver.place import callback_name

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.processor import Processor

__all__ = ("Importance", "KDpc", "flush_queued_dpcs")

MAXIMUM_DEPTH: Final = 4
"""Number of DPCs in a queue at which they wait no longer [MaximumDpcQueueDepth]."""


@enumeration(
    "KDPC_IMPORTANCE",
    names={
        "LOW": "LowImportance",
        "MEDIUM": "MediumImportance",
        "HIGH": "HighImportance",
        "MEDIUM_HIGH": "MediumHighImportance",
    },
)
class Importance(IntEnum):
    """The importance of a DPC; High inserts it at the head of the queue [KeSetImportanceDpc]."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    MEDIUM_HIGH = 3


@stands_for("KDPC")
class KDpc(QueuedDpc):
    """One DPC. It is in one queue at most; it leaves the queue before its routine is called.

    :param kernel: the kernel that runs it
    :param routine: the function to call at DISPATCH_LEVEL
    :param owner: the object that records and reports name
    :ivar importance: the importance; a change affects later insertions
    :ivar processor: the processor whose queue has it, or had it last
    :ivar target: the processor whose queue takes it; ``None`` for the inserting processor
    """

    # _flag is a lock used as a test-and-set bit: held while the DPC is in a queue.
    __slots__ = (
        "_arguments",
        "_current",
        "_flag",
        "_kernel",
        "importance",
        "processor",
        "take_flag",
        "target",
    )

    def __init__(self, kernel: "Kernel", routine: Callable[[], object], owner: object) -> None:
        self._kernel = kernel
        self._current = kernel.current
        self._flag = Lock()
        # The thread that takes the DPC from its queue clears the flag before it calls the routine.
        super().__init__(
            probed(kernel.probe, Point.DPC, callback_name(routine), owner, routine),
            owner,
            self._flag.release,
        )
        self._arguments: tuple[Any, Any] = (None, None)
        self.processor: Processor | None = None
        self.importance = Importance.MEDIUM
        self.target: Processor | None = None
        self.take_flag = self._flag.acquire

    @classmethod
    @function_ddi(
        "KeInitializeDpc",
        "VOID (_Out_ PRKDPC Dpc, _In_ PKDEFERRED_ROUTINE DeferredRoutine, "
        "_In_opt_ PVOID DeferredContext)",
        highest=HIGH_LEVEL,
    )
    def initialize(
        cls,
        kernel: "Kernel",
        routine: "Callable[[KDpc, Any, Any, Any], object]",
        context: Any = None,
    ) -> Self:
        """Makes a DPC for a driver, of Medium importance and without a target processor.

        :param routine: the driver's CustomDpc(dpc, context, argument1, argument2), which is called
            at DISPATCH_LEVEL
        :param context: the second argument of the routine
        """
        name = getattr(routine, "__name__", "-")
        dpc = cls(kernel, lambda: None, f"KDPC {name}")
        current = kernel.current
        release = dpc.dequeued

        # As soon as the flag is cleared, another insertion may set the arguments, and another
        # processor may take them: so the run that this thread begins has a copy of its own.
        def dequeued() -> None:
            current.dpc_arguments = dpc._arguments
            release()

        def run() -> None:
            argument1, argument2 = current.dpc_arguments
            routine(dpc, context, argument1, argument2)

        dpc.dequeued = dequeued
        dpc.routine = probed(kernel.probe, Point.DPC, name, dpc, run)
        return dpc

    def __str__(self) -> str:
        return str(self.owner)

    @property
    def queued(self) -> bool:
        """Whether it is in a queue: inserted, but not yet started."""
        return self._flag.locked()

    @function_ddi(
        "KeInsertQueueDpc",
        "BOOLEAN (_Inout_ PRKDPC Dpc, _In_opt_ PVOID SystemArgument1, "
        "_In_opt_ PVOID SystemArgument2)",
        highest=HIGH_LEVEL,
    )
    def insert(self, *arguments: Any) -> bool:
        """Queues it; may be called at any IRQL.

        :param arguments: none, or both of the routine's last two arguments
        :return: ``False`` if it was already in a queue; then nothing changes
        """
        if not self.take_flag(False):
            return False
        if arguments:
            self._arguments = (arguments[0], arguments[1])
        processor = self._current.processor
        if processor is None or self.target is not None or self.importance is not Importance.MEDIUM:
            self._insert_elsewhere(processor)
            return True
        self.processor = processor
        processor.dpcs.append(self)
        if not processor.draining and processor.state.irql < DISPATCH_LEVEL:
            processor.request_dispatch()
        return True

    def insert_taken(self) -> None:
        """Queues it from a passive thread; the caller must have taken its flag."""
        self._insert_elsewhere(None)

    @function_ddi("KeRemoveQueueDpc", "BOOLEAN (_Inout_ PRKDPC Dpc)", highest=HIGH_LEVEL)
    def remove(self) -> bool:
        """Removes it from its queue; may be called at any IRQL.

        :return: ``True`` if it was in a queue and so does not run; ``False`` if it may be running
        """
        processor = self.processor
        if processor is None:
            return False
        try:
            processor.dpcs.remove(self)
        except ValueError:
            return False
        self._flag.release()
        return True

    @function_ddi(
        "KeSetImportanceDpc",
        "VOID (_Inout_ PRKDPC Dpc, _In_ KDPC_IMPORTANCE Importance)",
        highest=HIGH_LEVEL,
    )
    def set_importance(self, importance: Importance) -> None:
        """Sets where later insertions put it, and whether they wait."""
        self.importance = Importance(importance)

    @function_ddi(
        "KeSetTargetProcessorDpc",
        "VOID (_Inout_ PRKDPC Dpc, _In_ CCHAR Number)",
        highest=HIGH_LEVEL,
    )
    def set_target_processor(self, number: int) -> None:
        """Sets the processor whose queue later insertions use.

        :param number: the number of the processor; ignored if there is no such processor
        """
        processors = self._kernel.processors
        if 0 <= number < len(processors):
            self.target = processors[number]

    def _insert_elsewhere(self, processor: "Processor | None") -> None:
        kernel = self._kernel
        borrowed = processor is None
        here = processor or kernel.borrow()
        try:
            target = self.target or here
            self.processor = target
            if self.importance is Importance.HIGH:
                target.dpcs.appendleft(self)
            else:
                target.dpcs.append(self)
            if self._waits(target, here):
                kernel.timers.tick(target)
            elif target is not here:
                here.link.send_ipi(target.link.apic_id, VECTOR_DISPATCH)
            elif not here.draining and here.state.irql < DISPATCH_LEVEL:
                here.request_dispatch()
        finally:
            if borrowed:
                kernel.give_back(here)

    def _waits(self, target: "Processor", here: "Processor") -> bool:
        importance = self.importance
        if importance is Importance.MEDIUM:
            if target is here:
                return False
        elif importance is not Importance.LOW:
            return False
        return len(target.dpcs) < MAXIMUM_DEPTH


@function_ddi("KeFlushQueuedDpcs", "VOID (VOID)", highest=PASSIVE_LEVEL)
def flush_queued_dpcs(kernel: "Kernel") -> None:
    """Waits until every DPC that is queued now, on every processor, has run; at PASSIVE_LEVEL."""
    kernel.flush_queued_dpcs()
