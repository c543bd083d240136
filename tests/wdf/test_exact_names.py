# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver.ddi`: the framework under WDF's own names."""

import pytest

import pydriver.ddi
from pydriver.ddi import (
    WdfDpcCreate,
    WdfDpcEnqueue,
    WdfDpcGetParentObject,
    WdfObjectDelete,
)
from pydriver.ke import BugCheck
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.wdf import REGISTRY, Dpc, DpcConfig, ObjectAttributes
from tests.harness.bench import Bench, Signal


@pytest.mark.parametrize("name", REGISTRY)
def test_every_ddi_has_a_function_of_its_name(name: str) -> None:
    function = getattr(pydriver.ddi, name)
    assert callable(function)
    assert getattr(pydriver.ddi, name) is function, "made once"
    assert name in dir(pydriver.ddi)


def test_functions_do_what_the_methods_do(bench: Bench) -> None:
    called = Signal()
    device = bench.load().device
    dpc = WdfDpcCreate(DpcConfig(lambda dpc: called.set()), ObjectAttributes(parent_object=device))
    assert WdfDpcGetParentObject(dpc) is device
    assert WdfDpcEnqueue(dpc) is True
    called.wait("the DPC")
    WdfObjectDelete(dpc)


@pytest.mark.mistake("INVALID_HANDLE", 0x10D)
def test_handle_of_another_type_is_an_invalid_handle(doomed: Bench) -> None:
    device = doomed.load().device
    with pytest.raises(BugCheck) as stopped:
        WdfDpcEnqueue(device)
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters == (5, id(device), Dpc.fx_type, 0)


def test_freed_handle_is_an_invalid_handle(doomed: Bench) -> None:
    attributes = ObjectAttributes(parent_object=doomed.load().device)
    dpc = WdfDpcCreate(DpcConfig(), attributes)
    WdfObjectDelete(dpc)
    with pytest.raises(BugCheck) as stopped:
        WdfDpcEnqueue(dpc)
    assert stopped.value.parameters[:2] == (5, id(dpc))


def test_what_is_no_handle_at_all_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="WdfDpcEnqueue needs a Dpc, not 7"):
        WdfDpcEnqueue(7)


def test_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="WdfNothing"):
        pydriver.ddi.WdfNothing  # noqa: B018
