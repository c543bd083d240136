# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFOBJECT: an object of the driver's own, which holds contexts, callbacks and children."""

from typing import ClassVar, Self

from pydriver.wdf.object.ddi import creation_ddi
from pydriver.wdf.object.object import Object, ObjectAttributes

__all__ = ("GenericObject",)


class GenericObject(Object):
    """An object of the driver's own, which holds contexts, callbacks and children."""

    __slots__ = ()

    fx_type: ClassVar[int] = 0x100C
    allows_level: ClassVar[bool] = True

    def __str__(self) -> str:
        kinds = ", ".join(each.__name__ for each in self._contexts or ())
        return f"object with {kinds or 'no context'}"

    @classmethod
    @creation_ddi(
        "WdfObjectCreate",
        "NTSTATUS (_In_opt_ PWDF_OBJECT_ATTRIBUTES Attributes, _Out_ WDFOBJECT *Object)",
    )
    def create(cls, attributes: ObjectAttributes) -> Self:
        """Creates an object.

        :param attributes: the attributes, which must name a parent: there is no current driver
            whose object could be the default
        :raises NtStatusError: the attributes are not valid
        """
        attributes, parent = cls.check_attributes_with_parent(attributes, "WdfObjectCreate")
        return cls(parent._kernel, parent, attributes)
