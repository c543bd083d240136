# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The WDFMEMORY and the MDL of a request's buffer, which live in the request [fxrequest.cpp]."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydriver.ke.bugcheck import WDF_VIOLATION, WdfViolation
from pydriver.ke.status import STATUS_OBJECT_PATH_INVALID, NtStatusError
from pydriver.wdf.io.irp import RequestType
from pydriver.wdf.memory.mdl import Mdl
from pydriver.wdf.memory.memory import Memory
from pydriver.wdf.object.object import Object, ObjectAttributes

if TYPE_CHECKING:
    from pydriver.wdf.io.request_base import RequestBase

__all__ = ("RequestMemory", "end_memory", "request_memory")


class RequestMemory(Memory):
    """The memory of a request's input, or of its output.

    :ivar request: the request that the memory belongs to
    :ivar output: whether it is the application's output, not its input
    :ivar mdl: the MDL of the same buffer
    """

    __slots__ = ("mdl", "output", "request")

    freed_rule: ClassVar[str] = "MemAfterReqCompletedIoctl"

    def __init__(self, request: "RequestBase", buffer: memoryview, *, output: bool) -> None:
        # A write's buffer is read-only for the driver, and so for its memory object.
        view = buffer.toreadonly() if request.irp.kind == RequestType.WRITE else buffer[:]
        super().__init__(request._kernel, request, None, view, deletable=False)
        self.request = request
        self.output = output
        self.mdl = Mdl(view)

    def __str__(self) -> str:
        return f"memory of {self.request}"

    def allocate_context(self, attributes: ObjectAttributes) -> tuple[int, Any]:
        """Refuses the context: the object is a part of its request.

        :raises NtStatusError: always
        """
        raise NtStatusError(STATUS_OBJECT_PATH_INVALID, f"WdfObjectAllocateContext({self})")

    def end(self) -> None:
        """Ends with the request, before the application has its buffer back."""
        if self._references != 1:
            self._kernel.bug_check(
                WDF_VIOLATION,
                WdfViolation.VERIFIER_FATAL_ERROR,
                id(self.request),
                self._references,
                message=f"{self.request} is completed, but a reference keeps its memory"
                + "".join(f" (tag {each.tag!r})" for each in self.references),
                subject=self.request,
            )
        self.mdl.end()
        self._drop()


class ReadMemory(RequestMemory):
    """The memory of a read."""

    __slots__ = ()
    freed_rule: ClassVar[str] = "MemAfterReqCompletedRead"


class WriteMemory(RequestMemory):
    """The memory of a write."""

    __slots__ = ()
    freed_rule: ClassVar[str] = "MemAfterReqCompletedWrite"


_KINDS = {RequestType.READ: ReadMemory, RequestType.WRITE: WriteMemory}


def request_memory(request: "RequestBase", buffer: memoryview, *, output: bool) -> RequestMemory:
    """The memory object of a request's buffer, which is the same one each time.

    :param request: the request
    :param buffer: the request's input or output
    :param output: whether it is the output
    """
    for each in request.children:
        if isinstance(each, RequestMemory) and each.output is output:
            return each
    kind = _KINDS.get(request.irp.kind, RequestMemory)
    return kind(request, buffer, output=output)


def end_memory(disposed: list[Object]) -> None:
    """Ends the memory objects among the objects that a request's completion has disposed of.

    It is called before the request is complete, when the application gets its buffer back.

    :param disposed: the disposed objects; the memory objects are taken out
    """
    for each in [each for each in disposed if isinstance(each, RequestMemory)]:
        disposed.remove(each)
        each.end()
