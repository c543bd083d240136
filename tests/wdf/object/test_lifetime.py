# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Generic objects: creation, contexts, deletion in all its orders, references and their leaks."""

import threading
from collections.abc import Callable

import pytest

from pydriver.ke import BugCheck, KEvent, NtStatusError, VerifierConfig
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_DELETE_PENDING,
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_OBJECT_NAME_EXISTS,
    STATUS_SUCCESS,
    STATUS_WDF_EXECUTION_LEVEL_INVALID,
    STATUS_WDF_OBJECT_ATTRIBUTES_INVALID,
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
    STATUS_WDF_PARENT_NOT_SPECIFIED,
    STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID,
)
from pydriver.wdf import (
    Collection,
    CommonBuffer,
    Device,
    DmaEnabler,
    DmaEnablerConfig,
    DmaProfile,
    DmaTransaction,
    Dpc,
    DpcConfig,
    ExecutionLevel,
    GenericObject,
    Interrupt,
    InterruptConfig,
    IoQueueConfig,
    IoQueueDispatchType,
    LookasideList,
    Memory,
    Object,
    ObjectAttributes,
    PoolType,
    Request,
    SpinLock,
    SynchronizationScope,
    Timer,
    TimerConfig,
    WaitLock,
    WorkItem,
    WorkItemConfig,
)
from pydriver.wdf.object.object import Phase
from pydriver.wdf.object.tree import tree_of
from tests.harness.bench import TIMEOUT, Bench, Plan, Signal


class First:
    """A context."""

    def __init__(self) -> None:
        self.value = 0


class Second(First):
    """Another one."""


