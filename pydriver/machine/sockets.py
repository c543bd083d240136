# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""UNIX sockets at which a person can look in."""

import os
import socket
from pathlib import Path

from pydriver.errors import ConfigurationError

__all__ = ("listen",)


def listen(path: Path, name: str) -> socket.socket:
    """A UNIX socket that only its owner can connect to.

    :param path: where it is put
    :param name: what it is, for the error
    :raises ConfigurationError: it cannot be put there
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
