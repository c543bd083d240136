# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Probes at the DDIs, put around all of them for the duration of a debugging session.

A DDI is a plain function or method, and drivers call it directly. So the functions are replaced,
for the whole process, before the driver is imported. Calls from the framework itself do not count.
"""

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

from pydriver.ke.ddi import REGISTRY
from pydriver.ke.probes import Point, Probe
from pydriver.place import called_by_driver

__all__ = ("watched_ddis",)

PACKAGES = ("pydriver.ke", "pydriver.wdf")
"""Packages from which drivers import functions."""


@contextlib.contextmanager
def watched_ddis(probe: Probe) -> Iterator[None]:
    """Calls a probe before each DDI that a driver calls, for the duration of the block."""
    with contextlib.ExitStack() as stack:
        for name, ddi in REGISTRY.items():
            module_name, _, path = ddi.method.partition(":")
            *owners, attribute = path.split(".")
            owner: Any = importlib.import_module(module_name)
            for each in owners:
                owner = getattr(owner, each)
            _replace(stack, owner, attribute, name, probe)
        yield


def _replace(
    stack: contextlib.ExitStack, owner: Any, attribute: str, name: str, probe: Probe
) -> None:
    raw = vars(owner).get(attribute)
    if isinstance(raw, classmethod):
        replacement: Any = classmethod(_watched(raw.__func__, name, probe))
    elif callable(raw) and not isinstance(raw, type):
        replacement = _watched(raw, name, probe)
    else:
        return  # an accessor that each object has of its own
    holders = [owner]
    if not isinstance(owner, type):
        packages = [importlib.import_module(each) for each in PACKAGES]
        holders += [each for each in packages if vars(each).get(attribute) is raw]
    for holder in holders:
        stack.callback(setattr, holder, attribute, raw)
        setattr(holder, attribute, replacement)


def _watched(function: Callable[..., Any], name: str, probe: Probe) -> Callable[..., Any]:
    @functools.wraps(function)
    def watched(*arguments: Any, **more: Any) -> Any:
        if called_by_driver():
            probe(Point.DDI, name, arguments[0] if arguments else None, 0)
        return function(*arguments, **more)

    return watched
