# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""UNIX sockets for a user who inspects a run."""

import os
import socket
from pathlib import Path

from pydriver.errors import ConfigurationError

__all__ = ("listen",)


def listen(path: Path, name: str) -> socket.socket:
    """Makes a UNIX socket to which only its owner can connect.

    :param path: the path of the socket
    :param name: the purpose of the socket, for the error message
    :raises ConfigurationError: the socket cannot be made at that path
    """
    listening = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listening.bind(str(path))
        listening.listen()
    except OSError as error:
        listening.close()
        raise ConfigurationError(f"{name} socket {path}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    return listening
