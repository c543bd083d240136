# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The object tree: parents, contexts by type, two-phase deletion, references.

`ObjectTree.lock` guards what several threads may change at once: the phases, the lists of
children and the reference counts. Under it no callback runs, nothing waits and no register is
accessed, so no interrupt and no DPC is ever served on a thread that holds it.

Only the thread that moves an object to DISPOSING disposes of it and drops its creation reference.
So an object that two threads delete, or whose parent goes while its own deletion waits for the
disposer, is cleaned up once and destroyed once.
"""

from dataclasses import dataclass
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from pydriver.declarations.binding import Binding
from pydriver.declarations.registry import handle
from pydriver.ke.bugcheck import WDF_VIOLATION, WdfViolation
from pydriver.ke.event import KEvent
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_DELETE_PENDING,
    STATUS_OBJECT_NAME_EXISTS,
    STATUS_OBJECT_NAME_INVALID,
    STATUS_SUCCESS,
    NtStatusError,
)
from pydriver.wdf.object.attributes import (
    ExecutionLevel,
    ObjectAttributes,
    ObjectCallback,
    ParentRule,
    SynchronizationScope,
    validate_attributes,
)
from pydriver.wdf.object.ddi import HIGH_LEVEL, ddi
from pydriver.wdf.object.guest_contexts import GuestContexts, is_structure
from pydriver.wdf.object.handle import (
    Phase,
    check_handle,
    check_pointer,
    freed_class,
)
from pydriver.wdf.object.tree import DeferredDeletion, ObjectTree, tree_of

if TYPE_CHECKING:
    from pydriver.ke.guest_memory import GuestMemory
    from pydriver.ke.kernel import Kernel
    from pydriver.wdf.object.device_base import DeviceBase

__all__ = (
    "ExecutionLevel",
    "Object",
    "ObjectAttributes",
    "ParentRule",
    "Phase",
    "Reference",
    "SynchronizationScope",
    "check_handle",
    "check_pointer",
)

ContextT = TypeVar("ContextT")


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference that a driver has taken.

    :ivar tag: the purpose of the reference
    :ivar line: the line of the caller
    :ivar file: the file of the caller
    """

    tag: object
    line: int
    file: str