class Log:
    """The objects for which EvtCleanup and EvtDestroy have been called."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def attributes(self, name: str, parent: Object | None, **more: object) -> ObjectAttributes:
        return ObjectAttributes(
            parent_object=parent,
            evt_cleanup_callback=lambda _: self.lines.append(f"cleanup {name}"),
            evt_destroy_callback=lambda _: self.lines.append(f"destroy {name}"),
            **more,  # type: ignore[arg-type]
        )

    def create(self, name: str, parent: Object) -> GenericObject:
        return GenericObject.create(self.attributes(name, parent))


@pytest.mark.covers("WdfObjectCreate", "WDF_OBJECT_ATTRIBUTES.ParentObject")
def test_generic_object_is_a_child_of_its_parent(bench: Bench) -> None:
    device = bench.load().device
    made = GenericObject.create(ObjectAttributes(parent_object=device, context_type=First))
    below = GenericObject.create(ObjectAttributes(parent_object=made))
    assert made.parent is device
    assert made in device.children
    assert made.children == (below,)
    assert str(made) == "object with First"
    assert below.device_above is device


@pytest.mark.covers("WdfObjectCreate", "WDF_OBJECT_ATTRIBUTES.ExecutionLevel")
def test_generic_object_may_have_an_execution_level(bench: Bench) -> None:
    driver = bench.load().device.driver
    attributes = ObjectAttributes(parent_object=driver, execution_level=ExecutionLevel.PASSIVE)
    assert GenericObject.create(attributes).parent is driver


BAD_TYPE = {"context_type": "no type"}
NO_PARENT: dict[str, object] = {}
BAD_ENUM = {"execution_level": ExecutionLevel.INVALID}
BAD_SCOPE = {"synchronization_scope": SynchronizationScope.QUEUE}
BAD_LEVEL = {"execution_level": ExecutionLevel.PASSIVE}


@pytest.mark.covers(
    "WDF_OBJECT_ATTRIBUTES.ContextTypeInfo",
    "WDF_OBJECT_ATTRIBUTES.ExecutionLevel",
    "WDF_OBJECT_ATTRIBUTES.SynchronizationScope",
    "WDF_OBJECT_ATTRIBUTES.ParentObject",
)
@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ((BAD_TYPE, NO_PARENT, BAD_ENUM), STATUS_WDF_OBJECT_ATTRIBUTES_INVALID),
        ((NO_PARENT, BAD_SCOPE, BAD_ENUM), STATUS_WDF_PARENT_NOT_SPECIFIED),
        ((BAD_ENUM, BAD_SCOPE), STATUS_WDF_OBJECT_ATTRIBUTES_INVALID),
        ((BAD_SCOPE, BAD_LEVEL), STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID),
        ((BAD_LEVEL,), STATUS_WDF_EXECUTION_LEVEL_INVALID),
    ],
    ids=["type", "parent", "enum", "scope", "level"],
)
def test_attributes_are_validated_in_the_order_of_the_framework(
    bench: Bench, wrong: tuple[dict[str, object], ...], status: int
) -> None:
    fields: dict[str, object] = {}
    for each in wrong:
        fields.update(each)
    if NO_PARENT not in wrong:
        fields["parent_object"] = bench.load().device
    with pytest.raises(NtStatusError) as refused:
        WorkItem.create(
            WorkItemConfig(lambda item: None),
            ObjectAttributes(**fields),  # type: ignore[arg-type]
        )
    assert refused.value.status == status


def note(_: Object) -> None:
    """A callback that is not called."""


def enabler_of(device: Device, attributes: ObjectAttributes | None = None) -> DmaEnabler:
    return DmaEnabler.create(device, DmaEnablerConfig(DmaProfile.PACKET, 4096), attributes)


# Functions that create an object without a synchronization scope, and whether it has a parent.
UNSCOPED: dict[str, tuple[Callable[[Device, ObjectAttributes], Object], bool]] = {
    "object": (lambda device, attributes: GenericObject.create(attributes), True),
    "collection": (lambda device, attributes: Collection.create(attributes), True),
    "spin lock": (lambda device, attributes: SpinLock.create(attributes), True),
    "wait lock": (lambda device, attributes: WaitLock.create(attributes), True),
    "DPC": (lambda device, attributes: Dpc.create(DpcConfig(note), attributes), True),
    "timer": (lambda device, attributes: Timer.create(TimerConfig(note), attributes), True),
    "work item": (
        lambda device, attributes: WorkItem.create(WorkItemConfig(note), attributes),
        True,
    ),
    "memory": (
        lambda device, attributes: Memory.create(attributes, PoolType.NON_PAGED_NX, "test", 16),
        True,
    ),
    "preallocated memory": (
        lambda device, attributes: Memory.create_preallocated(attributes, bytearray(16)),
        True,
    ),
    "lookaside list": (lambda device, attributes: LookasideList.create(attributes, 16), True),
    "memory of a lookaside list": (
        lambda device, attributes: LookasideList.create(
            ObjectAttributes(parent_object=device), 16, memory_attributes=attributes
        ),
        False,
    ),
    "request": (lambda device, attributes: Request.create(attributes), True),
    "interrupt": (
        lambda device, attributes: Interrupt.create(
            device, InterruptConfig(evt_interrupt_isr=lambda interrupt, message: False), attributes
        ),
        False,
    ),
    "DMA enabler": (enabler_of, False),
    "DMA transaction": (
        lambda device, attributes: DmaTransaction.create(enabler_of(device), attributes),
        False,
    ),
    "common buffer": (
        lambda device, attributes: CommonBuffer.create(enabler_of(device), 4096, attributes),
        False,
    ),
}


@pytest.mark.covers("WDF_OBJECT_ATTRIBUTES.SynchronizationScope")
@pytest.mark.parametrize("kind", UNSCOPED)
def test_object_without_a_scope_accepts_scope_none_and_no_other(bench: Bench, kind: str) -> None:
    create, with_parent = UNSCOPED[kind]
    made: list[Object] = []

    def add(device: Device) -> None:
        parent = device if with_parent else None
        for scope in SynchronizationScope.INHERIT_FROM_PARENT, SynchronizationScope.NONE:
            made.append(create(device, ObjectAttributes(parent, synchronization_scope=scope)))
        for scope in SynchronizationScope.DEVICE, SynchronizationScope.QUEUE:
            with pytest.raises(NtStatusError) as refused:
                create(device, ObjectAttributes(parent, synchronization_scope=scope))
            assert refused.value.status == STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID

    bench.load(Plan(add=add))
    assert len(made) == 2


@pytest.mark.covers("WdfObjectCreate")
def test_parent_that_is_needed_and_missing_and_one_that_is_not_allowed(bench: Bench) -> None:
    device = bench.load().device
    with pytest.raises(NtStatusError) as missing:
        GenericObject.create(None)  # type: ignore[arg-type]
    assert missing.value.status == STATUS_WDF_PARENT_NOT_SPECIFIED
    enabler = DmaEnabler.create(device, DmaEnablerConfig(DmaProfile.PACKET, 4096))
    with pytest.raises(NtStatusError) as refused:
        CommonBuffer.create(enabler, 4096, ObjectAttributes(parent_object=device))
    assert refused.value.status == STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED


# Contexts


@pytest.mark.covers("WdfObjectContextGetObject", "WdfObjectGetTypedContextWorker")
def test_context_leads_back_to_its_object(bench: Bench) -> None:
    device = bench.load().device
    one, two = (
        GenericObject.create(ObjectAttributes(parent_object=device, context_type=First))
        for _ in range(2)
    )
    context = one.get_typed_context(First)
    assert device.context_get_object(context) is one
    assert device.context_get_object(two.get_typed_context(First)) is two
    assert device.context_get_object(First()) is None
    one.delete()
    assert device.context_get_object(context) is None


@pytest.mark.covers("WdfObjectContextGetObject")
def test_contexts_keep_no_object_alive(bench: Bench) -> None:
    device = bench.load().device
    before = len(tree_of(bench.kernel).context_owners)
    for _ in range(10):
        attributes = ObjectAttributes(parent_object=device, context_type=First)
        GenericObject.create(attributes).delete()
    assert len(tree_of(bench.kernel).context_owners) == before


@pytest.mark.covers("WdfObjectAllocateContext")
def test_callbacks_of_all_contexts_run_in_the_order_of_attachment(bench: Bench) -> None:
    log = Log()
    made = GenericObject.create(log.attributes("one", bench.load().device, context_type=First))
    status, second = made.allocate_context(log.attributes("two", None, context_type=Second))
    assert (status, type(second)) == (STATUS_SUCCESS, Second)
    again = made.allocate_context(log.attributes("three", None, context_type=Second))
    assert again == (STATUS_OBJECT_NAME_EXISTS, second)
    made.delete()
    assert log.lines == ["cleanup one", "cleanup two", "destroy one", "destroy two"]


@pytest.mark.covers("WdfObjectAllocateContext")
def test_context_is_not_allocated_for_an_object_that_is_being_deleted(bench: Bench) -> None:
    made = GenericObject.create(ObjectAttributes(parent_object=bench.load().device))
    made.reference()
    made.delete()
    with pytest.raises(NtStatusError) as refused:
        made.allocate_context(ObjectAttributes(context_type=First))
    assert refused.value.status == STATUS_DELETE_PENDING
    made.dereference()


@pytest.mark.mistake("REQUIRED_PARAMETER_IS_NULL", 0x10D)
@pytest.mark.covers("WdfObjectAllocateContext")
def test_attributes_of_a_context_are_required(doomed: Bench) -> None:
    device = doomed.load().device
    with pytest.raises(BugCheck) as stopped:
        device.allocate_context(None)  # type: ignore[arg-type]
    assert (stopped.value.code, stopped.value.parameters[0]) == (WDF_VIOLATION, 4)


# Deletion


@pytest.mark.covers(
    "WdfObjectDelete",
    "EvtCleanupCallback",
    "EvtDestroyCallback",
    "WDF_OBJECT_ATTRIBUTES.EvtCleanupCallback",
    "WDF_OBJECT_ATTRIBUTES.EvtDestroyCallback",
)
def test_tree_is_cleaned_up_depth_first_and_then_destroyed(bench: Bench) -> None:
    log = Log()
    top = log.create("top", bench.load().device)
    first = log.create("first", top)
    log.create("second", top)
    log.create("below first", first)
    top.delete()
    names = ["below first", "first", "second", "top"]
    assert log.lines == [*(f"cleanup {x}" for x in names), *(f"destroy {x}" for x in names)]
    assert top.phase is Phase.DESTROYED


@pytest.mark.covers("EvtCleanupCallback")
def test_object_is_disposed_of_before_its_cleanup_callback(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A work item's disposal waits for its callback, which here waits for the disposal."""
    order: list[str] = []
    running, disposing = Signal(), Signal()
    on_dispose = WorkItem._on_dispose

    def note_disposal(item: WorkItem) -> None:
        disposing.set()
        on_dispose(item)

    monkeypatch.setattr(WorkItem, "_on_dispose", note_disposal)

    def work(item: WorkItem) -> None:
        running.set()
        disposing.wait("the disposal")
        order.append("callback")

    item = WorkItem.create(
        WorkItemConfig(work),
        ObjectAttributes(
            parent_object=bench.load().device,
            evt_cleanup_callback=lambda _: order.append("cleanup"),
        ),
    )
    item.enqueue()
    running.wait("the callback")
    item.delete()
    assert order == ["callback", "cleanup"]


