# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The protocol of the object that carries this package's accesses to the machine.

Every access that this package makes goes through one `Access` object: a processor's link, or an
object of the framework that finds the processor on which the caller runs. The caller owns that
processor while it calls; this package takes no ownership.
"""

from typing import Protocol

from pydriver.regs import Accessor

__all__ = ("Access",)


class Access(Accessor, Protocol):
    """Memory and port accesses of a processor. Writes to memory may be posted."""

    def port_in(self, port: int, width: int, /) -> int:
        """Read an I/O port.

        :param port: the port, 0 to 0xffff.
        :param width: the width in bytes: 1, 2 or 4.
        """

    def port_out(self, port: int, width: int, value: int, /) -> None:
        """Write an I/O port.

        :param port: the port, 0 to 0xffff.
        :param width: the width in bytes: 1, 2 or 4.
        :param value: the value to write.
        """

    def sync(self) -> None:
        """Wait until every posted write of this processor has been executed.

        When it returns, the next few writes are posted without waiting, so that no interrupt is
        served on the calling thread between them.
        """
