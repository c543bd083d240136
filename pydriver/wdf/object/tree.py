# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The framework's state of one system, which all objects of its drivers share.

A driver finds it for its kernel, and each object takes it from its parent.
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
    """A deletion that the disposer does [FxDisposeList].

    :ivar done: set when it is over
    :ivar thread: identifier of the disposer's thread, while it does it
    """

    done: KEvent
    thread: int = 0


class ObjectTree:
    """The objects of one system.

    :ivar lock: guards the phases, the lists of children and the counts of references
    :ivar context_owners: objects, by the identity of their contexts
    :ivar referenced: objects that a driver has referenced, by identity; while verifying
    :ivar deferred: deletions that the disposer does, by the identity of the object
    :ivar request_numbers: the numbers of the requests that are made
    """

    __slots__ = ("context_owners", "deferred", "lock", "referenced", "request_numbers")

    def __init__(self) -> None:
        self.lock = Lock()
        self.context_owners: WeakValueDictionary[int, Object] = WeakValueDictionary()
        self.referenced: dict[int, Object] = {}
        self.deferred: dict[int, DeferredDeletion] = {}
        self.request_numbers = count(1)


def tree_of(kernel: "Kernel") -> ObjectTree:
    """The object tree of a system: made when its first driver is loaded."""
    with _finding:
        tree = kernel.framework
        if not isinstance(tree, ObjectTree):
            tree = kernel.framework = ObjectTree()
        return tree