@pytest.mark.covers("WdfObjectReferenceActual", "WdfObjectDereferenceActual", "EvtDestroyCallback")
def test_parent_is_destroyed_before_a_child_that_is_referenced(bench: Bench) -> None:
    log = Log()
    parent = log.create("parent", bench.load().device)
    child = log.create("child", parent)
    child.reference("why")
    parent.delete()
    assert log.lines == ["cleanup child", "cleanup parent", "destroy parent"]
    child.dereference("why")
    assert log.lines[-1] == "destroy child"


@pytest.mark.covers("WdfObjectDelete")
def test_children_are_rejected_by_an_object_that_is_being_deleted(bench: Bench) -> None:
    statuses: list[int] = []
    called: list[str] = []

    def cleanup(made: Object) -> None:
        with pytest.raises(NtStatusError) as refused:
            GenericObject.create(
                ObjectAttributes(
                    parent_object=made,
                    evt_cleanup_callback=lambda _: called.append("cleanup"),
                    evt_destroy_callback=lambda _: called.append("destroy"),
                )
            )
        statuses.append(refused.value.status)

    GenericObject.create(
        ObjectAttributes(parent_object=bench.load().device, evt_cleanup_callback=cleanup)
    ).delete()
    assert statuses == [STATUS_DELETE_PENDING]
    assert called == []


