# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Collections."""

import pytest

from pydriver.ke import BugCheck, NtStatusError
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.status import STATUS_WDF_PARENT_NOT_SPECIFIED
from pydriver.wdf import Collection, GenericObject, ObjectAttributes
from pydriver.wdf.object.object import Object, Phase
from tests.harness.bench import Bench


def made(bench: Bench, count: int) -> tuple[Collection, list[GenericObject]]:
    attributes = ObjectAttributes(parent_object=bench.load().device)
    return Collection.create(attributes), [GenericObject.create(attributes) for _ in range(count)]


@pytest.mark.covers(
    "WdfCollectionCreate",
    "WdfCollectionAdd",
    "WdfCollectionGetCount",
    "WdfCollectionGetItem",
    "WdfCollectionGetFirstItem",
    "WdfCollectionGetLastItem",
)
def test_collection_is_a_list_in_the_order_of_addition(bench: Bench) -> None:
    collection, objects = made(bench, 3)
    assert collection.get_first_item() is collection.get_last_item() is None
    for each in objects:
        collection.add(each)
    assert collection.get_count() == 3
    assert [collection.get_item(index) for index in range(4)] == [*objects, None]
    assert collection.get_first_item() is objects[0]
    assert collection.get_last_item() is objects[2]
    with pytest.raises(NtStatusError) as refused:
        Collection.create(ObjectAttributes())
    assert refused.value.status == STATUS_WDF_PARENT_NOT_SPECIFIED


@pytest.mark.mistake("CollectionItem")
@pytest.mark.covers("WdfCollectionRemove", "WdfCollectionRemoveItem")
def test_objects_are_removed_by_handle_and_by_index(bench: Bench) -> None:
    collection, (one, two) = made(bench, 2)
    for each in (one, two, one):
        collection.add(each)
    collection.remove(one)
    assert [collection.get_item(0), collection.get_item(1)] == [two, one]
    collection.remove_item(0)
    assert collection.get_first_item() is collection.get_last_item() is one
    collection.remove(two)
    collection.remove_item(1)
    collection.remove_item(-1)
    assert [each.rule for each in bench.violations()] == ["CollectionItem"] * 3
    assert collection.get_count() == 1


@pytest.mark.covers("WdfCollectionAdd", "WdfCollectionRemove", "WdfObjectDelete")
def test_collection_keeps_its_objects_until_it_goes(bench: Bench) -> None:
    collection, (one, two) = made(bench, 2)
    collection.add(one)
    collection.add(two)
    one.delete()
    two.delete()
    assert one.phase is two.phase is Phase.DISPOSED
    collection.remove(one)
    assert one.phase is Phase.DESTROYED
    collection.delete()
    assert two.phase is Phase.DESTROYED
    assert bench.unload_and_look() == []


@pytest.mark.covers("WdfCollectionAdd")
def test_collection_takes_only_objects(doomed: Bench) -> None:
    collection, _ = made(doomed, 0)
    with pytest.raises(BugCheck) as stopped:
        collection.add("no object")  # type: ignore[arg-type]
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters[0] == 5
    assert stopped.value.parameters[2] == Object.fx_type
