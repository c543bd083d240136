# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The object tree: parents, contexts by type, two-phase deletion, references.

A handle that is used after its object was destroyed is WDF_VIOLATION 5. That costs a living object
nothing: a destroyed one changes its class, to one whose DDIs all bug-check.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_DELETE_PENDING,
    STATUS_OBJECT_NAME_INVALID,
    STATUS_WDF_EXECUTION_LEVEL_INVALID,
    STATUS_WDF_OBJECT_ATTRIBUTES_INVALID,
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
    STATUS_WDF_PARENT_NOT_SPECIFIED,
    STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID,
    NtStatusError,
)
from pydriver.wdf.ddi import HIGH_LEVEL, ddi

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.wdf.device import Device

__all__ = (
    "ExecutionLevel",
    "Object",
    "ObjectAttributes",
    "ParentRule",
    "SynchronizationScope",
    "check_handle",
    "require_device",
)

REQUIRED_PARAMETER_IS_NULL = 4
INVALID_HANDLE = 5
OBJECT_ERROR = 7
INVALID_LOCK_OPERATION = 0xB
"""Parameter 1 of WDF_VIOLATION."""

ContextT = TypeVar("ContextT")


class ExecutionLevel(IntEnum):
    """WDF_EXECUTION_LEVEL."""

    INVALID = 0
    INHERIT_FROM_PARENT = 1
    PASSIVE = 2
    DISPATCH = 3


class SynchronizationScope(IntEnum):
    """WDF_SYNCHRONIZATION_SCOPE."""

    INVALID = 0
    INHERIT_FROM_PARENT = 1
    DEVICE = 2
    QUEUE = 3
    NONE = 4


ObjectCallback = Callable[[Any], None]


@dataclass(slots=True)
class ObjectAttributes:
    """WDF_OBJECT_ATTRIBUTES.

    :ivar parent_object: ParentObject
    :ivar context_type: a class; an object of it, made without arguments, becomes the context
    :ivar evt_cleanup_callback: called when deletion begins
    :ivar evt_destroy_callback: called when the last reference is gone
    :ivar execution_level: highest IRQL of the callbacks
    :ivar synchronization_scope: which callbacks exclude each other
    """

    parent_object: "Object | None" = None
    context_type: type | None = None
    evt_cleanup_callback: ObjectCallback | None = None
    evt_destroy_callback: ObjectCallback | None = None
    execution_level: ExecutionLevel = ExecutionLevel.INHERIT_FROM_PARENT
    synchronization_scope: SynchronizationScope = SynchronizationScope.INHERIT_FROM_PARENT


class ParentRule(Enum):
    """Whether attributes may name a parent."""

    FORBIDDEN = 0
    OPTIONAL = 1
    MANDATORY = 2


class Phase(Enum):
    """How far an object's life has gone [Framework Object Life Cycle]."""

    ALIVE = 0
    DISPOSING = 1
    DISPOSED = 2
    DESTROYED = 3


def check_handle(kernel: "Kernel", handle: object, kind: "type[Object]", what: str) -> None:
    """Bug-checks a handle that is NULL, freed, or of another type, as every DDI does.

    :param handle: an argument of the DDI
    :param kind: that it must be
    :param what: the DDI, for the report
    """
    if isinstance(handle, kind) and handle.phase is not Phase.DESTROYED:
        return
    kernel.bug_check(
        WDF_VIOLATION,
        INVALID_HANDLE,
        0 if handle is None else id(handle),
        kind.fx_type,
        message=f"{what}: {describe_handle(handle)} is no {kind.__name__}",
        subject=handle if isinstance(handle, Object) else None,
    )


def describe_handle(handle: object) -> str:
    """A handle that is not valid, for a message."""
    if handle is None:
        return "NULL"
    if isinstance(handle, Object) and handle.phase is Phase.DESTROYED:
        return f"the freed {handle}"
    return f"{handle!s}, of type {type(handle).__name__},"


