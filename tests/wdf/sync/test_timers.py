# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Timers, by a clock that the tests step."""

import threading
from collections.abc import Callable, Iterator

import pytest

from pydriver.ke import (
    BugCheck,
    EventType,
    KDpc,
    KEvent,
    KTimer,
    ManualClock,
    MonotonicClock,
    NtStatusError,
    VerifierConfig,
    get_current_processor_number,
)
from pydriver.ke.bugcheck import KMODE_EXCEPTION_NOT_HANDLED, PYTHON_EXCEPTION
from pydriver.ke.clock import timeout_ticks
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
    STATUS_TIMEOUT,
    STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL,
    STATUS_WDF_PARENT_NOT_SPECIFIED,
    STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID,
)
from pydriver.wdf import (
    WDF_ABS_TIMEOUT_IN_MS,
    WDF_ABS_TIMEOUT_IN_SEC,
    WDF_ABS_TIMEOUT_IN_US,
    WDF_REL_TIMEOUT_IN_MS,
    WDF_REL_TIMEOUT_IN_SEC,
    WDF_REL_TIMEOUT_IN_US,
    Dpc,
    DpcConfig,
    ExecutionLevel,
    Object,
    ObjectAttributes,
    SynchronizationScope,
    Timer,
    TimerConfig,
)
from tests.harness.bench import TIMEOUT, Bench, Signal
from tests.harness.serialized import load_device

MS = WDF_ABS_TIMEOUT_IN_MS(1)
LATER = WDF_REL_TIMEOUT_IN_MS(10)
LONGEST = 0x7FFFFFFF


@pytest.fixture
def clock(bench: Bench) -> Iterator[ManualClock]:
    """The clock of the shared system, which the test steps."""
    clock = ManualClock()
    bench.kernel.timers.use(clock)
    yield clock
    bench.kernel.timers.use(MonotonicClock())


def make(
    parent: Object,
    callback: Callable[[Timer], None],
    level: ExecutionLevel = ExecutionLevel.INHERIT_FROM_PARENT,
    **config: int,
) -> Timer:
    attributes = ObjectAttributes(parent_object=parent, execution_level=level)
    return Timer.create(TimerConfig(callback, **config), attributes)


