# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Devices with their own attributes, for tests of locks and of automatic serialization."""

from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    ExecutionLevel,
    IoQueue,
    IoQueueConfig,
    ObjectAttributes,
    SynchronizationScope,
)
from tests.harness.bench import Bench


def load_device(
    bench: Bench,
    scope: SynchronizationScope = SynchronizationScope.INHERIT_FROM_PARENT,
    level: ExecutionLevel = ExecutionLevel.INHERIT_FROM_PARENT,
    queue: IoQueueConfig | None = None,
    index: int = 0,
) -> Device:
    """A started device with a scope and a level; with a queue, if it has a configuration."""
    attributes = ObjectAttributes(execution_level=level, synchronization_scope=scope)

    def add(driver: Driver, init: DeviceInit) -> None:
        device = Device.create(init, attributes)
        if queue is not None:
            IoQueue.create(device, queue)

    driver = bench.system.load_driver(
        lambda driver_object: Driver.create(driver_object, DriverConfig(evt_driver_device_add=add)),
        name=f"scoped{index}",
    )
    bench.drivers.append(driver)
    return driver.add_device(bench.functions[index])
