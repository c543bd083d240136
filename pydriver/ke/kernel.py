# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The kernel: what the processors, the threads and the framework have in common.

Failure. The first bug check, or the first error that ends the link, is kept in `failure`; every
wait ends with it, on whatever thread, and every later wait raises it at once.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from threading import Lock, Thread, get_ident
from time import perf_counter_ns
from types import FrameType
from typing import Any, NoReturn
from weakref import WeakValueDictionary

from pydriver.errors import AccessFault, LinkStopped, MachineDied, PydriverError
from pydriver.ke.access import CurrentAccess
from pydriver.ke.bugcheck import (
    ATTEMPTED_SWITCH_FROM_DPC,
    DRIVER_IRQL_NOT_LESS_OR_EQUAL,
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    KMODE_EXCEPTION_NOT_HANDLED,
    PAGE_FAULT_IN_NONPAGED_AREA,
    PYTHON_EXCEPTION,
    REPORTED_EVENTS,
    WDF_VIOLATION,
    BugCheck,
    BugCheckState,
    WdfViolation,
    callback_name,
    driver_stack,
)
from pydriver.ke.dpc import flush_queued_dpcs
from pydriver.ke.irql import (
    APC_LEVEL,
    DISPATCH_LEVEL,
    HIGH_LEVEL,
    PASSIVE_LEVEL,
    irql_name,
)
from pydriver.ke.processor import VECTOR_DISPATCH, CurrentProcessor, Processor
from pydriver.ke.registry import function_ddi
from pydriver.ke.status import STATUS_SUCCESS, NtStatusError
from pydriver.ke.thread import SystemThreads, WorkerThreads
from pydriver.ke.timer import TimerQueue
from pydriver.ke.verifier import Verifier, VerifierConfig
from pydriver.ke.watchdog import JOIN_TIMEOUT, Watchdog
from pydriver.link import ProcessorLink
from pydriver.trace import Event, LevelSummary, Recorder, summarise
from pydriver.trace.recorder import NO_PROCESSOR

__all__ = ("Kernel",)

LOOK_INTERVAL = 0.05
"""Seconds between two looks at whether the system has failed, of who waits for a spin lock."""


