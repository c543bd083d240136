# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""An application that tries a network: it leases an address and sends echoes to the router."""

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import randbytes
from time import monotonic
from typing import Any

import dpkt
from dpkt.arp import ARP, ARP_OP_REPLY, ARP_OP_REQUEST
from dpkt.dhcp import (
    DHCP,
    DHCP_OPT_MSGTYPE,
    DHCP_OPT_REQ_IP,
    DHCP_OPT_ROUTER,
    DHCP_OPT_SERVER_ID,
    DHCPACK,
    DHCPDISCOVER,
    DHCPOFFER,
    DHCPREQUEST,
)
from dpkt.ethernet import ETH_TYPE_ARP, ETH_TYPE_IP, Ethernet
from dpkt.icmp import ICMP, ICMP_ECHO, ICMP_ECHOREPLY
from dpkt.ip import IP, IP_PROTO_ICMP, IP_PROTO_UDP
from dpkt.udp import UDP

from pydriver.drivers.i8255x.requests import IOCTL_ADDRESS
from pydriver.drivers.i8255x.spec import MAX_FRAME
from pydriver.errors import PydriverError
from pydriver.wdf import Device, File

__all__ = ("Lease", "NoAnswer", "Station", "exercise")

BROADCAST = b"\xff" * 6
NOWHERE, EVERYWHERE = b"\0" * 4, b"\xff" * 4
CLIENT_PORT, SERVER_PORT = 68, 67
READS = 32
TIMEOUT = 10.0
ECHOES, ECHO_BYTES, ECHO_WINDOW = 100, 1000, 8


class NoAnswer(PydriverError):
    """No host on the network has answered in time."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease of the DHCP server; addresses have four bytes.

    :ivar address: address of the station
    :ivar router: address of the router
    """

    address: bytes
    router: bytes


