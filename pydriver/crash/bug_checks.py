# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The meanings of bug checks and their parameters [Bug Check Code Reference].

The parameters are those that this system passes. Where Windows passes an address that has no
meaning here, the parameter is 0.
"""

from dataclasses import dataclass

from pydriver.ke.bugcheck import (
    ATTEMPTED_SWITCH_FROM_DPC,
    DPC_WATCHDOG_VIOLATION,
    DRIVER_IRQL_NOT_LESS_OR_EQUAL,
    DRIVER_POWER_STATE_FAILURE,
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    IRQL_NOT_LESS_OR_EQUAL,
    KMODE_EXCEPTION_NOT_HANDLED,
    PAGE_FAULT_IN_NONPAGED_AREA,
    SPIN_LOCK_ALREADY_OWNED,
    SPIN_LOCK_NOT_OWNED,
    SYSTEM_THREAD_EXCEPTION_NOT_HANDLED,
    TIMER_OR_DPC_INVALID,
    UNEXPECTED_KERNEL_MODE_TRAP,
    WDF_VIOLATION,
    WDF_VIOLATION_NAMES,
)

__all__ = ("Meaning", "meaning_of")

RESERVED = "Reserved"
_ACCESS = "Operation: 0 read, 1 write"
_EXCEPTION = (
    "The exception code: 0xE0507945 is a Python exception",
    "The address at which it was raised: 0, because Python code has none",
    "Parameter 0 of the exception",
    "Parameter 1 of the exception",
)


@dataclass(frozen=True)
class Meaning:
    """The meaning of a bug check.

    :ivar text: the meaning in one or two sentences
    :ivar parameters: the meanings of the four parameters
    :ivar usually: the most likely mistake
    """

    text: str
    parameters: tuple[str, str, str, str]
    usually: str = ""


_CODES: dict[int, Meaning] = {
    IRQL_NOT_LESS_OR_EQUAL: Meaning(
        "Paged memory, or an invalid address, was accessed at a raised IRQL.",
        ("Memory referenced", "IRQL at the time of the reference", _ACCESS, "Address of the code"),
    ),
    SPIN_LOCK_ALREADY_OWNED: Meaning(
        "A spin lock was acquired by the processor that holds it. On hardware this spins for ever.",
        ("Handle of the spin lock", RESERVED, RESERVED, RESERVED),
        "The lock is held further up on this stack, or by the code that was interrupted; release "
        "it first, or split the function into one that acquires the lock and one that expects it "
        "to be held.",
    ),
    SPIN_LOCK_NOT_OWNED: Meaning(
        "A spin lock was released by a processor that does not hold it.",
        ("Handle of the spin lock", RESERVED, RESERVED, RESERVED),
        "The lock is released twice, or on a path that has not acquired it.",
    ),
    KMODE_EXCEPTION_NOT_HANDLED: Meaning(
        "A callback of the driver raised an exception that nothing handles.",
        _EXCEPTION,
        "The faulting line raised the exception that the message names.",
    ),
    PAGE_FAULT_IN_NONPAGED_AREA: Meaning(
        "An invalid address was accessed: it is not mapped, or no longer mapped.",
        ("Memory referenced", _ACCESS, "Address of the code", "Type of the page fault"),
        "The offset is outside the registers that were mapped, or they have been unmapped.",
    ),
    SYSTEM_THREAD_EXCEPTION_NOT_HANDLED: Meaning(
        "A routine of a system thread, or a work item, raised an exception that nothing handles.",
        _EXCEPTION,
        "The faulting line raised the exception that the message names.",
    ),
    UNEXPECTED_KERNEL_MODE_TRAP: Meaning(
        "The guest's processor raised an exception that was not caused by a driver.",
        ("Vector of the exception", "RIP", "Error code", "CR2"),
        "Inspect the guest with gdb: guest.elf and memory.elf are in the directory.",
    ),
    DRIVER_POWER_STATE_FAILURE: Meaning(
        "A PnP or power callback has not returned in time.",
        (
            "3: a device object has been blocking an IRP for too long",
            "Handle of the device",
            "Triage block",
            "Blocked IRP",
        ),
        "The callback waits for something that does not happen; often that is the completion of a "
        "request that the driver still owns.",
    ),
    ATTEMPTED_SWITCH_FROM_DPC: Meaning(
        "A DPC waited. A DPC runs on the thread that it interrupted, and must not block.",
        (
            "Original thread: 0, because it is the interrupted one",
            "IRQL of the wait (Windows: the new thread)",
            "Highest IRQL at which a wait is legal (Windows: the stack's address)",
            RESERVED,
        ),
        "Move the code that waits to a work item, or use a time-out of zero.",
    ),
    DRIVER_VERIFIER_DETECTED_VIOLATION: Meaning(
        "The verifier has found a driver that broke a rule.",
        ("Subclass of the violation: see RULE", "See RULE", "See RULE", "See RULE"),
    ),
    TIMER_OR_DPC_INVALID: Meaning(
        "A DPC or a timer was found in an invalid state.",
        (
            "4: the DPC has entered or left a critical region",
            "Routine of the DPC",
            "Critical regions before",
            "Critical regions after",
        ),
        "The DPC must also leave the critical region, or release the wait lock, that it has taken.",
    ),
    DRIVER_IRQL_NOT_LESS_OR_EQUAL: Meaning(
        "The driver accessed paged memory, or an invalid address, at DISPATCH_LEVEL or above.",
        ("Memory referenced", "IRQL at the time of the reference", _ACCESS, "Address of the code"),
        "The offset is outside the registers that were mapped, they have been unmapped, or the "
        "memory is paged.",
    ),
    DPC_WATCHDOG_VIOLATION: Meaning(
        "The DPC watchdog fired: a processor was kept too long at DISPATCH_LEVEL or above.",
        (
            "0: a single DPC or ISR exceeded its time; 1: several did together",
            "Time spent, in ticks of the clock",
            "Time allotted, in ticks of the clock",
            RESERVED,
        ),
        "The faulting line was running when the time was over. Look for a loop whose condition "
        "the device does not fulfil, or for a lock that its holder does not release.",
    ),
    WDF_VIOLATION: Meaning(
        "The framework has found a driver that broke a rule.",
        ("Subclass of the violation", RESERVED, RESERVED, RESERVED),
    ),
}

_HANDLE = "Handle of the object"
_WDF: dict[int, tuple[str, str, str]] = {
    0x1: ("Power IRP and device", RESERVED, RESERVED),
    0x2: ("Handle of the presentation lock", "0", RESERVED),
    0x3: ("Handle of the request", "References of its memory", RESERVED),
    0x4: ("0", "Address of the code", RESERVED),
    0x5: ("Handle that was passed", "Type of object that is expected", RESERVED),
    0x6: ("4: the length of the information is wrong", "Handle of the request", RESERVED),
    0x7: (_HANDLE, _HANDLE, RESERVED),
    0x8: ("Handle of the transaction", "State of the transaction", RESERVED),
    0xA: ("Handle of the queue", RESERVED, RESERVED),
    0xB: (_HANDLE, "1: released by a thread that does not hold it", RESERVED),
    0xE: ("IRQL before the callback", "IRQL after the callback", RESERVED),
    0xF: ("The callback", RESERVED, RESERVED),
}
_VERIFIER: dict[int, tuple[str, str, str, str]] = {
    0x30: ("Raising the IRQL to a lower one", "Current IRQL", "New IRQL", "0"),
    0x31: ("Lowering the IRQL wrongly", "Current IRQL", "New IRQL", "1: in a DPC"),
    0x1001: ("Deadlock: two locks in both orders", "Handle of the lock", "0", "0"),
}


def meaning_of(code: int, parameters: tuple[int, int, int, int]) -> Meaning:
    """Returns the meaning of a bug check and its parameters.

    :param code: the code of the bug check
    :param parameters: its parameters; for some codes the first one decides what the others mean
    """
    meaning = _CODES.get(code)
    if meaning is None:
        return Meaning("A bug check that is not described here.", ("", "", "", ""))
    subclass = parameters[0]
    if code == WDF_VIOLATION and subclass in _WDF:
        name = WDF_VIOLATION_NAMES[subclass]
        return Meaning(meaning.text, (f"Subclass: {name}", *_WDF[subclass]), meaning.usually)
    if code == DRIVER_VERIFIER_DETECTED_VIOLATION and subclass in _VERIFIER:
        return Meaning(meaning.text, _VERIFIER[subclass], meaning.usually)
    return meaning
