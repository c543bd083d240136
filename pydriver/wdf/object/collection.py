# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFCOLLECTION: a list of objects, each of which the list references."""

from threading import Lock
from typing import ClassVar, Self

from pydriver.declarations.binding import Binding
from pydriver.declarations.registry import handle
from pydriver.wdf.object.ddi import creation_ddi, ddi
from pydriver.wdf.object.object import Object, ObjectAttributes, check_handle

__all__ = ("Collection",)


@handle("WDFCOLLECTION")
class Collection(Object):
    """A collection. It references its objects, so that their handles stay valid.

    `_lock` guards `_items`. As in the framework, a driver that uses a collection on several
    threads must itself make sure that an object that it has looked up is still in the collection.
    """

    __slots__ = ("_items", "_lock")

    fx_type: ClassVar[int] = 0x100E

    def __init__(self, parent: Object, attributes: ObjectAttributes) -> None:
        super().__init__(parent._kernel, parent, attributes)
        self._items: list[Object] = []
        self._lock = Lock()

    def __str__(self) -> str:
        return f"collection of {len(self._items)} objects"

    @classmethod
    @creation_ddi(
        "WdfCollectionCreate",
        "NTSTATUS (_In_opt_ PWDF_OBJECT_ATTRIBUTES CollectionAttributes, "
        "_Out_ WDFCOLLECTION *Collection)",
    )
    def create(cls, attributes: ObjectAttributes) -> Self:
        """Creates a collection.

        :param attributes: the attributes, which must name a parent: there is no current driver
            whose object could be the default
        :raises NtStatusError: the attributes are not valid
        """
        attributes, parent = cls.check_attributes_with_parent(attributes, "WdfCollectionCreate")
        return cls(parent, attributes)

    @ddi(
        "WdfCollectionAdd",
        "NTSTATUS (_In_ WDFCOLLECTION Collection, _In_ WDFOBJECT Object)",
        binding=Binding(parameters={"Object": "item"}),
    )
    def add(self, item: Object) -> None:
        """Appends an object and references it; the same object may be appended several times."""
        check_handle(self._kernel, item, Object, "WdfCollectionAdd")
        item._hold()
        with self._lock:
            self._items.append(item)

    @ddi("WdfCollectionRemove", "VOID (_In_ WDFCOLLECTION Collection, _In_ WDFOBJECT Item)")
    def remove(self, item: Object) -> None:
        """Removes the first occurrence of an object; if there is none, that is a violation."""
        check_handle(self._kernel, item, Object, "WdfCollectionRemove")
        with self._lock:
            found = item in self._items
            if found:
                self._items.remove(item)
        self._removed(item if found else None, "WdfCollectionRemove", str(item))

    @ddi("WdfCollectionRemoveItem", "VOID (_In_ WDFCOLLECTION Collection, _In_ ULONG Index)")
    def remove_item(self, index: int) -> None:
        """Removes an object by its index; an index out of range is a violation."""
        with self._lock:
            item = self._items.pop(index) if 0 <= index < len(self._items) else None
        self._removed(item, "WdfCollectionRemoveItem", str(index))

    def _removed(self, item: Object | None, what: str, missing: str) -> None:
        if item is not None:
            item._drop()
            return
        self._kernel.verifier.violation(
            "CollectionItem", f"{what} on {self}, which has no {missing}", self
        )

    @ddi("WdfCollectionGetCount", "ULONG (_In_ WDFCOLLECTION Collection)")
    def get_count(self) -> int:
        """The number of objects."""
        return len(self._items)

    @ddi("WdfCollectionGetItem", "WDFOBJECT (_In_ WDFCOLLECTION Collection, _In_ ULONG Index)")
    def get_item(self, index: int) -> Object | None:
        """The object at an index; ``None`` if the index is out of range."""
        with self._lock:
            return self._items[index] if 0 <= index < len(self._items) else None

    @ddi("WdfCollectionGetFirstItem", "WDFOBJECT (_In_ WDFCOLLECTION Collection)")
    def get_first_item(self) -> Object | None:
        """The first object; ``None`` if the collection is empty."""
        return self.get_item(0)

    @ddi("WdfCollectionGetLastItem", "WDFOBJECT (_In_ WDFCOLLECTION Collection)")
    def get_last_item(self) -> Object | None:
        """The last object; ``None`` if the collection is empty."""
        with self._lock:
            return self._items[-1] if self._items else None

    def _on_destroy(self) -> None:
        while self._items:
            self._items.pop(0)._drop()
