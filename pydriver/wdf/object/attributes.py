# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDF_OBJECT_ATTRIBUTES: a driver's description of the object it creates, and its validation."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

from pydriver.declarations.registry import callbacks, enumeration, structure, typedef
from pydriver.ke.irql import HIGH_LEVEL
from pydriver.ke.status import (
    STATUS_WDF_EXECUTION_LEVEL_INVALID,
    STATUS_WDF_OBJECT_ATTRIBUTES_INVALID,
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
    STATUS_WDF_PARENT_NOT_SPECIFIED,
    STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID,
    NtStatusError,
)

if TYPE_CHECKING:
    from pydriver.wdf.object.object import Object

__all__ = (
    "ExecutionLevel",
    "ObjectAttributes",
    "ObjectCallback",
    "ParentRule",
    "SynchronizationScope",
    "validate_attributes",
)


typedef("const WDF_OBJECT_CONTEXT_TYPE_INFO *PCWDF_OBJECT_CONTEXT_TYPE_INFO")
structure(
    "WDF_OBJECT_CONTEXT_TYPE_INFO",
    """
    ULONG Size;
    PCSTR ContextName;
    size_t ContextSize;
    PCWDF_OBJECT_CONTEXT_TYPE_INFO UniqueType;
    PFN_GET_UNIQUE_CONTEXT_TYPE EvtDriverGetUniqueContextType;
    """,
)
callbacks(
    __name__,
    {"GET_UNIQUE_CONTEXT_TYPE": "PCWDF_OBJECT_CONTEXT_TYPE_INFO (VOID)"},
    pointer="PFN_",
    highest=HIGH_LEVEL,
)
callbacks(
    __name__,
    {
        "EVT_WDF_OBJECT_CONTEXT_CLEANUP": "VOID (_In_ WDFOBJECT Object)",
        "EVT_WDF_OBJECT_CONTEXT_DESTROY": "VOID (_In_ WDFOBJECT Object)",
    },
)


@enumeration("WDF_EXECUTION_LEVEL", "WdfExecutionLevel")
class ExecutionLevel(IntEnum):
    """WDF_EXECUTION_LEVEL."""

    INVALID = 0
    INHERIT_FROM_PARENT = 1
    PASSIVE = 2
    DISPATCH = 3


@enumeration("WDF_SYNCHRONIZATION_SCOPE", "WdfSynchronizationScope")
class SynchronizationScope(IntEnum):
    """WDF_SYNCHRONIZATION_SCOPE."""

    INVALID = 0
    INHERIT_FROM_PARENT = 1
    DEVICE = 2
    QUEUE = 3
    NONE = 4


ObjectCallback = Callable[[Any], None]


@structure(
    "WDF_OBJECT_ATTRIBUTES",
    """
    ULONG Size;
    PFN_WDF_OBJECT_CONTEXT_CLEANUP EvtCleanupCallback;
    PFN_WDF_OBJECT_CONTEXT_DESTROY EvtDestroyCallback;
    WDF_EXECUTION_LEVEL ExecutionLevel;
    WDF_SYNCHRONIZATION_SCOPE SynchronizationScope;
    WDFOBJECT ParentObject;
    size_t ContextSizeOverride;
    PCWDF_OBJECT_CONTEXT_TYPE_INFO ContextTypeInfo;
    """,
    attributes={"ContextTypeInfo": "context_type"},
    omits=("ContextSizeOverride",),
)
@dataclass(slots=True)
class ObjectAttributes:
    """WDF_OBJECT_ATTRIBUTES.

    :ivar parent_object: the parent of the new object
    :ivar context_type: a class; its instance, made without arguments, becomes the context
    :ivar evt_cleanup_callback: the function called when deletion begins
    :ivar evt_destroy_callback: the function called when the last reference is gone
    :ivar execution_level: the highest IRQL of the callbacks
    :ivar synchronization_scope: the set of callbacks that exclude each other
    """

    parent_object: "Object | None" = None
    context_type: type | None = None
    evt_cleanup_callback: ObjectCallback | None = None
    evt_destroy_callback: ObjectCallback | None = None
    execution_level: ExecutionLevel = ExecutionLevel.INHERIT_FROM_PARENT
    synchronization_scope: SynchronizationScope = SynchronizationScope.INHERIT_FROM_PARENT


class ParentRule(Enum):
    """The rule on naming a parent in attributes."""

    FORBIDDEN = 0
    OPTIONAL = 1
    MANDATORY = 2


def validate_attributes(
    attributes: ObjectAttributes | None,
    rule: ParentRule,
    what: str,
    *,
    allows_level: bool = False,
    allows_scope: bool = False,
) -> ObjectAttributes:
    """Validates attributes in the order of the framework [FxValidateObjectAttributes].

    :param attributes: the driver's attributes
    :param rule: the rule on the parent
    :param what: the DDI, for the error
    :param allows_level: whether the kind of object takes an execution level
    :param allows_scope: whether the kind of object takes a synchronization scope
    :return: the attributes; the defaults if there are none
    :raises NtStatusError: the attributes are not valid
    """
    if attributes is None:
        if rule is ParentRule.MANDATORY:
            raise NtStatusError(STATUS_WDF_PARENT_NOT_SPECIFIED, what)
        return ObjectAttributes()
    context_type = attributes.context_type
    if context_type is not None and not isinstance(context_type, type):
        raise NtStatusError(STATUS_WDF_OBJECT_ATTRIBUTES_INVALID, f"{what}: context type")
    if attributes.parent_object is None:
        if rule is ParentRule.MANDATORY:
            raise NtStatusError(STATUS_WDF_PARENT_NOT_SPECIFIED, what)
    elif rule is ParentRule.FORBIDDEN:
        raise NtStatusError(STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED, what)
    scope, level = attributes.synchronization_scope, attributes.execution_level
    if not (0 < scope <= max(SynchronizationScope) and 0 < level <= max(ExecutionLevel)):
        raise NtStatusError(STATUS_WDF_OBJECT_ATTRIBUTES_INVALID, what)
    unset = {SynchronizationScope.INHERIT_FROM_PARENT, SynchronizationScope.NONE}
    if not allows_scope and scope not in unset:
        raise NtStatusError(STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID, what)
    if not allows_level and level is not ExecutionLevel.INHERIT_FROM_PARENT:
        raise NtStatusError(STATUS_WDF_EXECUTION_LEVEL_INVALID, what)
    return attributes
