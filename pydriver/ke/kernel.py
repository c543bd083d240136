# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The kernel: the common ground of the processors, the threads and the framework.

Its failure is in `failure`, its calls of drivers are in `callbacks`.
"""

from collections.abc import Callable, Sequence
from threading import Lock, Thread, get_ident
from typing import NoReturn

from pydriver.errors import LinkStopped, PydriverError
from pydriver.ke.access import CurrentAccess
from pydriver.ke.borrowing import Borrowing
from pydriver.ke.bugcheck import (
    ATTEMPTED_SWITCH_FROM_DPC,
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    BugCheck,
)
from pydriver.ke.ddi import function_ddi, register
from pydriver.ke.dispatch import connect_dispatch, verify_dispatch
from pydriver.ke.guest_memory import GuestMemory
from pydriver.ke.irql import (
    APC_LEVEL,
    DISPATCH_LEVEL,
    HIGH_LEVEL,
    PASSIVE_LEVEL,
    irql_name,
)
from pydriver.ke.probes import Point, Probe, ProbedHandlers, probed
from pydriver.ke.processor import VECTOR_DISPATCH, Processor, QueuedDpc
from pydriver.ke.system_threads import SystemThreads, WorkerThreads
from pydriver.ke.timer_queue import TimerQueue
from pydriver.ke.verifier import Verifier, VerifierConfig
from pydriver.ke.watchdog import JOIN_TIMEOUT, Watchdog
from pydriver.link import ProcessorLink
from pydriver.machine import Reservations, SharedMemory
from pydriver.place import call_above, note_of
from pydriver.trace import LevelSummary, Recorder, summarise

__all__ = ("Kernel",)


class Kernel(Borrowing):
    """Processors, their DPC queues, worker threads, and the reaction to a failure.

    :param links: the mailboxes of the vCPUs, in the order of their numbers
    :param freeze: the function that stops the machine and ends every wait on the link; called once,
        at a failure
    :param ram: guest RAM
    :param reservations: the addresses of it that are free
    :param workers: the number of system worker threads
    :param recorder: the recorder of events; by default one that keeps the last 4096
    :param verifier: the checks that the verifier makes
    :param probe: a debugger's probe, or ``None``
    :ivar workers: the threads that run work items
    :ivar disposer: the thread that deletes objects that cannot be deleted at the IRQL of the
        deletion; separate from the workers, because it waits for work items
    :ivar threads: the threads that drivers have created
    :ivar timers: the timers that are set, and their clock
    :ivar memory: the guest RAM that the kernel hands out
    :ivar access: register accesses on the current processor
    :ivar watchdog: the watchdogs of DPCs and of power callbacks
    :ivar framework: the framework's state for this system, whose type is unknown to the kernel
    """

    def __init__(
        self,
        links: Sequence[ProcessorLink],
        freeze: Callable[[], None],
        ram: SharedMemory,
        reservations: Reservations,
        workers: int = 2,
        recorder: Recorder | None = None,
        verifier: VerifierConfig | None = None,
        probe: Probe | None = None,
    ) -> None:
        super().__init__(freeze, Recorder() if recorder is None else recorder, probe)
        if probe is not None:
            for link in links:
                link.handlers = ProbedHandlers(link.handlers, probe)
        verifier = verifier or VerifierConfig()
        self.verifying = verifier.enabled
        self.processors = [Processor(link, self.recorder, self.current) for link in links]
        for processor in self.processors:
            connect_dispatch(self, processor)
        self.workers = WorkerThreads(self, "worker", workers)
        self.disposer = WorkerThreads(self, "disposer", 1)
        self.threads = SystemThreads(self)
        self.timers = TimerQueue(self)
        self.access = CurrentAccess(self)
        self.verifier = Verifier(self, verifier)
        self.memory = GuestMemory(ram, reservations, self.verifier)
        self.watchdog = Watchdog(self, verifier.dpc_timeout, verifier.power_timeout)
        self.framework: object = None
        self._threads: list[Thread] = []

    # Life

    def start(self) -> None:
        """Starts a service thread for each processor, and the worker threads."""
        for processor in self.processors:
            name = f"pydriver-cpu{processor.number}"
            thread = Thread(target=self._serve, args=(processor,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self.workers.start()
        self.disposer.start()
        if self.verifying:
            self.watchdog.start()

    def start_verifying(self) -> None:
        """Switches the verifier on, for all drivers, if it is off [WdfVerifierOn]."""
        if self.verifying:
            return
        self.verifier.enabled = self.verifying = True
        for processor in self.processors:
            verify_dispatch(self, processor)
        self.watchdog.start()

    def stop(self) -> None:
        """Joins all threads; the link must have been stopped, so that they end."""
        self.watchdog.stop()
        self.timers.stop()
        self.threads.stop()
        self.workers.stop()
        self.disposer.stop()
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT)
        self._threads.clear()

    def _serve(self, processor: Processor) -> None:
        self.current.processor = processor
        processor.service_thread = get_ident()
        try:
            processor.link.serve()
        except BugCheck:
            pass  # it is already this kernel's failure
        except LinkStopped:
            pass
        except PydriverError as error:
            self.fail(error)
        except BaseException as error:  # a handler raises nothing else: a defect of pydriver
            self.fail(error)
            raise

    # IRQL

    @function_ddi(
        "KeRaiseIrql", "VOID (_In_ KIRQL NewIrql, _Out_ PKIRQL OldIrql)", highest=HIGH_LEVEL
    )
    def raise_irql(self, irql: int) -> int:
        """Raises the IRQL, borrowing a processor if the thread runs on none.

        :param irql: the new IRQL, not below the current one
        :return: the IRQL to pass to :meth:`lower_irql`
        """
        current = self.current
        if self.verifying:
            current.raised_by = note_of(call_above(1))
        processor = current.processor
        if processor is None:
            if irql == PASSIVE_LEVEL:
                return PASSIVE_LEVEL
            processor = self.borrow()
            processor.link.set_cr8(irql)
            return PASSIVE_LEVEL
        old: int = processor.state.irql
        if irql != old:
            if irql < old:
                self.bug_check(
                    DRIVER_VERIFIER_DETECTED_VIOLATION,
                    0x30,
                    old,
                    irql,
                    rule="IrqlKeRaiseLower",
                    message=f"raise from {irql_name(old)} to the lower {irql_name(irql)}",
                )
            processor.link.set_cr8(irql)
        return old

    @function_ddi("KeLowerIrql", "VOID (_In_ KIRQL NewIrql)", highest=HIGH_LEVEL)
    def lower_irql(self, irql: int) -> None:
        """Restores the IRQL that :meth:`raise_irql` returned.

        DPCs that are due, and interrupts that are pending, are served before this returns.
        """
        processor = self.current.processor
        if processor is None:
            if irql == PASSIVE_LEVEL:
                return
            self._bad_lower(PASSIVE_LEVEL, irql)
        link = processor.link
        old: int = processor.state.irql
        if irql > old or (irql < DISPATCH_LEVEL and processor.draining):
            self._bad_lower(old, irql)
        if irql != old:
            if irql < DISPATCH_LEVEL and processor.dpcs:
                processor.request_dispatch()
            link.set_cr8(irql)
        if irql == PASSIVE_LEVEL and not self.current.keeps:
            self.give_back(processor)

    def _bad_lower(self, old: int, irql: int) -> NoReturn:
        processor = self.current.processor
        in_dpc = processor is not None and processor.draining
        self.bug_check(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            0x31,
            old,
            irql,
            int(in_dpc),
            rule="IrqlKeRaiseLower",
            message=f"lower from {irql_name(old)} to {irql_name(irql)}"
            + (" in a DPC" if in_dpc else ""),
        )

    # Waiting

    def check_wait(self, what: str, limit: int = APC_LEVEL) -> None:
        """Bug-checks a wait at too high an IRQL.

        :param what: the name of the waiter, for the report
        :param limit: the highest IRQL at which the wait is legal
        """
        irql = self.irql()
        if irql <= limit:
            return
        processor = self.current.processor
        in_dpc = processor is not None and processor.draining and irql == DISPATCH_LEVEL
        self.bug_check(
            ATTEMPTED_SWITCH_FROM_DPC if in_dpc else DRIVER_VERIFIER_DETECTED_VIOLATION,
            0,
            irql,
            limit,
            rule="KmdfIrql",
            message=f"{what} waits at {irql_name(irql)}",
        )

    # Critical regions: they disable normal kernel APCs, of which there are none here

    @function_ddi("KeEnterCriticalRegion", "VOID (VOID)", highest=APC_LEVEL)
    def enter_critical_region(self) -> None:
        """Disables APCs for the calling thread until the matching :meth:`leave_critical_region`."""
        self.current.critical_regions += 1

    @function_ddi("KeLeaveCriticalRegion", "VOID (VOID)", highest=DISPATCH_LEVEL)
    def leave_critical_region(self) -> None:
        """Undoes :meth:`enter_critical_region`."""
        self.current.critical_regions -= 1

    # DPCs and statistics

    def flush_queued_dpcs(self) -> None:
        """Waits until every DPC that is queued now, on every processor, has run.

        At PASSIVE_LEVEL [KeFlushQueuedDpcs]. A DPC at the tail of each queue signals that.
        """
        name = "KeFlushQueuedDpcs"
        self.check_wait(name)
        self.timers.settle()
        for processor in self.processors:
            done = Lock()
            done.acquire()
            routine = probed(self.probe, Point.DPC, name, name, done.release)
            with self.borrowed() as link:
                processor.dpcs.append(QueuedDpc(routine, name))
                link.send_ipi(processor.link.apic_id, VECTOR_DISPATCH)
            self.wait(done)

    def summary(self) -> dict[str, LevelSummary]:
        """Returns the count and the durations of ``isr``, ``dpc`` and ``work_item``."""
        return {
            "isr": summarise(processor.isr_durations for processor in self.processors),
            "dpc": summarise(processor.dpc_durations for processor in self.processors),
            "work_item": summarise([self.workers.durations]),
        }

    def clear_summary(self) -> None:
        """Resets the counts and durations."""
        for processor in self.processors:
            processor.isr_durations.clear()
            processor.dpc_durations.clear()
        self.workers.durations.clear()


register("KeGetCurrentIrql", "KIRQL (VOID)", PASSIVE_LEVEL, HIGH_LEVEL, f"{__name__}:Kernel.irql")