@handle("WDFOBJECT")
class Object:
    """The base class of every framework object.

    :cvar fx_type: the framework's number of the type [fxtypes.h]
    :cvar object_class: the class the object was made with, and keeps when it is freed
    :cvar passive_disposal: whether its disposal waits, and so must be at PASSIVE_LEVEL
    :cvar freed_rule: the rule that the use of a freed handle of this type breaks
    :ivar deletable: whether the driver may call :meth:`delete`
    """

    # _contexts, _children and _callbacks are made when first needed: a request often has none.
    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_children",
        "_contexts",
        "_current",
        "_kernel",
        "_parent",
        "_phase",
        "_references",
        "_tags",
        "_tree",
        "deletable",
    )

    fx_type: ClassVar[int] = 0x1000
    object_class: "ClassVar[type[Object]]"
    allows_level: ClassVar[bool] = False
    allows_scope: ClassVar[bool] = False
    passive_disposal: ClassVar[bool] = False
    freed_rule: ClassVar[str] = ""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "object_class" not in vars(cls):
            cls.object_class = cls

    def __init__(
        self,
        kernel: "Kernel",
        parent: "Object | None",
        attributes: ObjectAttributes | None = None,
        *,
        deletable: bool = True,
    ) -> None:
        self._kernel = kernel
        self._current = kernel.current
        self._parent = parent
        self._tree: ObjectTree = tree_of(kernel) if parent is None else parent._tree
        self._children: list[Object] | None = None
        self._contexts: dict[type, Any] | None = None
        self._callbacks: list[tuple[ObjectCallback | None, ObjectCallback | None]] | None = None
        self._references = 1
        self._tags: list[Reference] | None = None
        self._phase = Phase.ALIVE
        self.deletable = deletable
        # Joins the tree last: no callback is ever called for a creation that fails.
        if attributes is not None:
            self._attach(attributes)
        if parent is not None:
            try:
                parent._adopt(self)
            except NtStatusError:
                self._free_contexts()
                raise

    def __str__(self) -> str:
        return self.object_class.__name__

    # Attributes

    @classmethod
    def check_attributes(
        cls, attributes: ObjectAttributes | None, rule: ParentRule, what: str
    ) -> ObjectAttributes:
        """Validates the attributes of an object of this kind: see `validate_attributes`."""
        return validate_attributes(
            attributes, rule, what, allows_level=cls.allows_level, allows_scope=cls.allows_scope
        )

    @classmethod
    def check_attributes_with_parent(
        cls, attributes: ObjectAttributes | None, what: str
    ) -> "tuple[ObjectAttributes, Object]":
        """Validates attributes that must name the parent; returns the parent, too."""
        attributes = cls.check_attributes(attributes, ParentRule.MANDATORY, what)
        parent = attributes.parent_object
        assert parent is not None
        return attributes, parent

    def _attach(self, attributes: ObjectAttributes) -> Any:
        context = None
        kind = attributes.context_type
        # The context comes first: if there is no memory for it, nothing has been attached.
        if kind is not None:
            if self._contexts is None:
                self._contexts = {}
            # A plain Python class is the usual case; a ctypes class has a metaclass.
            context = kind() if type(kind) is type else self._make_context(kind)
            self._contexts[kind] = context
            self._tree.context_owners[id(context)] = self
        cleanup, destroy = attributes.evt_cleanup_callback, attributes.evt_destroy_callback
        if cleanup is not None or destroy is not None:
            if self._callbacks is None:
                self._callbacks = []
            self._callbacks.append((cleanup, destroy))
        return context

    def _free_contexts(self) -> None:
        contexts, self._contexts = self._contexts, None
        if isinstance(contexts, GuestContexts):
            contexts.free()

    def _make_context(self, kind: type) -> Any:
        """Makes a context, in guest memory if its class is one of ctypes and belongs there."""
        memory = self.guest_memory
        if memory is None or not is_structure(kind):
            return kind()
        contexts = self._contexts
        if not isinstance(contexts, GuestContexts):
            contexts = self._contexts = GuestContexts(contexts or {})
            # A complete request without callbacks would not be destroyed, but forgotten.
            if self._callbacks is None:
                self._callbacks = []
        return contexts.make(kind, memory, self.root)

    @ddi(
        "WdfObjectGetTypedContextWorker",
        "PVOID (_In_ WDFOBJECT Handle, _In_ PCWDF_OBJECT_CONTEXT_TYPE_INFO TypeInfo)",
        highest=HIGH_LEVEL,
        binding=Binding(parameters={"TypeInfo": "context_type"}),
    )
    def get_typed_context(self, context_type: type[ContextT]) -> ContextT:
        """The context of a type.

        :param context_type: the class that the attributes of the context named
        :return: the context; ``None``, as the DDI's NULL, if none of that type was ever attached
        """
        contexts = self._contexts
        return None if contexts is None else contexts.get(context_type)  # type: ignore[return-value]

    @ddi(
        "WdfObjectContextGetObject",
        "WDFOBJECT (_In_ PVOID ContextPointer)",
        highest=HIGH_LEVEL,
        binding=Binding(parameters={"ContextPointer": "context"}),
    )
    def context_get_object(self, context: object) -> "Object | None":
        """The object that a context belongs to. It may be called on any object of the same system.

        :param context: the object that :meth:`get_typed_context` returned, not an equal one
        :return: ``None`` if this is not a context, or if its object has been destroyed
        """
        owner = self._tree.context_owners.get(id(context))
        if owner is None or owner._contexts is None:
            return None
        # The address may be that of another object by now.
        return owner if any(each is context for each in owner._contexts.values()) else None

    @ddi(
        "WdfObjectAllocateContext",
        "NTSTATUS (_In_ WDFOBJECT Handle, _In_ PWDF_OBJECT_ATTRIBUTES ContextAttributes, "
        "_Outptr_opt_ PVOID *Context)",
        binding=Binding(outputs={"return": "result[0]", "Context": "result[1]"}),
    )
    def allocate_context(self, attributes: ObjectAttributes) -> tuple[int, Any]:
        """Attaches another context.

        :param attributes: the attributes, with a context type and without a parent
        :return: STATUS_SUCCESS and the new context; or, if a context of that type is attached
            already, STATUS_OBJECT_NAME_EXISTS, which is a success, and that context, unchanged
        :raises NtStatusError: the attributes are not valid, or the object is being deleted
        """
        what = f"WdfObjectAllocateContext({self})"
        check_pointer(self._kernel, attributes, f"{what}: ContextAttributes")
        validate_attributes(attributes, ParentRule.FORBIDDEN, what)
        if attributes.context_type is None:
            raise NtStatusError(STATUS_OBJECT_NAME_INVALID, what)
        if self._phase is not Phase.ALIVE:
            raise NtStatusError(STATUS_DELETE_PENDING, what)
        if self._contexts is not None and attributes.context_type in self._contexts:
            return STATUS_OBJECT_NAME_EXISTS, self._contexts[attributes.context_type]
        return STATUS_SUCCESS, self._attach(attributes)

    # Tree

    @property
    def parent(self) -> "Object | None":
        """The parent object."""
        return self._parent

    @property
    def children(self) -> tuple["Object", ...]:
        """The children, in the order of their creation."""
        return tuple(self._children or ())

    @property
    def phase(self) -> Phase:
        """The stage of its life."""
        return self._phase

    @property
    def freed(self) -> bool:
        """Whether the object is destroyed, so that each DDI on its handle is WDF_VIOLATION 5."""
        return self._phase is Phase.DESTROYED

    @property
    def device_above(self) -> "DeviceBase | None":
        """The object itself if it is a device, otherwise the device that it is below."""
        parent = self._parent
        return None if parent is None else parent.device_above

    @property
    def guest_memory(self) -> "GuestMemory | None":
        """The guest memory that holds its contexts and the pool of the objects below it.

        ``None`` if they are in this process.
        """
        owner: Object | None = self.device_above
        if owner is None:
            owner = self.root
        return None if owner is self else owner.guest_memory

    @property
    def root(self) -> "Object":
        """The driver that the object is below; the topmost object if it is below none."""
        device = self.device_above
        if device is not None:
            return device.driver
        above: Object = self
        while above._parent is not None:
            above = above._parent
        return above

    def _adopt(self, child: "Object") -> None:
        with self._tree.lock:
            if self._phase is Phase.ALIVE:
                if self._children is None:
                    self._children = []
                self._children.append(child)
                return
        # The child has no name yet.
        raise NtStatusError(
            STATUS_DELETE_PENDING,
            f"{child.object_class.__name__}: its parent {self} is being deleted",
        )

    # References

    @ddi(
        "WdfObjectReferenceActual",
        "VOID (_In_ WDFOBJECT Handle, _In_opt_ PVOID Tag, _In_ LONG Line, _In_z_ PCCH File)",
    )
    def reference(self, tag: object = None, line: int = 0, file: str = "") -> None:
        """Keeps the object and its contexts after deletion.

        :param tag: the purpose of the reference; kept while the verifier is on [TrackHandles]
        :param line: the line of the caller, kept with the tag
        :param file: the file of the caller, kept with the tag
        """
        kernel = self._kernel
        with self._tree.lock:
            self._references += 1
            if kernel.verifying:
                if self._tags is None:
                    self._tags = []
                self._tags.append(Reference(tag, line, file))
                self._tree.referenced[id(self)] = self

    @ddi(
        "WdfObjectDereferenceActual",
        "VOID (_In_ WDFOBJECT Handle, _In_opt_ PVOID Tag, _In_ LONG Line, _In_z_ PCCH File)",
    )
    def dereference(self, tag: object = None, line: int = 0, file: str = "") -> None:
        """Drops a reference; the last one destroys the object.

        :param tag: the tag of the reference that is dropped
        :param line: the line of the caller, as for :meth:`reference`
        :param file: the file of the caller, as for :meth:`reference`
        """
        if self._references == 1 and self._phase is not Phase.DISPOSED:
            self._kernel.bug_check(
                WDF_VIOLATION,
                WdfViolation.OBJECT_ERROR,
                id(self),
                id(self),
                message=f"the last reference of {self} was dropped, but it was not deleted",
                subject=self,
            )
        if self._tags is not None and not self._forget_tag(tag):
            self._kernel.verifier.violation(
                "ReferenceTag",
                f"{self} is dereferenced with a tag that no reference has: {tag}",
                self,
            )
        self._drop()

    def _forget_tag(self, tag: object) -> bool:
        tags = self._tags
        assert tags is not None
        with self._tree.lock:
            for index in range(len(tags) - 1, -1, -1):
                if tags[index].tag is tag or tags[index].tag == tag:
                    del tags[index]
                    if not tags:
                        self._tree.referenced.pop(id(self), None)
                    return True
        return False

    @property
    def references(self) -> "tuple[Reference, ...]":
        """The driver's references that have not been dropped, while the verifier is on."""
        return tuple(self._tags or ())

    def _hold(self) -> None:
        """Takes a reference for the framework; :meth:`_drop` gives it back."""
        with self._tree.lock:
            self._references += 1

    def _drop(self) -> None:
        with self._tree.lock:
            self._references -= 1
            if self._references:
                return
        for _, destroy in self._callbacks or ():
            if destroy is not None:
                self._kernel.invoke(destroy, self)
        self._on_destroy()
        self._phase = Phase.DESTROYED
        if self._contexts is not None:
            self._free_contexts()
        self._callbacks = None
        if self._tags:  # references that the driver has dropped with another tag
            self._tree.referenced.pop(id(self), None)
        self.__class__ = freed_class(type(self))

    # Deletion

    @ddi("WdfObjectDelete", "VOID (_In_ WDFOBJECT Object)")
    def delete(self) -> None:
        """Deletes the object and its children [Framework Object Life Cycle].

        Above PASSIVE_LEVEL, objects that have to wait for their callbacks are deleted later, by the
        disposer. An object that the framework owns is not deleted: that is a violation, and so is
        the deletion of an object that is deleted already and kept by a reference.
        """
        if not self.deletable:
            self._kernel.verifier.violation(
                "ObjectNotDeletable", f"WdfObjectDelete on {self}, which the framework owns", self
            )
            return
        parent = self._parent
        if self._phase in {Phase.DEFERRED, Phase.DISPOSED} and (
            # The parent's EvtCleanup may delete what has been cleaned up for it just before.
            parent is None or parent._phase is not Phase.DISPOSING
        ):
            self._kernel.verifier.violation(
                "ObjectDeletedTwice", f"WdfObjectDelete on {self}, which is deleted already", self
            )
            return
        self._delete()

    def _delete(self) -> None:
        kernel = self._kernel
        if kernel.irql() > PASSIVE_LEVEL and self._waits_for_disposal():
            if self._move({Phase.ALIVE}, Phase.DEFERRED):
                self._tree.deferred[id(self)] = DeferredDeletion(KEvent(kernel))
                kernel.disposer.queue(self._finish_deferred)
        else:
            self._finish_deletion()

    def _finish_deferred(self) -> None:
        """Runs on the disposer's thread; the parent's deletion, on another, may have come first."""
        deferred = self._tree.deferred
        deferred[id(self)].thread = get_ident()
        try:
            self._finish_deletion()
        finally:
            deferred.pop(id(self)).done.set()

    def _waits_for_disposal(self) -> bool:
        return self.passive_disposal or any(each._waits_for_disposal() for each in self.children)

    def _move(self, sources: set[Phase], target: Phase) -> bool:
        """Changes the phase; ``False`` if the present phase is not one of the sources."""
        with self._tree.lock:
            if self._phase not in sources:
                return False
            self._phase = target
            return True

    def _finish_deletion(self) -> None:
        disposed = self._dispose()
        if not disposed:
            return
        parent = self._parent
        if parent is not None:
            with self._tree.lock:
                if parent._children is not None and self in parent._children:
                    parent._children.remove(self)
        for each in disposed:
            each._drop()

    def _dispose(self) -> "list[Object]":
        """Cleans the object and its children up, the children first.

        :return: the objects that the caller must drop now, in this order; empty if another thread
            drops them
        """
        disposed: list[Object] = []
        if not self._move({Phase.ALIVE, Phase.DEFERRED}, Phase.DISPOSING):
            return disposed
        for child in self.children:
            disposed += child._dispose()
            self._await_deferred(child)
        self._on_dispose()
        for cleanup, _ in self._callbacks or ():
            if cleanup is not None:
                self._kernel.invoke(cleanup, self)
        with self._tree.lock:  # a child may be looking for itself in the list
            self._phase = Phase.DISPOSED
            if self._children is not None:
                self._children.clear()
        disposed.append(self)
        return disposed

    def _await_deferred(self, child: "Object") -> None:
        """Waits for a child that the disposer is cleaning up: it must go before its parent."""
        kernel = self._kernel
        if child._phase is not Phase.DISPOSING or kernel.irql() > PASSIVE_LEVEL:
            return
        running = self._tree.deferred.get(id(child))
        # The child's own EvtCleanup may delete its parent.
        if running is not None and running.thread != get_ident():
            running.done.wait()

    def _on_dispose(self) -> None:
        """The first step of disposal, by kind of object: waits until none of its callbacks runs."""

    def _on_destroy(self) -> None:
        """The last step of destruction, by kind of object: gives back what references kept."""

    # Presentation lock

    @ddi("WdfObjectAcquireLock", "VOID (_In_ WDFOBJECT Object)")
    def acquire_lock(self) -> None:
        """Takes the presentation lock of a device or a queue."""
        self._no_presentation_lock("WdfObjectAcquireLock")

    @ddi("WdfObjectReleaseLock", "VOID (_In_ WDFOBJECT Object)")
    def release_lock(self) -> None:
        """Gives the presentation lock back."""
        self._no_presentation_lock("WdfObjectReleaseLock")

    def _no_presentation_lock(self, what: str) -> NoReturn:
        self._kernel.bug_check(
            WDF_VIOLATION,
            WdfViolation.INVALID_LOCK_OPERATION,
            id(self),
            0,
            message=f"{what}: {self} has no presentation lock",
            subject=self,
        )


Object.object_class = Object
