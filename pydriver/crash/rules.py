# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The requirement that each rule of the verifier makes of a driver."""

__all__ = ("RULES", "rule_text")

_BUFFER = "The driver may use the buffers of a request until it completes the request, not after."
_MDL = "The MDL of a request is gone when the request is complete."
_MEMORY = "The memory object of a request is gone when the request is complete."

RULES = {
    "BufAfterReqCompletedIntIoctl": _BUFFER,
    "BufAfterReqCompletedIoctl": _BUFFER,
    "BufAfterReqCompletedRead": _BUFFER,
    "BufAfterReqCompletedWrite": _BUFFER,
    "ChangeQueueState": "A state change of a queue begins when the one before it is complete, and "
    "not on a queue that is being deleted.",
    "CollectionItem": "An item is removed from a collection that has it.",
    "CompleteCanceledReq": "A cancelable request is completed only after "
    "WdfRequestUnmarkCancelable has succeeded; if that returns STATUS_CANCELLED, EvtRequestCancel "
    "completes it.",
    "CriticalRegion": "A callback leaves as many critical regions as it has entered.",
    "DeviceFailedAction": "WdfDeviceSetFailed is called with an action that exists.",
    "DmaElements": "The number of scatter/gather elements is set once, before the transactions.",
    "DmaMaximumLength": "The maximum length of a transaction is set before the transaction begins.",
    "DmaTransactionState": "A DMA transaction is initialized, executed, transferred and released "
    "in that order.",
    "DoubleCompletion": "A request is completed once.",
    "DrvAckIoStop": "EvtIoStop makes sure that each owned request is completed, requeued or "
    "acknowledged before the device leaves D0.",
    "EvtIoStopCompleteOrStopAck": "EvtIoStop completes the request, or calls "
    "WdfRequestStopAcknowledge.",
    "EvtIoStopResume": "A queue whose EvtIoStop keeps requests has EvtIoResume.",
    "EvtSurpriseRemoveNoSuspendQueue": "EvtDeviceSurpriseRemoval does not drain, stop or purge "
    "queues that are power managed.",
    "ExecutionLevel": "An object that is serialized with its parent has its execution level.",
    "FileObjectConfigured": "A driver that asks for a request's file object has configured file "
    "objects.",
    "ForwardedToWrongQueue": "A request is forwarded to another queue of the same device.",
    "InitFreeDeviceCallback": "The WDFDEVICE_INIT of EvtDriverDeviceAdd belongs to the framework.",
    "InputBufferAPI": "An input buffer is retrieved from a write or a device control only.",
    "InterruptNotConnected": "An interrupt is reported active or inactive while it is connected.",
    "InterruptPolicy": "An interrupt's policy is set in EvtDriverDeviceAdd, to values that exist.",
    "InterruptStorm": "An ISR makes its device withdraw the interrupt, and claims it.",
    "InvalidHandle": "An object that is being deleted is not started again.",
    "InvalidReqAccess": "A request's DDIs are called while the driver owns the request.",
    "IrqlDispatch": "A DPC or a timer returns at DISPATCH_LEVEL.",
    "IrqlKeRaiseLower": "KeRaiseIrql does not lower the IRQL, KeLowerIrql restores what the "
    "matching raise returned, and a DPC does not go below DISPATCH_LEVEL.",
    "IrqlKeSetEvent": "KeSetEvent is called at DISPATCH_LEVEL at most.",
    "IrqlMmApcLte": "MmUnmapIoSpace is called at APC_LEVEL at most.",
    "IrqlMmDispatch": "MmMapIoSpace is called at DISPATCH_LEVEL at most.",
    "IrqlPassive": "The routines of threads are called at PASSIVE_LEVEL.",
    "KmdfIrql": "A DDI is called at an IRQL at which it is legal, and the driver does not wait at "
    "DISPATCH_LEVEL or above.",
    "KmdfIrql2": "A callback returns at the IRQL at which it was called.",
    "LockOrder": "Locks are acquired in the same order everywhere.",
    "MarkCancOnCancReqLocal": "A request that is already cancelable is not marked again.",
    "MdlAfterReqCompletedIoctl": _MDL,
    "MdlAfterReqCompletedRead": _MDL,
    "MemAfterReqCompletedIoctl": _MEMORY,
    "MemAfterReqCompletedRead": _MEMORY,
    "MemAfterReqCompletedWrite": _MEMORY,
    "NoIoQueuePurgeSynchronously": "A queue is not stopped, drained or purged synchronously in a "
    "callback that handles a queue's request: it would wait for itself.",
    "ObjectDeletedTwice": "An object is deleted once.",
    "ObjectLeak": "References that a driver takes are dropped before it is unloaded.",
    "ObjectNotDeletable": "An object that the framework owns is not deleted by the driver.",
    "OutputBufferAPI": "An output buffer is retrieved from a read or a device control only.",
    "PoolLeak": "Pool, contexts and request buffers in guest memory are freed before the driver is "
    "unloaded.",
    "PrepareHardwareStatus": "EvtDevicePrepareHardware does not return STATUS_NOT_SUPPORTED.",
    "PresentationLockDropped": "A callback that is called under a presentation lock still holds "
    "it when it returns.",
    "PresentationLockHeld": "A presentation lock that a callback acquires is released in it.",
    "PresentationLockOrder": "The presentation lock of a device is acquired before a queue's.",
    "ReferenceTag": "A reference is dropped with the tag that it was taken with.",
    "ReqDelete": "A request that the driver has created is deleted, not completed.",
    "ReqIsCancOnCancReq": "WdfRequestIsCanceled is for requests that are not cancelable.",
    "ReqMarkCancelableSend": "A cancelable request is unmarked before it is passed on.",
    "RequestCompleted": "Each request that the driver owns is completed before the device goes.",
    "RequestGetStatusValid": "WdfRequestGetStatus is for requests that the driver has sent.",
    "ResourceListOutsideCallback": "A resource list is used only in the callback that it is passed "
    "to.",
    "ResourceListReadOnly": "The resource lists of EvtDevicePrepareHardware are not changed.",
    "ResumeIdleUnbalanced": "Each WdfDeviceResumeIdle follows a WdfDeviceStopIdle.",
    "SequentialRetrieve": "A sequential queue's request is retrieved while the driver owns one.",
    "Spinlock": "A kernel spin lock is acquired once, at DISPATCH_LEVEL at most, and released at "
    "DISPATCH_LEVEL.",
    "SpinlockRelease": "A kernel spin lock is released by its holder, in the same callback.",
    "StallTooLong": "KeStallExecutionProcessor is for 50 us at most.",
    "StopAckWithinEvtIoStop": "WdfRequestStopAcknowledge is called in EvtIoStop.",
    "StructureSize": "A structure is of the kind that the DDI takes.",
    "SystemThreadLeft": "Threads that a driver has created end before it is unloaded.",
    "TimerStopFromCallback": "A timer's callback does not wait for its own end.",
    "UsageNotification": "One of the two callbacks for usage notifications is set, not both.",
    "WdfInterruptLock": "WdfInterruptAcquireLock and WdfInterruptReleaseLock alternate, while the "
    "interrupt is connected.",
    "WdfInterruptLockRelease": "An interrupt lock is released in the callback that acquires it.",
    "WdfIoQueueRetrieveFoundRequest": "WdfIoQueueRetrieveFoundRequest retrieves a request that "
    "was found by WdfIoQueueFindRequest.",
    "WdfIoQueueRetrieveNextRequest": "After WdfIoQueueFindRequest, "
    "WdfIoQueueRetrieveFoundRequest retrieves.",
    "WdfSpinlock": "WdfSpinLockAcquire and WdfSpinLockRelease alternate: the lock is not "
    "recursive.",
    "WdfSpinlockRelease": "A spin lock is released in the callback that acquires it, by its "
    "holder.",
    "WdfWaitlock": "WdfWaitLockAcquire and WdfWaitLockRelease alternate: the lock is not "
    "recursive, and not deleted while it is held.",
    "WdfWaitlockRelease": "A wait lock is released in the callback that acquires it, by its "
    "holder.",
    "WorkItemFlushFromCallback": "A work item's callback does not flush its own work item.",
}
"""Requirements by the name of the rule."""


def rule_text(rule: str) -> str:
    """Returns the requirement of a rule; empty if the rule is not known here."""
    return RULES.get(rule, "")