@pytest.mark.parametrize("kind", [kind for kind, (_, below) in UNSCOPED.items() if below])
def test_child_of_any_kind_is_rejected_by_an_object_that_is_being_deleted(
    bench: Bench, kind: str
) -> None:
    create, _ = UNSCOPED[kind]
    device = bench.load().device
    statuses: list[int] = []

    def cleanup(made: Object) -> None:
        with pytest.raises(NtStatusError) as refused:
            create(device, ObjectAttributes(parent_object=made))
        statuses.append(refused.value.status)

    GenericObject.create(
        ObjectAttributes(parent_object=device, evt_cleanup_callback=cleanup)
    ).delete()
    assert statuses == [STATUS_DELETE_PENDING]


@pytest.mark.covers("EvtCleanupCallback", "EvtDestroyCallback", "WdfCommonBufferCreate")
def test_creation_that_fails_calls_no_callback(bench: Bench) -> None:
    log = Log()
    device = bench.load().device
    enabler = DmaEnabler.create(device, DmaEnablerConfig(DmaProfile.PACKET, 4096))
    with pytest.raises(NtStatusError) as exhausted:
        CommonBuffer.create(enabler, 1 << 40, log.attributes("buffer", None, context_type=First))
    assert exhausted.value.status == STATUS_INSUFFICIENT_RESOURCES
    assert enabler.children == ()
    bench.close()
    assert log.lines == []