class Kernel:
    """Processors, their DPC queues, worker threads, and what to do when something breaks.

    :param links: the mailboxes of the vCPUs, in the order of their numbers
    :param freeze: stops the machine and ends every wait on the link; called once, at a failure
    :param workers: system worker threads
    :param events: entries that the recorder keeps
    :param verifier: what is verified
    :ivar current: what the calling thread runs on
    :ivar processors: by number
    :ivar recorder: the last events
    :ivar record: appends one entry to the recorder
    :ivar workers: run work items
    :ivar disposer: deletes what cannot be at the IRQL of its deletion. One thread of its own: it
        waits for work items
    :ivar threads: that drivers have created
    :ivar timers: that are set, and their clock
    :ivar access: register accesses on the current processor
    :ivar verifier: the broken rules
    :ivar verifying: the verifier is on
    :ivar watchdog: of DPCs and of power callbacks
    :ivar failure: what ended the system, or ``None``
    :ivar tree_lock: guards the object tree
    :ivar context_owners: objects, by the identity of their contexts
    :ivar referenced: objects that a driver has referenced, by identity; while verifying
    :ivar deferred: deletions that the disposer does, by the identity of the object
    """

    vector_dispatch = VECTOR_DISPATCH

    def __init__(
        self,
        links: Sequence[ProcessorLink],
        freeze: Callable[[], None],
        workers: int = 2,
        events: int = 4096,
        verifier: VerifierConfig | None = None,
    ) -> None:
        verifier = verifier or VerifierConfig()
        self.verifying = verifier.enabled
        self.current = CurrentProcessor()
        self.recorder = Recorder(events)
        self.record = self.recorder.append
        self.processors = [Processor(self, link) for link in links]
        self.workers = WorkerThreads(self, "worker", workers)
        self.disposer = WorkerThreads(self, "disposer", 1)
        self.threads = SystemThreads(self)
        self.timers = TimerQueue(self)
        self.access = CurrentAccess(self)
        self.verifier = Verifier(self, verifier)
        self.watchdog = Watchdog(self, verifier.dpc_timeout, verifier.power_timeout)
        self.failure: BaseException | None = None
        # The framework's objects of this system: see pydriver.wdf.object.
        self.tree_lock = Lock()
        self.context_owners: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self.referenced: dict[int, Any] = {}
        self.deferred: dict[int, Any] = {}
        self._freeze = freeze
        self._failing = Lock()
        # Locks held by their waiters' wish: whoever releases one wakes the waiter. A set's
        # add and discard are atomic.
        self._waiters: set[Lock] = set()
        self._threads: list[Thread] = []
        self._homes = count()

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
            processor.start_verifying()
        self.watchdog.start()

    def stop(self) -> None:
        """Joins all threads; the link has been stopped, so that they end."""
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
            pass  # it is this kernel's failure already
        except LinkStopped:
            pass
        except PydriverError as error:
            self.fail(error)
        except BaseException as error:  # a handler lets nothing else out: a defect of ours
            self.fail(error)
            raise

    # IRQL

    @function_ddi("KeGetCurrentIrql", "KIRQL (VOID)", highest=HIGH_LEVEL)
    def irql(self) -> int:
        """The calling thread's IRQL."""
        processor = self.current.processor
        return PASSIVE_LEVEL if processor is None else int(processor.state.irql)

    @function_ddi("KeRaiseIrql", "VOID (KIRQL NewIrql, PKIRQL OldIrql)", highest=HIGH_LEVEL)
    def raise_irql(self, irql: int) -> int:
        """Raises the IRQL, borrowing a processor if the thread runs on none.

        :param irql: not below the current one
        :return: the IRQL to give to :meth:`lower_irql`
        """
        processor = self.current.processor
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

    @function_ddi("KeLowerIrql", "VOID (KIRQL NewIrql)", highest=HIGH_LEVEL)
    def lower_irql(self, irql: int) -> None:
        """Restores what :meth:`raise_irql` returned.

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
        if irql == PASSIVE_LEVEL:
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

    # Borrowing: a passive thread that wants to do something on a processor

    def borrow(self) -> Processor:
        """Makes a passive thread the owner of a processor, at PASSIVE_LEVEL."""
        current = self.current
        processor = current.home
        if processor is None:
            processor = self.processors[next(self._homes) % len(self.processors)]
            current.home = processor
        # Before acquire(): an interrupt can be served on this thread from there on.
        current.processor = processor
        try:
            processor.link.acquire()
        except BaseException:
            current.processor = None
            raise
        processor.owner = get_ident()
        return processor

    def give_back(self, processor: Processor) -> None:
        """Ends what :meth:`borrow` began; interrupts that came meanwhile have been served."""
        try:
            processor.link.release()
        finally:
            self.current.processor = None

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[ProcessorLink]:
        """The link of the current processor, or of a borrowed one for the time of the block."""
        processor = self.current.processor
        if processor is not None:
            yield processor.link
            return
        processor = self.borrow()
        try:
            yield processor.link
        finally:
            self.give_back(processor)

    # Waiting

    def check_wait(self, what: str, limit: int = APC_LEVEL) -> None:
        """Bug-checks a wait at too high an IRQL.

        :param what: who waits, for the report
        :param limit: highest IRQL
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

    def wait(self, lock: Lock, timeout: float | None = None) -> bool:
        """Waits until somebody releases ``lock``, which the caller has acquired before.

        :param timeout: seconds; ``None`` waits for ever
        :return: ``False`` if the time is over
        :raises BugCheck: or what else ended the system
        """
        self._waiters.add(lock)
        try:
            if self.failure is None:
                done = lock.acquire(timeout=-1 if timeout is None else timeout)
        finally:
            self._waiters.discard(lock)
        if self.failure is not None:
            self.raise_failure()
        return done

    def spin(self, mutex: Lock) -> None:
        """Waits for the mutex of a spin lock, at a raised IRQL; ends if the system does."""
        while not mutex.acquire(timeout=LOOK_INTERVAL):
            if self.failure is not None:
                self.raise_failure()

    # Critical regions: normal kernel APCs, of which there are none, are off

    @function_ddi("KeEnterCriticalRegion", "VOID (VOID)", highest=APC_LEVEL)
    def enter_critical_region(self) -> None:
        """Keeps APCs from the calling thread, until as many :meth:`leave_critical_region`."""
        self.current.critical_regions += 1

    @function_ddi("KeLeaveCriticalRegion", "VOID (VOID)", highest=DISPATCH_LEVEL)
    def leave_critical_region(self) -> None:
        """Undoes :meth:`enter_critical_region`."""
        self.current.critical_regions -= 1

    # Failing

    def raise_failure(self) -> NoReturn:
        """Raises what ended the system, on this thread too."""
        failure = self.failure
        if isinstance(failure, BugCheck):
            raise BugCheck(failure.state)
        if isinstance(failure, MachineDied):
            raise MachineDied(*failure.args) from failure
        raise LinkStopped(f"the system has ended: {failure}") from failure

    def fail(self, error: BaseException) -> bool:
        """Ends the system: wakes every waiter.

        :return: ``False`` if it had failed before; then nothing changes
        """
        with self._failing:
            if self.failure is not None:
                return False
            self.failure = error
        with contextlib.suppress(PydriverError):  # what failed first is what counts
            self._freeze()
        for lock in list(self._waiters):
            with contextlib.suppress(RuntimeError):  # it has just been released
                lock.release()
        return True

    def incident(
        self,
        rule: str,
        message: str,
        subject: object = None,
        error: BaseException | None = None,
        frame: FrameType | None = None,
    ) -> dict[str, Any]:
        """What is known about this moment: the fields of an :class:`Incident`.

        :param error: the exception behind it, whose traceback names the driver's line
        :param frame: where another thread is that it is about
        """
        processor = self.current.processor
        try:
            irql = self.irql()
        except PydriverError:
            irql = PASSIVE_LEVEL
        callback, stack = driver_stack(error.__traceback__ if error else None, frame)
        return {
            "rule": rule,
            "message": message,
            "subject": "" if subject is None else str(subject),
            "callback": callback,
            "processor": None if processor is None else processor.number,
            "irql": irql,
            "stack": stack,
            "events": tuple(self.recorder.format(REPORTED_EVENTS)),
        }

    def bug_check(
        self,
        code: int,
        p1: int = 0,
        p2: int = 0,
        p3: int = 0,
        p4: int = 0,
        *,
        rule: str = "",
        message: str,
        subject: object = None,
        error: BaseException | None = None,
        frame: FrameType | None = None,
    ) -> NoReturn:
        """Stops the system [KeBugCheckEx].

        :param code: Windows' code
        :param p1: first of the four parameters
        :param rule: name of the rule that was broken
        :param message: what happened, one sentence
        :param subject: the object that it is about
        :param error: the Python exception behind it
        :param frame: where another thread is that it is about
        :raises BugCheck: always; the first one, if there was one before
        """
        if self.failure is not None:
            self.raise_failure()
        processor = self.current.processor
        number = NO_PROCESSOR if processor is None else processor.number
        try:
            irql = self.irql()
        except PydriverError:
            irql = PASSIVE_LEVEL
        self.record((perf_counter_ns(), Event.BUG_CHECK, number, irql, subject, f"0x{code:X}"))
        incident = self.incident(rule, message, subject, error, frame)
        bug_check = BugCheck(BugCheckState(code=code, parameters=(p1, p2, p3, p4), **incident))
        if not self.fail(bug_check):
            self.raise_failure()
        raise bug_check from error

    def invoke(
        self,
        callback: Callable[..., Any],
        *arguments: Any,
        enhanced: bool = True,
        code: int = KMODE_EXCEPTION_NOT_HANDLED,
    ) -> Any:
        """Calls a driver's callback. What escapes from it is a bug check.

        With the verifier on, the callback must return at the IRQL that it was called at, and
        without a lock that it has acquired.

        :param enhanced: it is one of the callbacks that WDF's enhanced verifier wraps: another
            IRQL is WDF_VIOLATION 0xE then
        :param code: of the bug check for an exception: 0x1E, or 0x7E for a worker thread
        :return: what the callback returned
        """
        if not self.verifying:
            try:
                return callback(*arguments)
            except Exception as error:  # noqa: BLE001 -- becomes a bug check
                self.escaped(error, code)
        current = self.current
        processor = current.processor
        entered = 0 if processor is None else processor.state.irql
        held = len(current.held)
        regions = current.critical_regions
        try:
            result = callback(*arguments)
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            self.escaped(error, code)
        processor = current.processor
        left = 0 if processor is None else processor.state.irql
        if (
            left != entered
            or len(current.held) > held
            or (enhanced and current.critical_regions != regions)
        ):
            self._bad_return(callback, entered, left, held, regions, enhanced=enhanced)
        return result

    def invoke_status(self, callback: Callable[..., int | None], *arguments: Any) -> int:
        """Calls a callback that returns NTSTATUS; ``None`` is STATUS_SUCCESS.

        :class:`NtStatusError` that leaves it is its status, as ``return status`` after
        ``if (!NT_SUCCESS(status))`` would be.
        """

        def returning(*arguments: Any) -> int | None:
            try:
                return callback(*arguments)
            except NtStatusError as error:
                return error.status

        status = self.invoke(returning, *arguments)
        if status is None:
            return STATUS_SUCCESS
        if not isinstance(status, int) or isinstance(status, bool):
            self.escaped(
                TypeError(f"{callback_name(callback)} returned {status!r}, which is no NTSTATUS")
            )
        return status

    def _bad_return(
        self,
        callback: Callable[..., Any],
        entered: int,
        left: int,
        held: int,
        regions: int,
        *,
        enhanced: bool,
    ) -> None:
        name = callback_name(callback)
        self.report_kept(name, held)
        if left == entered:
            change = self.current.critical_regions - regions
            if enhanced and change and entered <= APC_LEVEL:
                self.bug_check(
                    WDF_VIOLATION,
                    WdfViolation.VERIFIER_CRITICAL_REGION_MISMATCH,
                    id(callback),
                    rule="CriticalRegion",
                    message=f"{name} returned {abs(change)} critical region(s) "
                    f"{'deeper' if change > 0 else 'higher'} than it was called",
                )
            return
        message = f"{name} was called at {irql_name(entered)} and returned at {irql_name(left)}"
        if enhanced:
            self.bug_check(
                WDF_VIOLATION,
                WdfViolation.VERIFIER_IRQL_MISMATCH,
                entered,
                left,
                message=message,
            )
        self.bug_check(
            DRIVER_VERIFIER_DETECTED_VIOLATION, 0, left, entered, rule="KmdfIrql2", message=message
        )

    def report_kept(self, name: str, held: int) -> None:
        """Tells the verifier of locks that a callback has kept, and forgets them.

        :param name: of the callback
        :param held: locks that the thread held when it was called
        """
        kept = self.current.held[held:]
        del self.current.held[held:]
        for lock in kept:
            self.verifier.violation(
                getattr(lock, "held_rule", "WdfSpinlockRelease"),
                f"{name} returned and holds {lock}",
                lock,
            )

    def escaped(self, error: Exception, code: int = KMODE_EXCEPTION_NOT_HANDLED) -> NoReturn:
        """A Python exception has left a driver's callback: a bug check, unless the system ended.

        :param error: the exception
        :param code: 0x1E, or 0x7E for a worker thread
        """
        if self.failure is not None:
            self.raise_failure()
        if isinstance(error, MachineDied):
            self.fail(error)
            raise error
        if isinstance(error, LinkStopped):
            raise error
        if isinstance(error, AccessFault):
            irql = self.irql()
            message = f"the driver touched {error.address:#x}: {error}"
            if irql >= DISPATCH_LEVEL:
                self.bug_check(
                    DRIVER_IRQL_NOT_LESS_OR_EQUAL,
                    error.address,
                    irql,
                    error.error_code >> 1 & 1,
                    message=message,
                    error=error,
                )
            self.bug_check(
                PAGE_FAULT_IN_NONPAGED_AREA,
                error.address,
                error.error_code >> 1 & 1,
                message=message,
                error=error,
            )
        self.bug_check(
            code,
            PYTHON_EXCEPTION,
            message=f"{type(error).__name__} left a driver's callback: {error}",
            error=error,
        )

    # DPCs and statistics

    def flush_queued_dpcs(self) -> None:
        """Waits until every DPC that is queued now, on every processor, has run."""
        flush_queued_dpcs(self)

    def summary(self) -> dict[str, LevelSummary]:
        """Count and durations of ``isr``, ``dpc`` and ``work_item``."""
        return {
            "isr": summarise(processor.isr_durations for processor in self.processors),
            "dpc": summarise(processor.dpc_durations for processor in self.processors),
            "work_item": summarise([self.workers.durations]),
        }

    def clear_summary(self) -> None:
        """Begins to count anew."""
        for processor in self.processors:
            processor.isr_durations.clear()
            processor.dpc_durations.clear()
        self.workers.durations.clear()
