# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A check whether the host lets this process make virtual machines with KVM."""

import fcntl
import os

from pydriver.errors import ConfigurationError

__all__ = ("check_kvm",)

KVM = "/dev/kvm"

# Numbers and version: Linux, include/uapi/linux/kvm.h.
KVM_GET_API_VERSION = 0xAE00
KVM_CREATE_VM = 0xAE01
KVM_API_VERSION = 12


def check_kvm() -> None:
    """Makes a virtual machine, and closes it.

    :raises ConfigurationError: the machine cannot be made; the message says why
    """
    try:
        kvm = os.open(KVM, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"KVM is not usable: {KVM}: {error.strerror}") from error
    try:
        version = fcntl.ioctl(kvm, KVM_GET_API_VERSION)
        if version != KVM_API_VERSION:
            raise ConfigurationError(f"KVM is not usable: it has API version {version}")
        os.close(fcntl.ioctl(kvm, KVM_CREATE_VM))
    except OSError as error:
        raise ConfigurationError(f"KVM is not usable: {error.strerror}") from error
    finally:
        os.close(kvm)
