# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""QMP when QEMU ends at a bad moment."""

import gc
import warnings

import pytest
from qemu.qmp import QMPClient

from pydriver.errors import MachineError
from pydriver.machine import Machine, MachineConfig


def test_connection_that_fails_in_mid_disconnection_leaves_no_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behaves like qemu.qmp when QEMU ends between the negotiation and the running state."""
    connect = QMPClient.connect

    async def fail_late(client: QMPClient, address: object) -> None:
        await connect(client, address)
        client._schedule_disconnect()
        raise AssertionError

    monkeypatch.setattr(QMPClient, "connect", fail_late)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        machine = Machine(MachineConfig(bar2=0))
        with machine, pytest.raises(MachineError):
            machine.qmp("query-status")
        del machine
        gc.collect()
    assert [str(each.message) for each in caught] == []
