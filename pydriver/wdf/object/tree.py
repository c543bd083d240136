# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The framework's state in one system, shared by all objects of its drivers.

A driver gets it from its kernel, and each object from its parent.
"""

from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from pydriver.ke.event import KEvent

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.wdf.object.object import Object

__all__ = ("DeferredDeletion", "ObjectTree", "tree_of")

_finding = Lock()


@dataclass(slots=True)
class DeferredDeletion:
    """A deletion that the disposer carries out [FxDisposeList].

    :ivar done: an event that is set when the deletion is over
    :ivar thread: the identifier of the disposer's thread, during the deletion
    """

    done: KEvent
    thread: int = 0


class ObjectTree:
    """The objects of one system.

    :ivar lock: the lock of the phases, the lists of children and the reference counts
    :ivar context_owners: the objects, by the identity of their contexts
    :ivar referenced: the objects that a driver has referenced, by identity; while verifying
    :ivar deferred: the deletions that the disposer carries out, by the identity of the object
    :ivar request_numbers: the numbers for new requests
    """

    __slots__ = ("context_owners", "deferred", "lock", "referenced", "request_numbers")

    def __init__(self) -> None:
        self.lock = Lock()
        self.context_owners: WeakValueDictionary[int, Object] = WeakValueDictionary()
        self.referenced: dict[int, Object] = {}
        self.deferred: dict[int, DeferredDeletion] = {}
        self.request_numbers = count(1)


def tree_of(kernel: "Kernel") -> ObjectTree:
    """The object tree of a system, which is made when the first driver is loaded."""
    with _finding:
        tree = kernel.framework
        if not isinstance(tree, ObjectTree):
            tree = kernel.framework = ObjectTree()
        return tree
