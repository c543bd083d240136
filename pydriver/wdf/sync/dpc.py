# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFDPC: a callback at DISPATCH_LEVEL."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Self

from pydriver.declarations.registry import callbacks, handle, structure
from pydriver.ke.dpc import KDpc
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.status import STATUS_INVALID_DEVICE_REQUEST
from pydriver.wdf.object.ddi import HIGH_LEVEL, PASSIVE_LEVEL, creation_ddi, ddi, irql_violation
from pydriver.wdf.object.device_base import require_device
from pydriver.wdf.object.object import Object, ObjectAttributes
from pydriver.wdf.sync.serialization import CallbackKind, PresentationLock, select_lock, serialized

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Dpc", "DpcConfig")


callbacks(
    __name__,
    {
        "EVT_WDF_DPC": "VOID (_In_ WDFDPC Dpc)",
    },
    lowest=DISPATCH_LEVEL,
    highest=DISPATCH_LEVEL,
)


@structure(
    "WDF_DPC_CONFIG",
    """
    ULONG Size;
    PFN_WDF_DPC EvtDpcFunc;
    BOOLEAN AutomaticSerialization;
    """,
)
@dataclass(slots=True)
class DpcConfig:
    """WDF_DPC_CONFIG.

    :ivar evt_dpc_func: EvtDpcFunc(dpc), at DISPATCH_LEVEL; ``None`` is tolerated: nothing happens
    :ivar automatic_serialization: whether to exclude the callbacks of the parent, if its scope
        says so
    """

    evt_dpc_func: "Callable[[Dpc], None] | None" = None
    automatic_serialization: bool = True


@handle("WDFDPC")
class Dpc(Object):
    """A DPC object."""

    __slots__ = ("_kdpc", "_name")

    fx_type: ClassVar[int] = 0x1015
    passive_disposal: ClassVar[bool] = True

    def __init__(
        self,
        parent: Object,
        config: DpcConfig,
        attributes: ObjectAttributes,
        lock: PresentationLock | None,
    ) -> None:
        super().__init__(parent._kernel, parent, attributes)
        callback = config.evt_dpc_func
        self._name = f"DPC {getattr(callback, '__name__', '-')} of {parent}"
        routine = (lambda: None) if callback is None else partial(callback, self)
        if lock is not None:
            routine = serialized(lock, routine)
        self._kdpc = KDpc(self._kernel, routine, self)

    def __str__(self) -> str:
        return self._name

    @classmethod
    @creation_ddi(
        "WdfDpcCreate",
        "NTSTATUS (_In_ PWDF_DPC_CONFIG Config, _In_ PWDF_OBJECT_ATTRIBUTES Attributes, "
        "_Out_ WDFDPC *Dpc)",
    )
    def create(cls, config: DpcConfig, attributes: ObjectAttributes) -> Self:
        """Creates a DPC object.

        :param config: the callback and its serialization
        :param attributes: the attributes, with a parent: a device, or an object below one, such as
            a queue
        :raises NtStatusError: there is no parent, or no device above it; or automatic
            serialization with callbacks at PASSIVE_LEVEL
        """
        what = "WdfDpcCreate"
        attributes, parent = cls.check_attributes_with_parent(attributes, what)
        require_device(parent, STATUS_INVALID_DEVICE_REQUEST, what)
        automatic = config.automatic_serialization
        lock = select_lock(parent, CallbackKind.DISPATCH, what, automatic=automatic)
        return cls(parent, config, attributes, lock)

    @ddi("WdfDpcEnqueue", "BOOLEAN (_In_ WDFDPC Dpc)", highest=HIGH_LEVEL)
    def enqueue(self) -> bool:
        """Queues the DPC.

        :return: ``False`` if it was queued already
        """
        return self._kdpc.insert()

    @ddi("WdfDpcCancel", "BOOLEAN (_In_ WDFDPC Dpc, _In_ BOOLEAN Wait)", highest=HIGH_LEVEL)
    def cancel(self, *, wait: bool) -> bool:
        """Takes the DPC out of its queue.

        :param wait: whether to wait, if the DPC was not in the queue, until it is not running; this
            flushes all DPCs, at PASSIVE_LEVEL
        :return: ``True`` if it was removed before it started
        """
        if wait:
            irql = self._kernel.irql()
            if irql != PASSIVE_LEVEL and self._kernel.verifying:
                irql_violation(self._kernel, "WdfDpcCancel", irql, self, PASSIVE_LEVEL)
                return False
        if self._kdpc.remove():
            return True
        if wait:
            self._kernel.flush_queued_dpcs()
        return False

    @ddi("WdfDpcGetParentObject", "WDFOBJECT (_In_ WDFDPC Dpc)", highest=HIGH_LEVEL)
    def get_parent_object(self) -> Object:
        """The parent given at creation."""
        assert self._parent is not None
        return self._parent

    @ddi("WdfDpcWdmGetDpc", "PKDPC (_In_ WDFDPC Dpc)", highest=HIGH_LEVEL)
    def wdm_get_dpc(self) -> KDpc:
        """The kernel's DPC, for its importance and its target processor."""
        return self._kdpc

    def _on_dispose(self) -> None:
        if not self._kdpc.remove():
            self._kernel.flush_queued_dpcs()