class Counter:
    """A callback that notes the times and IRQLs of its calls."""

    def __init__(self, bench: Bench) -> None:
        self._kernel = bench.kernel
        self.times: list[int] = []
        self.levels: list[int] = []

    def __call__(self, timer: Timer) -> None:
        self.times.append(self._kernel.timers.clock.now() // MS)
        self.levels.append(self._kernel.irql())


def advance(bench: Bench, clock: ManualClock, ms: int) -> None:
    """Advances the clock, and waits until the timers that are due have run."""
    clock.advance(ms * MS)
    bench.kernel.flush_queued_dpcs()


@pytest.mark.covers("WdfTimerCreate", "WdfTimerStart", "EvtTimerFunc")
def test_timer_calls_once_at_dispatch_level_when_its_time_has_come(
    bench: Bench, clock: ManualClock
) -> None:
    counter = Counter(bench)
    timer = make(load_device(bench), counter)
    assert timer.start(LATER) is False
    advance(bench, clock, 9)
    assert counter.times == []
    advance(bench, clock, 1)
    assert (counter.times, counter.levels) == ([10], [DISPATCH_LEVEL])
    advance(bench, clock, 100)
    assert counter.times == [10]


@pytest.mark.covers("WdfTimerGetParentObject")
def test_parent_of_a_timer_is_what_it_was_created_with(bench: Bench) -> None:
    device = load_device(bench)
    assert make(device, lambda timer: None).get_parent_object() is device


@pytest.mark.covers("WdfTimerStart")
def test_timer_that_is_started_again_is_rearmed(bench: Bench, clock: ManualClock) -> None:
    counter = Counter(bench)
    timer = make(load_device(bench), counter)
    assert timer.start(LATER) is False
    advance(bench, clock, 5)
    assert timer.start(LATER) is True
    advance(bench, clock, 9)
    assert counter.times == []
    advance(bench, clock, 1)
    assert counter.times == [15]
    assert timer.start(LATER) is False


@pytest.mark.covers("WdfTimerStart")
def test_absolute_due_time_is_a_system_time(bench: Bench, clock: ManualClock) -> None:
    counter = Counter(bench)
    timer = make(load_device(bench), counter)
    timer.start(clock.system_time() + 7 * MS)
    advance(bench, clock, 6)
    assert counter.times == []
    advance(bench, clock, 1)
    assert counter.times == [7]


@pytest.mark.covers("WdfTimerStart")
@pytest.mark.parametrize("due_time", [0, WDF_ABS_TIMEOUT_IN_SEC(1)], ids=["zero", "in the past"])
def test_timer_whose_time_is_over_expires_at_once(
    bench: Bench, clock: ManualClock, due_time: int
) -> None:
    counter = Counter(bench)
    timer = make(load_device(bench), counter)
    assert timer.start(due_time) is False
    advance(bench, clock, 0)
    assert counter.times == [0]


@pytest.mark.covers("WDF_TIMER_CONFIG.Period")
def test_periodic_timer_calls_until_it_is_stopped(bench: Bench, clock: ManualClock) -> None:
    counter = Counter(bench)
    timer = make(load_device(bench), counter, period=3)
    timer.start(WDF_REL_TIMEOUT_IN_MS(1))
    for _ in range(8):
        advance(bench, clock, 1)
    assert counter.times == [1, 4, 7]
    assert timer.stop(wait=False) is True
    advance(bench, clock, 10)
    assert counter.times == [1, 4, 7]


@pytest.mark.covers("WDF_TIMER_CONFIG.TolerableDelay")
def test_timer_with_a_tolerable_delay_shares_the_wake_up_of_another(
    bench: Bench, clock: ManualClock
) -> None:
    device = load_device(bench)
    tolerant, exact = Counter(bench), Counter(bench)
    make(device, tolerant, tolerable_delay=5).start(LATER)
    make(device, exact).start(WDF_REL_TIMEOUT_IN_MS(12))
    for _ in range(20):
        advance(bench, clock, 1)
    assert (tolerant.times, exact.times) == ([12], [12])
    timer = make(device, tolerant, tolerable_delay=5)
    timer.start(LATER)
    for _ in range(20):
        advance(bench, clock, 1)
    assert tolerant.times == [12, 35], "nobody else: at the end of what it tolerates"


@pytest.mark.covers("WDF_TIMER_CONFIG.UseHighResolutionTimer")
def test_high_resolution_timer_is_exact(bench: Bench, clock: ManualClock) -> None:
    counter = Counter(bench)
    timer = make(load_device(bench), counter, use_high_resolution_timer=True)
    timer.start(WDF_REL_TIMEOUT_IN_US(1500))
    clock.advance(14_999)
    bench.kernel.flush_queued_dpcs()
    assert counter.times == []
    clock.advance(1)
    bench.kernel.flush_queued_dpcs()
    assert len(counter.times) == 1


@pytest.mark.covers(
    "WdfTimerCreate",
    "WDF_TIMER_CONFIG.Period",
    "WDF_TIMER_CONFIG.TolerableDelay",
    "WDF_TIMER_CONFIG.UseHighResolutionTimer",
    "WDF_TIMER_CONFIG.EvtTimerFunc",
)
@pytest.mark.parametrize(
    ("config", "level", "status"),
    [
        ({"period": LONGEST + 1}, ExecutionLevel.DISPATCH, STATUS_INVALID_PARAMETER),
        ({"period": LONGEST}, ExecutionLevel.DISPATCH, STATUS_SUCCESS),
        ({"tolerable_delay": LONGEST + 1}, ExecutionLevel.DISPATCH, STATUS_SUCCESS),
        (
            {"tolerable_delay": 1, "use_high_resolution_timer": True},
            ExecutionLevel.DISPATCH,
            STATUS_INVALID_PARAMETER,
        ),
        ({"period": 1}, ExecutionLevel.PASSIVE, STATUS_NOT_SUPPORTED),
        ({"period": 1}, ExecutionLevel.INHERIT_FROM_PARENT, STATUS_SUCCESS),
        ({"evt_timer_func": None}, ExecutionLevel.DISPATCH, STATUS_INVALID_PARAMETER),
    ],
)
def test_configuration_of_a_timer_is_checked(
    bench: Bench, config: dict[str, int], level: ExecutionLevel, status: int
) -> None:
    device = load_device(bench)
    settings = TimerConfig(**{"evt_timer_func": lambda timer: None, **config})  # type: ignore[arg-type]
    attributes = ObjectAttributes(parent_object=device, execution_level=level)
    if status == STATUS_SUCCESS:
        Timer.create(settings, attributes)
        return
    with pytest.raises(NtStatusError) as refused:
        Timer.create(settings, attributes)
    assert refused.value.status == status


@pytest.mark.covers("WdfTimerCreate")
def test_attributes_of_a_timer_are_checked(bench: Bench) -> None:
    device = load_device(bench)
    scope = ObjectAttributes(
        parent_object=device, synchronization_scope=SynchronizationScope.DEVICE
    )
    driver = ObjectAttributes(parent_object=device.parent)
    for attributes, status in (
        (ObjectAttributes(), STATUS_WDF_PARENT_NOT_SPECIFIED),
        (scope, STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID),
        (driver, STATUS_INVALID_DEVICE_REQUEST),
    ):
        with pytest.raises(NtStatusError) as refused:
            Timer.create(TimerConfig(lambda timer: None), attributes)
        assert refused.value.status == status


@pytest.mark.covers("WDF_TIMER_CONFIG.AutomaticSerialization", "WdfTimerCreate")
@pytest.mark.parametrize("scope", [SynchronizationScope.DEVICE, SynchronizationScope.QUEUE])
@pytest.mark.parametrize(
    ("device_level", "timer_level", "fits"),
    [
        (ExecutionLevel.INHERIT_FROM_PARENT, ExecutionLevel.INHERIT_FROM_PARENT, True),
        (ExecutionLevel.DISPATCH, ExecutionLevel.DISPATCH, True),
        pytest.param(
            ExecutionLevel.DISPATCH,
            ExecutionLevel.PASSIVE,
            False,
            marks=pytest.mark.mistake("ExecutionLevel"),
        ),
        (ExecutionLevel.PASSIVE, ExecutionLevel.PASSIVE, True),
        (ExecutionLevel.PASSIVE, ExecutionLevel.INHERIT_FROM_PARENT, False),
    ],
)
def test_serialized_timer_must_run_at_the_level_of_its_parent(
    bench: Bench,
    scope: SynchronizationScope,
    device_level: ExecutionLevel,
    timer_level: ExecutionLevel,
    fits: bool,
) -> None:
    device = load_device(bench, scope, device_level)
    make(device, lambda timer: None, timer_level, automatic_serialization=False)
    if fits:
        make(device, lambda timer: None, timer_level)
        return
    with pytest.raises(NtStatusError) as refused:
        make(device, lambda timer: None, timer_level)
    assert refused.value.status == STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL
    assert bench.violation().rule == "ExecutionLevel"


@pytest.mark.covers("WDF_TIMER_CONFIG.AutomaticSerialization", "EvtTimerFunc")
@pytest.mark.parametrize("serialized", [True, False])
def test_serialized_timer_runs_under_the_lock_of_its_device(
    bench: Bench, clock: ManualClock, serialized: bool
) -> None:
    device = load_device(bench, SynchronizationScope.DEVICE)
    lock = device.serialization_lock
    assert lock is not None
    held: list[bool] = []
    timer = make(
        device, lambda timer: held.append(lock.held_here), automatic_serialization=serialized
    )
    timer.start(LATER)
    advance(bench, clock, 10)
    assert held == [serialized]


@pytest.mark.covers("EvtTimerFunc")
def test_passive_timer_runs_on_a_worker_thread_and_is_coalesced(
    bench: Bench, clock: ManualClock
) -> None:
    device = load_device(bench)
    running, go = Signal(), Signal()
    threads: list[str] = []
    levels: list[int] = []

    def passive(timer: Timer) -> None:
        threads.append(threading.current_thread().name)
        levels.append(bench.kernel.irql())
        running.set()
        go.wait("the test")

    blocker_go = Signal()
    blocked = [Signal(), Signal()]

    # Both worker threads are kept busy: the timer's work item stays in their queue.
    def block(number: int) -> Callable[[], None]:
        def wait() -> None:
            blocked[number].set()
            blocker_go.wait()

        return wait

    for number in range(2):
        bench.kernel.workers.queue(block(number))
    for each in blocked:
        each.wait()
    timer = make(device, passive, ExecutionLevel.PASSIVE)
    for _ in range(3):
        timer.start(LATER)
        advance(bench, clock, 10)
    go.set()
    blocker_go.set()
    running.wait("the callback")
    timer.stop(wait=True)
    assert levels == [PASSIVE_LEVEL], "three expirations, one run"
    assert threads[0].startswith("pydriver-worker")


@pytest.mark.covers("WdfTimerStart")
def test_timer_may_be_started_in_its_own_callback(bench: Bench, clock: ManualClock) -> None:
    times: list[int] = []
    results: list[bool] = []

    def again(timer: Timer) -> None:
        times.append(clock.now() // MS)
        if len(times) < 3:
            results.append(timer.start(LATER))

    make(load_device(bench), again).start(LATER)
    for _ in range(5):
        advance(bench, clock, 10)
    assert (times, results) == ([10, 20, 30], [False, False])


@pytest.mark.covers("WdfTimerStop")
@pytest.mark.parametrize("wait", [False, True])
def test_stopped_timer_does_not_call(bench: Bench, clock: ManualClock, wait: bool) -> None:
    counter = Counter(bench)
    timer = make(load_device(bench), counter)
    timer.start(LATER)
    assert timer.stop(wait=wait) is True
    assert timer.stop(wait=wait) is False
    advance(bench, clock, 20)
    assert counter.times == []


@pytest.mark.covers("WdfTimerStop", "WdfTimerStart")
@pytest.mark.parametrize("level", [ExecutionLevel.DISPATCH, ExecutionLevel.PASSIVE])
def test_stop_that_waits_returns_after_the_callback_and_refuses_its_restart(
    boot: Callable[..., Bench], level: ExecutionLevel
) -> None:
    bench = boot(2)
    clock = ManualClock()
    bench.kernel.timers.use(clock)
    running = Signal()
    order: list[str] = []
    restarted: list[bool] = []

    def callback(timer: Timer) -> None:
        running.set()
        # The stop cannot get past its cancellation before this thread lets the DPCs be flushed.
        while not timer._stopping:
            bench.kernel.access.sync()
        restarted.append(timer.start(LATER))
        order.append("callback")

    timer = make(load_device(bench), callback, level)
    timer.start(LATER)
    clock.advance(10 * MS)
    running.wait("the callback")
    assert timer.stop(wait=True) is True, "it was to be started while it was being stopped"
    order.append("stopped")
    assert (order, restarted) == (["callback", "stopped"], [False])
    clock.advance(100 * MS)
    bench.kernel.flush_queued_dpcs()
    assert order == ["callback", "stopped"]
    assert timer.start(LATER) is False, "afterwards it can be started"
    assert timer.stop(wait=True) is True


@pytest.mark.mistake("TimerStopFromCallback")
@pytest.mark.covers("WdfTimerStop")
def test_waiting_stop_in_the_own_passive_callback_is_refused(
    bench: Bench, clock: ManualClock
) -> None:
    results: list[bool] = []
    done = Signal()

    def stops_itself(timer: Timer) -> None:
        timer.start(LATER)
        results.append(timer.stop(wait=True))
        results.append(timer.stop(wait=False))
        done.set()

    make(load_device(bench), stops_itself, ExecutionLevel.PASSIVE).start(LATER)
    advance(bench, clock, 10)
    done.wait("the callback")
    assert results == [False, True]
    found = bench.violation()
    assert found.rule == "TimerStopFromCallback"
    assert "stops_itself" in found.callback


@pytest.mark.mistake("KmdfIrql")
@pytest.mark.covers("WdfTimerStop")
def test_waiting_stop_at_dispatch_level_is_refused(bench: Bench, clock: ManualClock) -> None:
    device = load_device(bench)
    counter = Counter(bench)
    timer = make(device, counter)
    timer.start(LATER)
    results: list[bool] = []

    def dpc(dpc: Dpc) -> None:
        results.append(timer.stop(wait=True))

    Dpc.create(DpcConfig(dpc), ObjectAttributes(parent_object=device)).enqueue()
    bench.kernel.flush_queued_dpcs()
    assert results == [False]
    found = bench.violation()
    assert found.rule == "KmdfIrql"
    assert found.message.startswith("WdfTimerStop at DISPATCH_LEVEL (2); its limit is PASSIVE")
    advance(bench, clock, 10)
    assert counter.times == [10], "it was not stopped"


@pytest.mark.covers("WdfTimerStop")
def test_waiting_stop_in_the_own_dispatch_callback_is_refused_without_the_verifier(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(1, VerifierConfig(enabled=False))
    results: list[bool] = []
    done = Signal()

    def stops_itself(timer: Timer) -> None:
        results.append(timer.stop(wait=True))
        done.set()

    make(load_device(bench), stops_itself).start(0)
    done.wait("the callback")
    assert results == [False]


@pytest.mark.mistake("InvalidHandle")
@pytest.mark.covers("WdfTimerStart")
def test_timer_that_is_being_deleted_cannot_be_started(bench: Bench, clock: ManualClock) -> None:
    device = load_device(bench)
    counter = Counter(bench)
    results: list[bool] = []
    attributes = ObjectAttributes(
        parent_object=device, evt_cleanup_callback=lambda timer: results.append(timer.start(LATER))
    )
    timer = Timer.create(TimerConfig(counter), attributes)
    timer.start(LATER)
    timer.delete()
    assert results == [False]
    assert bench.violation().rule == "InvalidHandle"
    advance(bench, clock, 100)
    assert counter.times == [], "deletion has stopped it"


def test_timer_deleted_in_its_dispatch_callback_is_gone_afterwards(
    bench: Bench, clock: ManualClock
) -> None:
    device = load_device(bench)
    destroyed = Signal()
    order: list[str] = []

    def deletes_itself(timer: Timer) -> None:
        timer.delete()
        order.append("callback ends")

    def destroy(timer: Timer) -> None:
        order.append(f"destroyed at {bench.kernel.irql()}")
        destroyed.set()

    attributes = ObjectAttributes(parent_object=device, evt_destroy_callback=destroy)
    Timer.create(TimerConfig(deletes_itself, period=1), attributes).start(LATER)
    clock.advance(10 * MS)
    destroyed.wait("the destruction")
    assert order == ["callback ends", f"destroyed at {PASSIVE_LEVEL}"]
    assert not any(isinstance(each, Timer) for each in device.children)


def test_timer_deleted_in_its_passive_callback_is_gone_afterwards(
    bench: Bench, clock: ManualClock
) -> None:
    device = load_device(bench)
    done = Signal()

    def deletes_itself(timer: Timer) -> None:
        timer.delete()
        done.set()

    make(device, deletes_itself, ExecutionLevel.PASSIVE).start(LATER)
    clock.advance(10 * MS)
    done.wait("the callback")
    assert not any(isinstance(each, Timer) for each in device.children)


def test_timer_goes_with_its_device(boot: Callable[..., Bench]) -> None:
    bench = boot()
    clock = ManualClock()
    bench.kernel.timers.use(clock)
    counter = Counter(bench)
    make(load_device(bench), counter, period=1).start(LATER)
    advance(bench, clock, 10)
    assert counter.times == [10]
    bench.close()
    advance(bench, clock, 10)
    assert counter.times == [10]


def test_timer_expires_by_the_hosts_clock(bench: Bench) -> None:
    done = Signal()
    timer = make(load_device(bench), lambda timer: done.set())
    timer.start(WDF_REL_TIMEOUT_IN_US(1))
    done.wait("the timer")


def test_callbacks_of_one_timer_overlap_on_two_processors(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    clock = ManualClock()
    bench.kernel.timers.use(clock)
    together = threading.Barrier(2)
    met = [Signal(), Signal()]

    begun = [Signal(), Signal()]

    def callback(timer: Timer) -> None:
        begun[get_current_processor_number(bench.kernel)].set()
        together.wait(TIMEOUT)
        met[get_current_processor_number(bench.kernel)].set()

    timer = make(load_device(bench), callback)
    for processor in bench.kernel.processors:
        bench.kernel.current.home = processor
        irql = bench.kernel.raise_irql(DISPATCH_LEVEL)
        timer.start(LATER)
        bench.kernel.lower_irql(irql)
        clock.advance(10 * MS)
        begun[processor.number].wait("the callback")  # until then, another request is the same
    for each in met:
        each.wait("the other processor")


# The kernel's timers


@pytest.mark.covers("KeInitializeTimer", "KeSetTimer", "KeCancelTimer", "KeReadStateTimer")
def test_kernel_timer_is_signaled_when_it_expires(bench: Bench, clock: ManualClock) -> None:
    timer = KTimer(bench.kernel)
    assert timer.set(LATER) is False
    assert timer.wait(0) == STATUS_TIMEOUT
    clock.advance(10 * MS)
    assert timer.read_state() is True
    assert timer.wait(0) == timer.wait(0) == STATUS_SUCCESS
    assert timer.set(LATER) is False
    assert timer.read_state() is False
    assert timer.cancel() is True
    assert timer.cancel() is False
    clock.advance(10 * MS)
    assert timer.read_state() is False


@pytest.mark.covers("KeSetCoalescableTimer")
def test_kernel_timer_that_tolerates_a_delay_is_as_late_as_it_may(
    bench: Bench, clock: ManualClock
) -> None:
    timer = KTimer(bench.kernel)
    timer.set(LATER, tolerable_delay=5)
    clock.advance(15 * MS - 1)
    assert timer.read_state() is False
    clock.advance(1)
    assert timer.read_state() is True


@pytest.mark.covers("KeInitializeTimerEx", "KeSetTimerEx")
def test_synchronization_timer_releases_one_wait_for_each_period(
    bench: Bench, clock: ManualClock
) -> None:
    timer = KTimer(bench.kernel, EventType.SYNCHRONIZATION)
    calls: list[object] = []
    dpc = KDpc.initialize(bench.kernel, lambda dpc, context, *rest: calls.append(context), "mine")
    timer.set(LATER, period=5, dpc=dpc)
    for _ in range(2):
        advance(bench, clock, 10)
        assert timer.wait(0) == STATUS_SUCCESS
        assert timer.wait(0) == STATUS_TIMEOUT
    assert calls[0] == "mine"
    assert timer.cancel() is True
    count = len(calls)
    advance(bench, clock, 10)
    assert len(calls) == count


@pytest.mark.mistake("KMODE_EXCEPTION_NOT_HANDLED", 0x1E)
def test_exception_in_a_timer_is_not_handled(doomed: Bench) -> None:
    def broken(timer: Timer) -> None:
        raise ValueError("broken")

    make(load_device(doomed), broken).start(0)
    with pytest.raises(BugCheck, match="broken") as stopped:
        KEvent(doomed.kernel).wait()
    assert stopped.value.code == KMODE_EXCEPTION_NOT_HANDLED
    assert stopped.value.parameters[0] == PYTHON_EXCEPTION
    assert "broken (test_timers.py:" in stopped.value.state.callback


@pytest.mark.covers(
    "WDF_REL_TIMEOUT_IN_SEC",
    "WDF_REL_TIMEOUT_IN_MS",
    "WDF_REL_TIMEOUT_IN_US",
    "WDF_ABS_TIMEOUT_IN_SEC",
    "WDF_ABS_TIMEOUT_IN_MS",
    "WDF_ABS_TIMEOUT_IN_US",
)
def test_timeouts_are_in_units_of_100_ns() -> None:
    assert WDF_REL_TIMEOUT_IN_SEC(3) == -30_000_000
    assert WDF_REL_TIMEOUT_IN_MS(3) == -30_000
    assert WDF_REL_TIMEOUT_IN_US(3) == -30
    assert WDF_ABS_TIMEOUT_IN_SEC(3) == 30_000_000
    assert WDF_ABS_TIMEOUT_IN_MS(3) == 30_000
    assert WDF_ABS_TIMEOUT_IN_US(3) == 30
    clock = ManualClock(system_time=100)
    assert timeout_ticks(clock, -30) == 30
    assert timeout_ticks(clock, 130) == 30
    assert timeout_ticks(clock, 70) == 0
