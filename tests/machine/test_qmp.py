# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""QMP when QEMU ends at a bad moment."""

import asyncio
import gc
import os
import signal
import threading
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


def test_command_that_comes_after_the_last_step_of_the_loop_is_an_error_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    post, close = asyncio.run_coroutine_threadsafe, asyncio.SelectorEventLoop.close
    posted = threading.Event()
    refused: list[MachineError] = []

    def post_and_say_so(*arguments: object) -> object:
        future = post(*arguments)  # type: ignore[arg-type]
        posted.set()
        return future

    def command() -> None:
        try:
            machine.qmp("query-status")
        except MachineError as error:
            refused.append(error)

    thread = threading.Thread(target=command)

    def close_late(loop: asyncio.SelectorEventLoop) -> None:
        if thread.ident is None:
            thread.start()
            assert posted.wait(5)
        close(loop)

    with Machine(MachineConfig(bar2=0)) as machine:
        machine.qmp("query-status")
        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", post_and_say_so)
        monkeypatch.setattr(asyncio.SelectorEventLoop, "close", close_late)
        os.kill(machine.pid, signal.SIGKILL)
        assert posted.wait(5)
        thread.join(5)
        assert not thread.is_alive()
        assert len(refused) == 1