@pytest.mark.covers("WdfObjectDelete", "EvtCleanupCallback")
def test_tree_with_an_object_that_waits_is_deleted_at_passive_level(bench: Bench) -> None:
    """Generic objects are cleaned up where they are deleted, but not before their children."""
    levels: list[tuple[str, int]] = []
    done = Signal()

    def note(name: str) -> Callable[[Object], None]:
        def cleanup(_: Object) -> None:
            levels.append((name, bench.kernel.irql()))
            if name == "top":
                done.set()

        return cleanup

    device = bench.load().device
    plain = GenericObject.create(
        ObjectAttributes(parent_object=device, evt_cleanup_callback=note("plain"))
    )
    top = GenericObject.create(
        ObjectAttributes(parent_object=device, evt_cleanup_callback=note("top"))
    )
    WorkItem.create(
        WorkItemConfig(lambda item: None),
        ObjectAttributes(parent_object=top, evt_cleanup_callback=note("work item")),
    )
    old = bench.kernel.raise_irql(DISPATCH_LEVEL)
    plain.delete()
    top.delete()
    bench.kernel.lower_irql(old)
    done.wait("cleanup")
    assert levels == [
        ("plain", DISPATCH_LEVEL),
        ("work item", PASSIVE_LEVEL),
        ("top", PASSIVE_LEVEL),
    ]


@pytest.mark.covers("WdfObjectDelete")
def test_deferred_deletion_and_the_parents_clean_up_once(bench: Bench) -> None:
    """The disposer is busy; so the parent's deletion comes first."""
    log = Log()
    held, busy = Signal(), Signal()
    device = bench.load().device

    def hold(_: Object) -> None:
        busy.set()
        held.wait("the end of the test")

    top = GenericObject.create(ObjectAttributes(parent_object=device))
    dpc = Dpc.create(DpcConfig(), log.attributes("dpc", top))
    attributes = ObjectAttributes(parent_object=device, evt_cleanup_callback=hold)
    deleted_at_dispatch(bench, Dpc.create(DpcConfig(), attributes))
    busy.wait("the disposer")
    old = bench.kernel.raise_irql(DISPATCH_LEVEL)
    dpc.delete()
    bench.kernel.lower_irql(old)
    assert dpc.phase is Phase.DEFERRED
    top.delete()
    assert log.lines == ["cleanup dpc", "destroy dpc"]
    held.set()
    bench.close()
    assert log.lines == ["cleanup dpc", "destroy dpc"]


def deleted_at_dispatch(bench: Bench, victim: Object) -> None:
    old = bench.kernel.raise_irql(DISPATCH_LEVEL)
    victim.delete()
    bench.kernel.lower_irql(old)


@pytest.mark.covers("WdfObjectDelete")
def test_deletions_that_wait_for_work_items_leave_them_their_threads(bench: Bench) -> None:
    """There are as many deletions as worker threads; each waits for a work item behind them."""
    device = bench.load().device
    ran, cleaned, held = threading.Semaphore(0), threading.Semaphore(0), Signal()
    first = ObjectAttributes(parent_object=device, evt_cleanup_callback=lambda _: held.wait())
    pairs = []
    for _ in range(2):
        top = GenericObject.create(
            ObjectAttributes(parent_object=device, evt_cleanup_callback=lambda _: cleaned.release())
        )
        item = WorkItem.create(
            WorkItemConfig(lambda item: ran.release()), ObjectAttributes(parent_object=top)
        )
        pairs.append((top, item))
    for _ in range(2):
        deleted_at_dispatch(bench, Dpc.create(DpcConfig(), first))
    for top, _ in pairs:
        deleted_at_dispatch(bench, top)
    for _, item in pairs:
        item.enqueue()
    held.set()
    for semaphore in (ran, ran, cleaned, cleaned):
        assert semaphore.acquire(timeout=TIMEOUT)


