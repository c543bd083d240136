# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The most likely mistake, in a sentence, by the rule that was broken."""

from pydriver.crash.bug_checks import meaning_of
from pydriver.crash.culprit import Culprit, stuck_request
from pydriver.crash.directory import Crash

__all__ = ("followup_of",)

_AFTER = "The request is complete at this line: save what is needed of it, or complete it later."
_KEPT = (
    "A path leaves the callback without releasing the lock that this line acquires: use `with`, "
    "or release it in `finally`."
)
_BY_RULE = {
    "BufAfterReqCompletedIntIoctl": _AFTER,
    "BufAfterReqCompletedIoctl": _AFTER,
    "BufAfterReqCompletedRead": _AFTER,
    "BufAfterReqCompletedWrite": _AFTER,
    "CompleteCanceledReq": "Call WdfRequestUnmarkCancelable first, and complete the request only "
    "if it does not return STATUS_CANCELLED.",
    "DoubleCompletion": "The request was already complete when this line completed it: two paths "
    "both assume that they own it, or the pointer to it was not cleared.",
    "InterruptStorm": "The ISR does not make the device withdraw its interrupt, or does not claim "
    "an interrupt of its own device.",
    "IrqlDispatch": "This line raises the IRQL, and nothing restores it before the DPC returns.",
    "KmdfIrql": "The call is not legal at this IRQL: make it in a DPC, or in a work item, which "
    "runs at PASSIVE_LEVEL.",
    "KmdfIrql2": "This line raises the IRQL, and nothing restores it before the callback returns.",
    "LockOrder": "The two locks are acquired in the opposite order elsewhere: give them one "
    "order, and keep it everywhere.",
    "PresentationLockHeld": _KEPT,
    "RequestCompleted": "Complete, requeue or cancel the requests that the driver owns before the "
    "device goes.",
    "SpinlockRelease": _KEPT,
    "WdfInterruptLockRelease": _KEPT,
    "WdfSpinlockRelease": _KEPT,
    "WdfWaitlockRelease": _KEPT,
    "VERIFIER_IRQL_MISMATCH": "This line raises the IRQL, by itself or with a lock, and nothing "
    "restores it before the callback returns.",
}


def followup_of(crash: Crash, culprit: Culprit | None) -> str:
    """Returns the most likely mistake, in a sentence."""
    state = crash.state
    if culprit is not None and culprit.followup:
        return culprit.followup
    incidents = state["incidents"]
    if state["kind"] in {"bug check", "verifier"} and incidents:
        first = incidents[0]
        # A DDI that breaks a rule may fail, and the driver may not expect that.
        for each in incidents:
            text = _BY_RULE.get(each["rule"]) or _BY_RULE.get(each["cause"])
            if text and each["frames"][-1:] == first["frames"][-1:]:
                return text
        if state["bug_check"] is not None:
            code, parameters = state["bug_check"]["code"], state["bug_check"]["parameters"]
            usually = meaning_of(code, tuple(parameters)).usually
            return usually or f"{first['message']}."
        return f"{first['message']}."
    if state["kind"] == "machine died":
        return "QEMU has ended: see qemu.log. Nothing points at a line of the driver."
    if stuck_request(crash) is None:
        return "No request is in flight: find out what the application waits for."
    return "A request waits, and nothing points at a line of the driver: inspect its queue."
