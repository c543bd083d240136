# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The registry of DDIs."""

import importlib
import inspect
import re

import pytest

from pydriver.wdf import REGISTRY, Dpc, File, Interrupt, Request
from pydriver.wdf.object.ddi import DISPATCH_LEVEL, HIGH_LEVEL, PASSIVE_LEVEL, Ddi, ddi
from tests.harness.bench import Bench

OBJECTS = {
    "Collection": "Collection",
    "CommonBuffer": "CommonBuffer",
    "Device": "Device",
    "NameDdis": "Device",
    "PropertyDdis": "Device",
    "DeviceInit": "DeviceInit",
    "DmaEnabler": "DmaEnabler",
    "DmaTransaction": "DmaTransaction",
    "Dpc": "Dpc",
    "Driver": "Driver",
    "File": "FileObject",
    "GenericObject": "Object",
    "Interrupt": "Interrupt",
    "InterruptConnection": "Interrupt",
    "InterruptLocking": "Interrupt",
    "IoQueue": "IoQueue",
    "LookasideList": "LookasideList",
    "Memory": "Memory",
    "Object": "Object",
    "QueueRetrieval": "IoQueue",
    "QueueStates": "IoQueue",
    "Request": "Request",
    "RequestBase": "Request",
    "PowerPolicyDdis": "Device",
    "RegistryKey": "Registry",
    "StateDdis": "Device",
    "ResourceList": "CmResourceList",
    "SpinLock": "SpinLock",
    "Timer": "Timer",
    "WaitLock": "WaitLock",
    "WorkItem": "WorkItem",
}
# A macro or an inline function calls these under a longer name.
SUFFIXES = ("Worker", "Actual")
# DDIs of function drivers that belong to a class whose others are for all drivers.
ALSO = {"PropertyDdis": "Fdo", "DeviceInit": "FdoInit"}
WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def method_of(declared: Ddi) -> tuple[type, str]:
    module, _, path = declared.method.partition(":")
    owner, _, name = path.partition(".")
    return getattr(importlib.import_module(module), owner), name


FRAMEWORK = {name: declared for name, declared in REGISTRY.items() if name.startswith("Wdf")}


@pytest.mark.parametrize("declared", FRAMEWORK.values(), ids=list(FRAMEWORK))
def test_method_has_the_name_of_its_ddi(declared: Ddi) -> None:
    owner, name = method_of(declared)
    if not name:  # a function, not a method
        prefix, name = "Wdf", owner.__name__
        assert inspect.getdoc(owner), "a DDI is documented"
    else:
        prefix = f"Wdf{OBJECTS[owner.__name__]}"
        if not declared.name.startswith(prefix):
            prefix = f"Wdf{ALSO[owner.__name__]}"
        assert inspect.getdoc(getattr(owner, name)), "a DDI is documented"
    assert declared.name.startswith(prefix)
    rest = declared.name[len(prefix) :]
    for suffix in SUFFIXES:
        rest = rest.removesuffix(suffix)
    assert name == WORDS.sub("_", rest).lower()


@pytest.mark.parametrize("declared", REGISTRY.values(), ids=list(REGISTRY))
def test_ddi_has_a_signature_and_an_irql_range(declared: Ddi) -> None:
    assert re.match(r"[A-Z]\w* \(.*\)$|size_t \(.*\)$", declared.signature)
    assert PASSIVE_LEVEL <= declared.lowest <= declared.highest <= HIGH_LEVEL


def test_ddi_of_every_irql_costs_nothing() -> None:
    for method in (Dpc.enqueue, Interrupt.queue_dpc_for_isr, Dpc.get_parent_object):
        assert not hasattr(method, "__wrapped__")
        assert method.__code__.co_filename.endswith(".py")


def test_checked_ddi_keeps_its_parameters() -> None:
    assert inspect.signature(Request.complete_with_information) == inspect.signature(
        inspect.unwrap(Request.complete_with_information)
    )
    assert Request.complete.__doc__
    assert File.get_device.__qualname__ == "File.get_device"


def test_checked_ddi_passes_all_kinds_of_arguments_on(bench: Bench) -> None:
    class Probe:
        _kernel = bench.kernel
        _current = bench.kernel.current

        @ddi("WdfProbeTest", "VOID (WDFPROBE)", highest=DISPATCH_LEVEL, recorded=True)
        def test(self, first: int, second: str = "two", *, third: list[int]) -> object:
            """Returns its arguments."""
            return first, second, third

    try:
        probe = Probe()
        third = [3]
        assert probe.test(1, third=third) == (1, "two", third)
        assert probe.test(1, "2", third=third) == (1, "2", third)
        assert probe.test(second="2", first=1, third=third) == (1, "2", third)
        with pytest.raises(TypeError, match="third"):
            probe.test(1)  # type: ignore[call-arg]
        assert bench.kernel.recorder.last(1)[0][4] is probe
    finally:
        del REGISTRY["WdfProbeTest"]


def test_ddi_is_declared_once() -> None:
    with pytest.raises(TypeError, match="WdfDpcEnqueue is declared by"):

        @ddi("WdfDpcEnqueue", "BOOLEAN (WDFDPC Dpc)", highest=HIGH_LEVEL)
        def enqueue(self: object) -> None:
            """A second one."""
