# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""QMP for synchronous callers: a thread that owns the QEMU process and qemu.qmp's event loop.

The thread itself starts QEMU, because with ``PR_SET_PDEATHSIG`` the kernel kills a child when the
*thread* that created it ends. QEMU therefore lives exactly as long as this thread, and never
survives the controller, whatever ends that.
"""

import asyncio
import contextlib
import inspect
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from pydriver.errors import MachineError

if TYPE_CHECKING:
    import subprocess

__all__ = ("QmpThread",)

QMP_TIMEOUT = 10.0
"""The seconds in which a command must be answered; unless QEMU hangs, it takes less than 1 ms."""

Listener = Callable[[str, dict[str, Any]], None]
"""Called on the QMP thread with the name and the data of an event."""


class QmpThread:
    """Starts QEMU and speaks QMP on an already connected socket.

    :param spawn: a function that starts the process
    :param peer: the controller's end of the socket pair; this object owns it from now on
    :param timeout: the seconds in which a command must be answered
    :param ended: a function, called on the thread after the last event, when QEMU has closed its
        end
    """

    def __init__(
        self,
        spawn: Callable[[], "subprocess.Popen[bytes]"],
        peer: socket.socket,
        timeout: float = QMP_TIMEOUT,
        ended: Callable[[], object] = int,
    ) -> None:
        self._spawn = spawn
        self._timeout = timeout
        self._ended = ended
        self._peer = peer
        self._process: Future[subprocess.Popen[bytes]] = Future()
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._end = threading.Event()
        # A command that reaches the loop after its last step is never executed. So one that is
        # posted is noted before it looks at `_over`, and `_over` is set before the notes are read.
        self._posted: set[Future[Any]] = set()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="qmp", daemon=True)
        self._listeners: list[Listener] = []

    def start(self) -> "subprocess.Popen[bytes]":
        """Starts the thread and the process; returns when the process has been created."""
        self._thread.start()
        return self._process.result()

    def listen(self, listener: Listener) -> None:
        """Calls a function on the QMP thread for each event from now on.

        :param listener: the function, called with the name of the event and its data
        """
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Undoes :meth:`listen`; an event that is on its way may still be reported.

        :param listener: the function that :meth:`listen` got
        """
        self._listeners.remove(listener)

    def execute(self, command: str, arguments: dict[str, Any]) -> Any:
        """Executes one command and returns its ``return`` value.

        :param command: the name of the command
        :param arguments: the arguments of the command
        :raises MachineError: QEMU refuses the command, does not answer, or has ended
        """
        coroutine = self._execute(command, arguments)
        try:
            loop = self._loop.result(self._timeout)
            posted = asyncio.run_coroutine_threadsafe(coroutine, loop)
            self._posted.add(posted)
            try:
                if self._over:
                    posted.cancel()
                return posted.result(self._timeout)
            finally:
                self._posted.discard(posted)
        except MachineError:
            coroutine.close()
            raise
        except Exception as error:
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()  # the loop has ended: QEMU closed its end
            raise MachineError(f"QMP command {command}: {error or type(error).__name__}") from error

    def close(self) -> None:
        """Ends the thread, and with it the process if it still runs."""
        self._end.set()
        if self._thread.is_alive():
            with contextlib.suppress(Exception):  # no loop: QEMU was not started, or ended at once
                # RuntimeError: the loop ended by itself, when QEMU closed its end.
                self._loop.result(self._timeout).call_soon_threadsafe(self._closed.set)
            self._thread.join()
        self._peer.close()

    def _run(self) -> None:
        try:
            self._process.set_result(self._spawn())
        except BaseException as error:  # noqa: BLE001 - it is raised in start()
            self._process.set_exception(error)
            return
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - it is raised in execute()
            if not self._loop.done():
                self._loop.set_exception(MachineError(f"QMP: {error}"))
        self._over = True
        for posted in list(self._posted):
            posted.cancel()
        self._ended()
        # QEMU dies with this thread, so it must outlive the loop.
        self._end.wait()

    async def _serve(self) -> None:
        from qemu.qmp import QMPClient
        from qemu.qmp.protocol import Runstate

        self._client = QMPClient("pydriver")
        self._closed = asyncio.Event()
        self._peer.setblocking(False)
        try:
            await self._client.connect(self._peer)
        except Exception:
            # If QEMU ends just when the session is established, connect() of qemu.qmp 0.0.6 fails
            # with an assertion, in the middle of a disconnection that nobody waits for.
            with contextlib.suppress(Exception):
                await self._client.disconnect()
            raise
        self._loop.set_result(asyncio.get_running_loop())
        events = asyncio.create_task(self._forward_events())
        changed = asyncio.create_task(self._closed.wait())
        gone = asyncio.create_task(self._until_gone(Runstate.RUNNING))
        await asyncio.wait({changed, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in (events, changed, gone):
            task.cancel()
        for event in self._client.events.clear():
            self._tell(event)
        with contextlib.suppress(Exception):
            await self._client.disconnect()

    async def _until_gone(self, running: Any) -> None:
        while self._client.runstate == running:
            await self._client.runstate_changed()

    async def _forward_events(self) -> None:
        while True:
            self._tell(await self._client.events.get())

    def _tell(self, event: Mapping[str, Any]) -> None:
        for listener in list(self._listeners):
            listener(str(event["event"]), event.get("data", {}))

    async def _execute(self, command: str, arguments: dict[str, Any]) -> Any:
        return await self._client.execute(command, arguments or None)
