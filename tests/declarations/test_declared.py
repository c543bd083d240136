# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The declarations as data: complete, and with the names that a driver imports."""

import importlib
import json
from operator import attrgetter

import pytest

from pydriver import declared
from pydriver.declarations.kinds import Kind
from pydriver.declarations.registry import ENUMERATIONS, HANDLES, OBJECTS, STRUCTURES
from pydriver.ke.ddi import REGISTRY

# Windows has no type for these: classes of this project, and exceptions in place of NTSTATUS.
WITHOUT_TYPE = {
    "pydriver.ke": {
        "BugCheck",
        "BugCheckState",
        "Clock",
        "GuestBlock",
        "GuestMemory",
        "Kernel",
        "ManualClock",
        "MonotonicClock",
        "Namespace",
        "NtStatusError",
        "Place",
        "Processor",
        "Registry",
        "Verifier",
        "VerifierConfig",
        "VerifierError",
        "Violation",
    },
    "pydriver.wdf": {
        "Ddi",
        "DeviceInterface",
        "DeviceState",
        "DmaPower",
        "DmaTransactionState",
        "Failure",
        "GenericObject",
        "MappedPorts",
        "MappedRegisters",
        "NtStatusError",
        "TransferInfo",
    },
}

NAMES = [*REGISTRY, *declared.type_names()]


def test_every_public_path_leads_to_what_is_called() -> None:
    for name, each in REGISTRY.items():
        package, _, path = declared.public_path(each).partition(".")
        found = attrgetter(path)(importlib.import_module(f"pydriver.{package}"))
        assert callable(found), name


def test_ddi_of_a_part_of_the_device_belongs_to_the_device() -> None:
    path = declared.public_path(REGISTRY["WdfDeviceAssignS0IdleSettings"])
    assert path == "wdf.Device.assign_s0_idle_settings"
    path = declared.public_path(REGISTRY["WdfRequestRetrieveInputBuffer"])
    assert path == "wdf.Request.retrieve_input_buffer"
    assert declared.public_path(REGISTRY["KeInitializeEvent"]) == "ke.KEvent"


def test_ddi_of_all_objects_belongs_to_their_base() -> None:
    assert declared.public_path(REGISTRY["WdfObjectDelete"]) == "wdf.Object.delete"


def test_no_path_names_a_module_inside_a_package() -> None:
    paths = [declared.public_path(each) for each in REGISTRY.values()]
    assert [each for each in paths if not each.startswith(("wdf.", "ke."))] == []
    assert [each for each in paths if each.split(".")[1][0].islower() and each.count(".") > 1] == []


def test_each_entry_is_plain_data_with_its_name_and_kind() -> None:
    assert len(NAMES) == len(set(NAMES))
    for name in NAMES:
        entry = declared.entry(name)
        assert json.loads(json.dumps(entry)) == entry
        assert entry["name"] == name
        assert entry["kind"]


def test_name_that_is_not_declared_is_an_error() -> None:
    with pytest.raises(KeyError, match="WDF_NOTHING"):
        declared.entry("WDF_NOTHING")


def test_each_structure_of_a_ddi_has_fields_and_each_handle_a_class() -> None:
    kinds = {each.value for each in Kind}
    for name in REGISTRY:
        for parameter in declared.entry(name)["parameters"]:
            assert parameter["kind"] in kinds
            if parameter["kind"] == "structure":
                assert declared.entry(parameter["of"])["fields"], name
            if parameter["kind"] == "handle" and parameter["of"] != "WDFIOTARGET":
                assert parameter["class"].startswith("wdf."), name


def test_every_function_of_the_table_that_is_declared_has_its_index() -> None:
    for name in REGISTRY:
        entry = declared.entry(name)
        assert (entry["index"] is None) == (entry["kind"] != "ddi" or name == "WdfGetDriver")


def test_older_size_of_a_structure_ends_at_a_field() -> None:
    entry = declared.entry("WDF_TIMER_CONFIG")
    assert (entry["size"], entry["older"]) == (40, {"1.7": 24, "1.11": 32})
    assert entry["by_size"]


@pytest.mark.parametrize("package", WITHOUT_TYPE)
def test_each_exported_class_is_declared_as_a_type_of_c(package: str) -> None:
    classes = {
        *HANDLES.values(),
        *OBJECTS.values(),
        *(each.python for each in ENUMERATIONS.values()),
        *(kind.python for each in STRUCTURES.values() for kind in each.classes),
    }
    module = importlib.import_module(package)
    exported = {name for name in module.__all__ if isinstance(getattr(module, name), type)}
    undeclared = {name for name in exported if getattr(module, name) not in classes}
    assert undeclared == WITHOUT_TYPE[package]
