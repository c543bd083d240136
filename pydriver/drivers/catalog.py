# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
r"""The drivers that are available and the functions that each supports, as INF files list them.

A driver is a module with `driver_entry`, its DriverEntry, and `HARDWARE_IDS`, the hardware or
compatible ids of the functions that it supports, for example ``PCI\VEN_1234&DEV_11E8`` or
``PCI\CC_010802``. A package adds its drivers by entry points of the group ``pydriver.drivers``,
whose values are modules.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from pydriver.errors import ConfigurationError
from pydriver.pci.identifiers import compatible_ids, hardware_ids

if TYPE_CHECKING:
    from pydriver.ke import DriverObject
    from pydriver.pci import PciFunction
    from pydriver.wdf import Driver

__all__ = (
    "GROUP",
    "DriverPackage",
    "best_driver",
    "forget_driver",
    "import_driver",
    "installed_drivers",
)

GROUP = "pydriver.drivers"


@dataclass(frozen=True)
class DriverPackage:
    """A driver that can be loaded.

    :ivar name: short name
    :ivar module: the module's full name
    :ivar hardware_ids: ids of the functions that it supports
    :ivar entry: its DriverEntry
    :ivar folder: the folder of its file, if it was given as a file
    """

    name: str
    module: str
    hardware_ids: tuple[str, ...]
    entry: "Callable[[DriverObject], Driver]"
    folder: Path | None = None

    def rank(self, function: "PciFunction") -> int | None:
        """The quality of its match with a function: 0 is best; ``None``: no match."""
        wanted = (*hardware_ids(function), *compatible_ids(function))
        return min(
            (wanted.index(each) for each in self.hardware_ids if each in wanted), default=None
        )


def import_driver(module: str) -> DriverPackage:
    """Finds the driver in a module.

    :param module: name of a module or of an installed driver, or a file whose name ends in ``.py``
    :raises ConfigurationError: it cannot be imported, or is not a driver
    """
    folder = None
    if module.endswith(".py"):
        path = Path(module)
        folder, module = _import_from(path), path.stem
    name = module
    for each in entry_points(group=GROUP, name=module):
        module = each.module
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(f"driver {name}: {error}") from error
    entry = getattr(found, "driver_entry", None)
    if entry is None:
        raise ConfigurationError(f"driver {name}: the module has no driver_entry")
    ids = tuple(getattr(found, "HARDWARE_IDS", ()))
    return DriverPackage(name.rpartition(".")[2], module, ids, entry, folder)


def forget_driver(package: DriverPackage) -> None:
    """Makes the next :func:`import_driver` execute a driver again.

    :param package: the driver; its module, the modules below it and, for a file, those beside it
        are executed again
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        beside = package.folder is not None and file and Path(file).parent == package.folder
        if name == package.module or name.startswith(f"{package.module}.") or beside:
            del sys.modules[name]


def _import_from(path: Path) -> Path:
    """Makes a file, and the files beside it, modules that can be imported.

    :return: their folder
    """
    if not path.is_file():
        raise ConfigurationError(f"driver {path}: there is no such file")
    folder = path.resolve().parent
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return folder


def installed_drivers() -> list[DriverPackage]:
    """The drivers that packages have registered, by name.

    :raises ConfigurationError: one cannot be imported, or is not a driver
    """
    return [
        import_driver(name) for name in sorted({each.name for each in entry_points(group=GROUP)})
    ]


def best_driver(drivers: Sequence[DriverPackage], function: "PciFunction") -> DriverPackage | None:
    """The driver that matches a function best, the first of equals; ``None``: there is none."""
    fitting = [(rank, each) for each in drivers if (rank := each.rank(function)) is not None]
    return min(fitting, key=lambda pair: pair[0])[1] if fitting else None