class Object:
    """What every framework object is.

    :cvar fx_type: the framework's number of the type [fxtypes.h]
    :ivar deletable: the driver may call :meth:`delete`
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
        "deletable",
    )

    fx_type: ClassVar[int] = 0x1000
    allows_level: ClassVar[bool] = False
    allows_scope: ClassVar[bool] = False
    passive_disposal: ClassVar[bool] = False

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
        self._children: list[Object] | None = None
        self._contexts: dict[type, Any] | None = None
        self._callbacks: list[tuple[ObjectCallback | None, ObjectCallback | None]] | None = None
        self._references = 1
        self._tags: list[Reference] | None = None
        self._phase = Phase.ALIVE
        self.deletable = deletable
        if parent is not None:
            parent._adopt(self)
        if attributes is not None:
            self._attach(attributes)

    def __str__(self) -> str:
        return type(self).__name__.removeprefix("Freed")

    # Attributes

    @classmethod
    def check_attributes(
        cls, attributes: ObjectAttributes | None, rule: ParentRule, what: str
    ) -> ObjectAttributes:
        """Validates attributes in the order of the framework [FxValidateObjectAttributes].

        :param attributes: as given by the driver
        :param rule: for the parent
        :param what: the DDI, for the error
        :raises NtStatusError: they are not valid
        """
        if attributes is None:
            if rule is ParentRule.MANDATORY:
                raise NtStatusError(STATUS_WDF_PARENT_NOT_SPECIFIED, what)
            return ObjectAttributes()
        if attributes.parent_object is None:
            if rule is ParentRule.MANDATORY:
                raise NtStatusError(STATUS_WDF_PARENT_NOT_SPECIFIED, what)
        elif rule is ParentRule.FORBIDDEN:
            raise NtStatusError(STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED, what)
        scope, level = attributes.synchronization_scope, attributes.execution_level
        if not (0 < scope <= max(SynchronizationScope) and 0 < level <= max(ExecutionLevel)):
            raise NtStatusError(STATUS_WDF_OBJECT_ATTRIBUTES_INVALID, what)
        unset = {SynchronizationScope.INHERIT_FROM_PARENT, SynchronizationScope.NONE}
        if not cls.allows_scope and scope not in unset:
            raise NtStatusError(STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID, what)
        if not cls.allows_level and level is not ExecutionLevel.INHERIT_FROM_PARENT:
            raise NtStatusError(STATUS_WDF_EXECUTION_LEVEL_INVALID, what)
        return attributes

    def _attach(self, attributes: ObjectAttributes) -> Any:
        cleanup, destroy = attributes.evt_cleanup_callback, attributes.evt_destroy_callback
        if cleanup is not None or destroy is not None:
            if self._callbacks is None:
                self._callbacks = []
            self._callbacks.append((cleanup, destroy))
        if attributes.context_type is None:
            return None
        if self._contexts is None:
            self._contexts = {}
        context = self._contexts[attributes.context_type] = attributes.context_type()
        return context

    @ddi(
        "WdfObjectGetTypedContextWorker",
        "PVOID (WDFOBJECT Handle, PCWDF_OBJECT_CONTEXT_TYPE_INFO TypeInfo)",
        highest=HIGH_LEVEL,
    )
    def get_typed_context(self, context_type: type[ContextT]) -> ContextT:
        """The context of a type.

        :param context_type: as in the attributes that attached it
        :return: ``None`` if that type was never attached, as the DDI's NULL
        """
        contexts = self._contexts
        return None if contexts is None else contexts.get(context_type)  # type: ignore[return-value]

    @ddi(
        "WdfObjectAllocateContext",
        "NTSTATUS (WDFOBJECT Handle, PWDF_OBJECT_ATTRIBUTES ContextAttributes, PVOID *Context)",
    )
    def allocate_context(self, attributes: ObjectAttributes) -> Any:
        """Attaches a further context.

        :param attributes: with a context type, without a parent
        :return: the context; the existing one if the type is attached already
        :raises NtStatusError: the attributes are not valid, or the object is being deleted
        """
        what = f"WdfObjectAllocateContext({self})"
        if attributes.parent_object is not None:
            raise NtStatusError(STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED, what)
        if attributes.context_type is None:
            raise NtStatusError(STATUS_OBJECT_NAME_INVALID, what)
        if self._phase is not Phase.ALIVE:
            raise NtStatusError(STATUS_DELETE_PENDING, what)
        existing = self._contexts and self._contexts.get(attributes.context_type)
        return existing if existing is not None else self._attach(attributes)

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
        """How far its life has gone."""
        return self._phase

    @property
    def device_above(self) -> "Device | None":
        """The device that the object is, or that is above it."""
        parent = self._parent
        return None if parent is None else parent.device_above

    def _adopt(self, child: "Object") -> None:
        if self._phase is not Phase.ALIVE:
            raise NtStatusError(STATUS_DELETE_PENDING, f"{child}: its parent {self}")
        if self._children is None:
            self._children = []
        self._children.append(child)

    # References and deletion

    @ddi("WdfObjectReferenceActual", "VOID (WDFOBJECT Handle, PVOID Tag, LONG Line, PCCH File)")
    def reference(self, tag: object = None, line: int = 0, file: str = "") -> None:
        """Keeps the object and its contexts after deletion.

        :param tag: what the reference is for; kept while the verifier is on [TrackHandles]
        :param line: of the caller, for the tag
        :param file: of the caller, for the tag
        """
        self._references += 1
        if self._kernel.verifying:
            if self._tags is None:
                self._tags = []
            self._tags.append(Reference(tag, line, file))

    @ddi("WdfObjectDereferenceActual", "VOID (WDFOBJECT Handle, PVOID Tag, LONG Line, PCCH File)")
    def dereference(self, tag: object = None, line: int = 0, file: str = "") -> None:
        """Drops a reference; the last one destroys the object.

        :param tag: as it was referenced with
        :param line: of the caller, for the tag
        :param file: of the caller, for the tag
        """
        if self._references == 1 and self._phase is not Phase.DISPOSED:
            self._kernel.bug_check(
                WDF_VIOLATION,
                OBJECT_ERROR,
                id(self),
                id(self),
                message=f"the last reference of {self} was dropped, but it was not deleted",
                subject=self,
            )
        if self._tags is not None:
            self._forget_tag(tag)
        self._drop()

    def _forget_tag(self, tag: object) -> None:
        assert self._tags is not None
        for index in range(len(self._tags) - 1, -1, -1):
            if self._tags[index].tag is tag or self._tags[index].tag == tag:
                del self._tags[index]
                return
        self._kernel.verifier.violation(
            "ReferenceTag", f"{self} is dereferenced with a tag that no reference has: {tag}", self
        )

    @property
    def references(self) -> "tuple[Reference, ...]":
        """The driver's references that have not been dropped, while the verifier is on."""
        return tuple(self._tags or ())

    @ddi("WdfObjectDelete", "VOID (WDFOBJECT Object)")
    def delete(self) -> None:
        """Deletes the object and its children [Framework Object Life Cycle].

        From above PASSIVE_LEVEL, objects that have to wait for their callbacks are deleted later,
        by a worker thread. An object that the framework owns stays: that is a violation.
        """
        if not self.deletable:
            self._kernel.verifier.violation(
                "ObjectNotDeletable", f"WdfObjectDelete on {self}, which the framework owns", self
            )
            return
        self._delete()

    @ddi("WdfObjectAcquireLock", "VOID (WDFOBJECT Object)")
    def acquire_lock(self) -> None:
        """Takes the presentation lock of a device or a queue."""
        self._no_presentation_lock("WdfObjectAcquireLock")

    @ddi("WdfObjectReleaseLock", "VOID (WDFOBJECT Object)")
    def release_lock(self) -> None:
        """Gives the presentation lock back."""
        self._no_presentation_lock("WdfObjectReleaseLock")

    def _no_presentation_lock(self, what: str) -> NoReturn:
        self._kernel.bug_check(
            WDF_VIOLATION,
            INVALID_LOCK_OPERATION,
            id(self),
            0,
            message=f"{what}: {self} has no presentation lock",
            subject=self,
        )

    def _delete(self) -> None:
        if self._phase is not Phase.ALIVE:
            return
        if self.passive_disposal and self._kernel.irql() > PASSIVE_LEVEL:
            self._phase = Phase.DISPOSING
            self._kernel.workers.queue(self._finish_deletion)
        else:
            self._finish_deletion()

    def _finish_deletion(self) -> None:
        self._dispose()
        parent = self._parent
        if parent is not None and parent._children is not None and self in parent._children:
            parent._children.remove(self)
        self._destroy_tree()

    def _dispose(self) -> None:
        if self._phase in {Phase.DISPOSED, Phase.DESTROYED}:
            return
        self._phase = Phase.DISPOSING
        for child in tuple(self._children or ()):
            child._dispose()
        self._on_dispose()
        for cleanup, _ in self._callbacks or ():
            if cleanup is not None:
                self._kernel.invoke(cleanup, self)
        self._phase = Phase.DISPOSED

    def _on_dispose(self) -> None:
        """What a kind of object does first: waits until none of its callbacks runs."""

    def _destroy_tree(self) -> None:
        for child in tuple(self._children or ()):
            child._destroy_tree()
        if self._children is not None:
            self._children.clear()
        self._drop()

    def _drop(self) -> None:
        self._references -= 1
        if self._references:
            return
        for _, destroy in self._callbacks or ():
            if destroy is not None:
                self._kernel.invoke(destroy, self)
        self._phase = Phase.DESTROYED
        self.__class__ = freed(type(self))


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference that a driver has taken.

    :ivar tag: what for
    :ivar line: of the caller
    :ivar file: of the caller
    """

    tag: object
    line: int
    file: str


def _freed_method(name: str) -> Callable[..., Any]:
    def method(self: Object, *arguments: Any, **more: Any) -> Any:
        self._kernel.bug_check(
            WDF_VIOLATION,
            INVALID_HANDLE,
            id(self),
            self.fx_type,
            message=f"{name} on {self}, which has been freed",
            subject=self,
        )

    return method


_freed: dict[type[Object], type[Object]] = {}


def freed(kind: type[Object]) -> type[Object]:
    """The class of a destroyed object of some class: every DDI is WDF_VIOLATION 5."""
    known = _freed.get(kind)
    if known is not None:
        return known
    methods: dict[str, Any] = {"__slots__": ()}
    for base in kind.__mro__:
        for attribute, value in vars(base).items():
            name = getattr(value, "ddi_name", None)
            if name is not None:
                methods.setdefault(attribute, _freed_method(name))
    result = _freed[kind] = type(f"Freed{kind.__name__}", (kind,), methods)
    return result


def require_device(parent: Object, status: int, what: str) -> "Device":
    """The device at or above a parent.

    :raises NtStatusError: with ``status``, if there is none
    """
    device = parent.device_above
    if device is None:
        raise NtStatusError(status, what)
    return device