@pytest.mark.covers("WdfObjectDelete")
def test_parent_waits_for_a_child_that_a_worker_thread_cleans_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, waits = Signal(), Signal()
    order: list[str] = []
    wait, parent_thread = KEvent.wait, threading.get_ident()

    def note_wait(event: KEvent, *arguments: int) -> int:
        if threading.get_ident() == parent_thread:
            waits.set()
        return wait(event, *arguments)

    def cleanup(_: Object) -> None:
        started.set()
        waits.wait("the wait of the parent")
        order.append("child")

    top = GenericObject.create(
        ObjectAttributes(
            parent_object=bench.load().device,
            evt_cleanup_callback=lambda _: order.append("parent"),
        )
    )
    dpc = Dpc.create(DpcConfig(), ObjectAttributes(parent_object=top, evt_cleanup_callback=cleanup))
    deleted_at_dispatch(bench, dpc)
    started.wait("the worker thread")
    monkeypatch.setattr(KEvent, "wait", note_wait)
    top.delete()
    assert order == ["child", "parent"]
    assert dpc.phase is top.phase is Phase.DESTROYED


@pytest.mark.covers("WdfObjectDelete")
def test_cleanup_on_a_worker_thread_may_delete_the_parent(bench: Bench) -> None:
    destroyed = Signal()
    top = GenericObject.create(
        ObjectAttributes(
            parent_object=bench.load().device, evt_destroy_callback=lambda _: destroyed.set()
        )
    )
    dpc = Dpc.create(
        DpcConfig(),
        ObjectAttributes(parent_object=top, evt_cleanup_callback=lambda _: top.delete()),
    )
    deleted_at_dispatch(bench, dpc)
    destroyed.wait("EvtDestroy of the parent")


@pytest.mark.mistake("ObjectDeletedTwice")
@pytest.mark.covers("WdfObjectDelete")
def test_object_that_is_deleted_twice_is_a_violation(bench: Bench) -> None:
    log = Log()
    made = log.create("one", bench.load().device)
    made.reference()
    made.delete()
    made.delete()
    found = bench.violation()
    assert (found.rule, found.subject) == ("ObjectDeletedTwice", str(made))
    made.dereference()
    assert log.lines == ["cleanup one", "destroy one"]


@pytest.mark.covers("WdfObjectDelete")
def test_parents_cleanup_may_delete_its_children(bench: Bench) -> None:
    log = Log()
    device = bench.load().device
    parent = GenericObject.create(
        ObjectAttributes(parent_object=device, evt_cleanup_callback=lambda _: child.delete())
    )
    child = log.create("child", parent)
    parent.delete()
    assert log.lines == ["cleanup child", "destroy child"]


@pytest.mark.mistake("INVALID_HANDLE", 0x10D)
@pytest.mark.covers("WdfObjectDelete")
def test_deleted_object_without_references_is_an_invalid_handle(doomed: Bench) -> None:
    made = GenericObject.create(ObjectAttributes(parent_object=doomed.load().device))
    made.delete()
    with pytest.raises(BugCheck) as stopped:
        made.delete()
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters == (5, id(made), GenericObject.fx_type, 0)


def test_freed_object_says_so_and_keeps_its_name_and_class(bench: Bench) -> None:
    class FreedBook(Object):
        """A name that looks like a freed object's."""

    kernel = bench.kernel
    book = FreedBook(kernel, None)
    before = str(book)
    assert not book.freed
    book.delete()
    assert book.freed
    assert isinstance(book, FreedBook)
    assert book.object_class is FreedBook
    assert str(book) == before == "FreedBook"


