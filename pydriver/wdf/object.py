# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The object tree: parents, contexts by type, two-phase deletion, references."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydriver.ke.bugcheck import DRIVER_VERIFIER_DETECTED_VIOLATION, WDF_VIOLATION
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
    "call_void",
    "require_device",
)

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


def call_void(kernel: "Kernel", callback: Callable[..., Any], *arguments: Any) -> None:
    """Calls a driver's callback whose result means nothing; what escapes is a bug check."""
    try:
        callback(*arguments)
    except Exception as error:  # noqa: BLE001 -- becomes a bug check
        kernel.escaped(error)


class Object:
    """What every framework object is.

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
        "deletable",
    )

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
        self._phase = Phase.ALIVE
        self.deletable = deletable
        if parent is not None:
            parent._adopt(self)
        if attributes is not None:
            self._attach(attributes)

    def __str__(self) -> str:
        return type(self).__name__

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
        if not scope or not level:
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
    def reference(self) -> None:
        """Keeps the object and its contexts after deletion."""
        self._references += 1

    @ddi("WdfObjectDereferenceActual", "VOID (WDFOBJECT Handle, PVOID Tag, LONG Line, PCCH File)")
    def dereference(self) -> None:
        """Drops a reference; the last one destroys the object."""
        if self._references == 1 and self._phase is not Phase.DISPOSED:
            self._kernel.bug_check(
                WDF_VIOLATION,
                7,
                id(self),
                id(self),
                message=f"the last reference of {self} was dropped, but it was not deleted",
            )
        self._drop()

    @ddi("WdfObjectDelete", "VOID (WDFOBJECT Object)")
    def delete(self) -> None:
        """Deletes the object and its children [Framework Object Life Cycle].

        From above PASSIVE_LEVEL, objects that have to wait for their callbacks are deleted later,
        by a worker thread.
        """
        if not self.deletable:
            self._kernel.bug_check(
                DRIVER_VERIFIER_DETECTED_VIOLATION,
                0,
                self._kernel.irql(),
                rule="ObjectNotDeletable",
                message=f"WdfObjectDelete on {self}, which the framework owns",
            )
        self._delete()

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
                call_void(self._kernel, cleanup, self)
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
        self._phase = Phase.DESTROYED
        for _, destroy in self._callbacks or ():
            if destroy is not None:
                call_void(self._kernel, destroy, self)


def require_device(parent: Object, status: int, what: str) -> "Device":
    """The device at or above a parent.

    :raises NtStatusError: with ``status``, if there is none
    """
    device = parent.device_above
    if device is None:
        raise NtStatusError(status, what)
    return device