class Station:
    """A host on the network to which a device is connected.

    :param file: open file of the device
    :param timeout: seconds to wait for an answer
    :ivar address: the MAC address
    """

    def __init__(self, file: File, timeout: float = TIMEOUT) -> None:
        self._file = file
        self._timeout = timeout
        self.address = bytes(file.device_control(IOCTL_ADDRESS, b"", 6, timeout))
        self._reads = deque(file.read_async(MAX_FRAME) for _ in range(READS))

    def lease(self) -> Lease:
        """Leases an address [RFC 2131].

        :raises NoAnswer: there is no DHCP server
        """
        transaction = int.from_bytes(randbytes(4), "big")
        offer = self._ask_server(transaction, DHCPOFFER, (DHCP_OPT_MSGTYPE, bytes([DHCPDISCOVER])))
        address = offer.yiaddr.to_bytes(4, "big")
        server = dict(offer.opts)[DHCP_OPT_SERVER_ID]
        answer = self._ask_server(
            transaction,
            DHCPACK,
            (DHCP_OPT_MSGTYPE, bytes([DHCPREQUEST])),
            (DHCP_OPT_REQ_IP, address),
            (DHCP_OPT_SERVER_ID, server),
        )
        return Lease(answer.yiaddr.to_bytes(4, "big"), dict(answer.opts)[DHCP_OPT_ROUTER][:4])

    def _ask_server(self, transaction: int, answer: int, *options: tuple[int, bytes]) -> Any:
        question = DHCP(xid=transaction, chaddr=self.address, opts=options)
        datagram = UDP(sport=CLIENT_PORT, dport=SERVER_PORT, data=bytes(question))
        datagram.ulen = len(datagram)
        self._send_packet(BROADCAST, NOWHERE, EVERYWHERE, IP_PROTO_UDP, datagram)
        for packet in self._packets("DHCP server"):
            datagram = packet.data
            if packet.p != IP_PROTO_UDP or datagram.dport != CLIENT_PORT:
                continue
            message = DHCP(datagram.data)
            if message.xid != transaction:
                continue
            if dict(message.opts)[DHCP_OPT_MSGTYPE] == bytes([answer]):
                return message
        raise AssertionError  # _packets has no end

    def resolve(self, lease: Lease, address: bytes) -> bytes:
        """The MAC address of a neighbour [RFC 826].

        :raises NoAnswer: no neighbour has that address
        """
        question = ARP(op=ARP_OP_REQUEST, sha=self.address, spa=lease.address, tpa=address)
        self._send(BROADCAST, ETH_TYPE_ARP, question)
        for frame in self._frames("neighbour"):
            if isinstance(frame.data, ARP):
                answer = frame.data
                if answer.op == ARP_OP_REPLY and answer.spa == address:
                    return bytes(answer.sha)
        raise AssertionError  # _frames has no end

    def echo(self, lease: Lease, count: int, size: int, window: int) -> int:
        """Sends echoes to the router and checks the replies [RFC 792].

        :param lease: lease of the station
        :param count: number of echoes
        :param size: bytes of data in each
        :param window: most echoes without a reply at a time
        :return: number of replies with unchanged data
        """
        router = self.resolve(lease, lease.router)
        identifier = int.from_bytes(randbytes(2), "big")
        data = randbytes(size)
        out: set[int] = set()
        packets = self._packets("router")
        answered = sent = 0
        while answered < count:
            while sent < count and len(out) < window:
                question = ICMP(
                    type=ICMP_ECHO, data=ICMP.Echo(id=identifier, seq=sent & 0xFFFF, data=data)
                )
                self._send_packet(router, lease.address, lease.router, IP_PROTO_ICMP, question)
                out.add(sent & 0xFFFF)
                sent += 1
            try:
                packet = next(packets)
            except NoAnswer:
                return answered
            message = packet.data
            if packet.p != IP_PROTO_ICMP or message.type != ICMP_ECHOREPLY:
                continue
            echo = message.data
            if echo.id == identifier and echo.seq in out and echo.data == data:
                out.remove(echo.seq)
                answered += 1
        return answered

    def _send_packet(
        self, to: bytes, source: bytes, destination: bytes, protocol: int, data: Any
    ) -> None:
        packet = IP(src=source, dst=destination, p=protocol, data=data)
        packet.len = len(packet)
        self._send(to, ETH_TYPE_IP, packet)

    def _send(self, to: bytes, kind: int, data: Any) -> None:
        frame = Ethernet(dst=to, src=self.address, type=kind, data=data)
        self._file.write(bytes(frame), timeout=self._timeout)

    def _packets(self, who: str) -> Iterator[Any]:
        """The IP packets that arrive."""
        for frame in self._frames(who):
            if isinstance(frame.data, IP):
                yield frame.data

    def _frames(self, who: str) -> Iterator[Any]:
        """The frames that arrive.

        :param who: description of the host that is expected to answer
        :raises NoAnswer: nothing arrived in time
        """
        end = monotonic() + self._timeout
        while True:
            try:
                self._reads[0].result(max(0.0, end - monotonic()))
            except TimeoutError as error:
                raise NoAnswer(f"no {who} has answered in {self._timeout:.0f} s") from error
            read = self._reads.popleft()
            self._reads.append(self._file.read_async(MAX_FRAME))
            try:
                frame = Ethernet(bytes(read.output))
            except (dpkt.UnpackError, struct.error):
                continue  # a frame of another host
            end = monotonic() + self._timeout
            yield frame


def exercise(device: Device) -> str:
    """Leases an address and sends echoes to the router.

    :return: a description of what is wrong, or an empty string
    """
    with device.open() as file:
        station = Station(file)
        try:
            lease = station.lease()
            answered = station.echo(lease, ECHOES, ECHO_BYTES, ECHO_WINDOW)
        except NoAnswer as error:
            return str(error)
    return "" if answered == ECHOES else f"{ECHOES - answered} of {ECHOES} echoes were lost"
