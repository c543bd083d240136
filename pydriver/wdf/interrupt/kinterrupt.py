# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""KINTERRUPT: the kernel's object for a connected interrupt."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydriver.declarations.registry import stands_for
from pydriver.ke.irql import LAST_DEVICE_LEVEL
from pydriver.wdf.object.ddi import function_ddi, irql_violation

if TYPE_CHECKING:
    from pydriver.wdf.interrupt.connection import InterruptConnection

__all__ = ("KInterrupt",)


@stands_for("KINTERRUPT")
class KInterrupt:
    """A connected interrupt [IoConnectInterruptEx].

    :param interrupt: the framework's object
    :ivar vector: the vector on which the interrupt arrives
    :ivar irql: the DIRQL; PASSIVE_LEVEL for a passive interrupt
    :ivar synchronize_irql: the IRQL of the ISR
    """

    __slots__ = ("_interrupt", "irql", "synchronize_irql", "vector")

    def __init__(self, interrupt: "InterruptConnection") -> None:
        self._interrupt = interrupt
        self.vector = interrupt.vector
        self.irql = interrupt.irql
        self.synchronize_irql = interrupt.synchronize_irql

    def __str__(self) -> str:
        return f"KINTERRUPT of {self._interrupt}"

    @function_ddi(
        "KeSynchronizeExecution",
        "BOOLEAN (_Inout_ PKINTERRUPT Interrupt, "
        "_In_ PKSYNCHRONIZE_ROUTINE SynchronizeRoutine, _In_opt_ PVOID SynchronizeContext)",
        highest=LAST_DEVICE_LEVEL,
    )
    def synchronize_execution(self, routine: Callable[[Any], bool], context: Any = None) -> bool:
        """Calls a routine at SynchronizeIrql, under the lock of the ISR.

        :param routine: SynchCritSection(context) -> bool
        :param context: an object for the routine
        :return: the result of the routine
        :raises BugCheck: the interrupt has been disconnected, or the IRQL is above SynchronizeIrql
        """
        interrupt = self._interrupt
        kernel = interrupt._kernel
        irql = kernel.irql()
        if irql > self.synchronize_irql:
            limit = self.synchronize_irql
            irql_violation(kernel, "KeSynchronizeExecution", irql, interrupt, limit)
        if interrupt._kinterrupt is not self:
            interrupt._null_pointer("KeSynchronizeExecution: it has been disconnected")
        return interrupt._call_synchronized(routine, context)
