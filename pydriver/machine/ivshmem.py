# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The server's side of ``ivshmem-doorbell``: the eventfds with which the two sides wake each other.

QEMU is the only client and connects before it starts. Everything that the protocol will ever send
therefore fits into the socket pair in advance, and no thread has to serve it. [QEMU,
docs/specs/ivshmem-spec.txt, "Protocol: server sends"]
"""

import array
import os
import socket
import struct

from pydriver.machine.memory import SharedMemory

__all__ = ("DOORBELL_VECTORS", "DoorbellServer")

CONTROLLER = 0
GUEST = 1
PROTOCOL_VERSION = 0
DOORBELL_VECTORS = 2
"""The vectors towards the controller for each vCPU: for the service thread, and for the owner."""


class DoorbellServer:
    """The eventfds of some vCPUs.

    :param processors: the number of vCPUs
    :ivar vectors: the number of vectors towards the controller
    :ivar socket: the end of the socket pair that QEMU inherits
    :ivar upcall_fds: the eventfds by which a vCPU says that it has published an upcall
    :ivar done_fds: the eventfds by which a vCPU says that it has executed a command
    :ivar wake_fds: the eventfds that wake the vCPUs, by MSI-X vector i of the device for vCPU i
    """

    def __init__(self, processors: int) -> None:
        self.vectors = processors * DOORBELL_VECTORS
        self._inbound = [_eventfd() for _ in range(self.vectors)]
        self._outbound = [_eventfd() for _ in range(self.vectors)]
        self.upcall_fds = self._inbound[0::2]
        self.done_fds = self._inbound[1::2]
        self.wake_fds = self._outbound[:processors]
        self._memory = SharedMemory("doorbell", 4096)
        self._server, self.socket = socket.socketpair()
        self._send(PROTOCOL_VERSION)
        self._send(GUEST)
        self._send(-1, self._memory.fd)
        for fd in self._inbound:
            self._send(CONTROLLER, fd)
        for fd in self._outbound:
            self._send(GUEST, fd)

    @staticmethod
    def ring_values(processor: int) -> tuple[int, int]:
        """The values that a vCPU writes to the doorbell register: for an upcall, and for a command
        that is done.

        :param processor: the number of the vCPU
        """
        first = CONTROLLER << 16 | processor * DOORBELL_VECTORS
        return first, first + 1

    def close(self) -> None:
        """Closes every descriptor."""
        self._server.close()
        self.socket.close()
        self._memory.close()
        while self._inbound:
            os.close(self._inbound.pop())
        while self._outbound:
            os.close(self._outbound.pop())

    def _send(self, number: int, fd: int | None = None) -> None:
        rights = []
        if fd is not None:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self._server.sendmsg([struct.pack("<q", number)], rights)


def _eventfd() -> int:
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