@pytest.mark.mistake("ObjectNotDeletable")
@pytest.mark.covers("WdfObjectDelete")
def test_what_the_framework_owns_is_not_deletable(bench: Bench) -> None:
    queue = IoQueueConfig(
        IoQueueDispatchType.SEQUENTIAL, default_queue=True, evt_io_default=lambda q, r: None
    )
    device = bench.load(Plan(isr=lambda interrupt, message: False, queues=[queue])).device
    with device.open() as file:
        owned = (device.get_default_queue(), device.interrupts[0], device, device.driver)
        for each in (file, *owned):
            assert each is not None
            each.delete()
            found = bench.violation()
            assert (found.rule, each.phase) == ("ObjectNotDeletable", Phase.ALIVE)


# References


@pytest.mark.mistake("OBJECT_ERROR", 0x10D)
@pytest.mark.covers("WdfObjectDereferenceActual")
def test_last_reference_of_an_object_with_a_parent_cannot_be_dropped(doomed: Bench) -> None:
    made = GenericObject.create(ObjectAttributes(parent_object=doomed.load().device))
    with pytest.raises(BugCheck) as stopped:
        made.dereference()
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters == (7, id(made), id(made), 0)


@pytest.mark.covers("WdfObjectReferenceActual", "WdfObjectDereferenceActual")
def test_tag_of_a_reference_is_kept_until_it_is_dropped(bench: Bench) -> None:
    made = GenericObject.create(ObjectAttributes(parent_object=bench.load().device))
    made.reference("io", 7, "driver.py")
    assert [(each.tag, each.line, each.file) for each in made.references] == [
        ("io", 7, "driver.py")
    ]
    made.dereference("io")
    assert made.references == ()


@pytest.mark.mistake("ObjectLeak")
@pytest.mark.covers("WdfObjectReferenceActual")
def test_each_leaked_reference_of_each_object_is_found_at_unload(bench: Bench) -> None:
    """Objects that were deleted long before are named, too, and a completed request."""
    kept: list[Request] = []

    def read(queue: object, request: Request, length: int) -> None:
        kept.append(request)
        request.reference("request")
        request.complete(STATUS_SUCCESS)

    queue = IoQueueConfig(IoQueueDispatchType.SEQUENTIAL, default_queue=True, evt_io_read=read)
    device = bench.load(Plan(queues=[queue])).device
    with device.open() as file:
        file.read(4, timeout=TIMEOUT)
    early = GenericObject.create(ObjectAttributes(parent_object=device))
    early.reference("early", 1, "a.py")
    early.delete()
    late = GenericObject.create(ObjectAttributes(parent_object=early.parent))
    late.reference("late", 2, "b.py")
    late.reference("fine")
    late.dereference("fine")
    device.reference("device")
    found = bench.unload_and_look()
    assert {each.rule for each in found} == {"ObjectLeak"}
    tags = ("'request'", "'early', a.py:1", "'late', b.py:2", "'device'")
    assert len(found) == len(tags)
    for each, tag in zip(found, tags, strict=True):
        assert tag in each.message
    assert tree_of(bench.kernel).referenced == {}


def test_references_are_not_tracked_without_the_verifier(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(verifier=VerifierConfig(enabled=False))
    made = GenericObject.create(ObjectAttributes(parent_object=bench.load().device))
    made.reference("tag")
    assert made.references == ()
    made.delete()
    assert made.phase is Phase.DISPOSED
    made.dereference("another")
    assert made.phase is Phase.DESTROYED


@pytest.mark.covers("WdfObjectDelete", "EvtDestroyCallback")
def test_two_processors_that_delete_one_object_destroy_it_once(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(2)
    device = bench.load().device
    for _ in range(50):
        log = Log()
        made = log.create("one", device)
        made.reference()
        together = threading.Barrier(2)

        def delete(made: Object = made, together: threading.Barrier = together) -> None:
            together.wait(TIMEOUT)
            made._delete()

        threads = [threading.Thread(target=delete) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        made.dereference()
        assert log.lines == ["cleanup one", "destroy one"]
