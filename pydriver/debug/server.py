# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The views of a running system for other processes: a socket that only its owner can open.

A client sends a command as a line and gets one line of JSON: ``{"lines": [...]}``, or
``{"error": "..."}``. Commands that a device could notice are not offered.
"""

import contextlib
import json
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

from pydriver.debug.commands import ACTIVE, CommandError, Views
from pydriver.debug.hardware import VIEWS_THREAD
from pydriver.errors import PydriverError
from pydriver.machine.sockets import listen

if TYPE_CHECKING:
    from pydriver.system import System

__all__ = ("ViewServer", "ask")

LONGEST_LINE = 4096


class ViewServer:
    """Serves the views. Use it as a context manager.

    :param system: the system to show
    :param path: the path of the socket
    :raises ConfigurationError: the socket cannot be created there
    """

    def __init__(self, system: "System", path: Path) -> None:
        self._system = system
        self._path = path
        self._listening = listen(path, "debug")
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, name=VIEWS_THREAD, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        for each in list(self._connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        threads = []
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:  # it was shut down
                break
            self._connections.add(connection)
            thread = threading.Thread(
                target=self._serve, args=(connection,), name=VIEWS_THREAD, daemon=True
            )
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()

    def _serve(self, connection: socket.socket) -> None:
        views = Views(self._system)
        try:
            with connection, connection.makefile("rw", encoding="utf-8") as file:
                while line := file.readline(LONGEST_LINE):
                    print(json.dumps(_answer(views, line)), file=file, flush=True)
        except (OSError, ValueError):
            pass  # the client has gone, or does not send text
        finally:
            self._connections.discard(connection)


def _answer(views: Views, line: str) -> dict[str, object]:
    name = line.strip().removeprefix("!").partition(" ")[0]
    try:
        if name in ACTIVE:
            raise CommandError(
                f"{name} could change the device's state: use `pydriver debug` instead"
            )
        return {"lines": views.execute(line)}
    except PydriverError as error:
        return {"error": str(error)}


def ask(file: TextIO, line: str) -> list[str]:
    """Sends a command to a server.

    :param file: the file of the connection, for reading and writing
    :return: the lines of the output
    :raises CommandError: the server answered with an error
    :raises ConnectionError: the server has gone
    """
    try:
        print(line.replace("\n", " "), file=file, flush=True)
        answer = file.readline()
    except OSError:
        answer = ""
    if not answer:
        raise ConnectionError("the system has ended")
    content = json.loads(answer)
    if "error" in content:
        raise CommandError(content["error"])
    return list(content["lines"])
