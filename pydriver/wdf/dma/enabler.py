# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFDMAENABLER: the DMA capabilities of a device, its adapters, and its power callbacks."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from time import perf_counter_ns
from typing import TYPE_CHECKING, ClassVar, Self

from pydriver.declarations.binding import Binding
from pydriver.declarations.registry import callbacks, enumeration, handle, structure
from pydriver.ke.guest_memory import PAGE_SIZE
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import (
    NT_SUCCESS,
    STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
    STATUS_WDF_OBJECT_ATTRIBUTES_INVALID,
    NtStatusError,
)
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR
from pydriver.wdf.dma.adapter import DmaAdapter
from pydriver.wdf.object.ddi import RAISES, creation_ddi, ddi
from pydriver.wdf.object.object import Object, ObjectAttributes, ParentRule, check_pointer

if TYPE_CHECKING:
    from pydriver.wdf.dma.device import DmaDevice

__all__ = (
    "DmaDirection",
    "DmaEnabler",
    "DmaEnablerConfig",
    "DmaEnablerFlags",
    "DmaProfile",
)

UNLIMITED_FRAGMENTS = 0xFFFFFFFF
"""WDF_DMA_ENABLER_UNLIMITED_FRAGMENTS."""

DMA_V3 = 3


callbacks(
    __name__,
    {
        "EVT_WDF_DMA_ENABLER_FILL": "NTSTATUS (_In_ WDFDMAENABLER DmaEnabler)",
        "EVT_WDF_DMA_ENABLER_FLUSH": "NTSTATUS (_In_ WDFDMAENABLER DmaEnabler)",
        "EVT_WDF_DMA_ENABLER_ENABLE": "NTSTATUS (_In_ WDFDMAENABLER DmaEnabler)",
        "EVT_WDF_DMA_ENABLER_DISABLE": "NTSTATUS (_In_ WDFDMAENABLER DmaEnabler)",
        "EVT_WDF_DMA_ENABLER_SELFMANAGED_IO_START": "NTSTATUS (_In_ WDFDMAENABLER DmaEnabler)",
        "EVT_WDF_DMA_ENABLER_SELFMANAGED_IO_STOP": "NTSTATUS (_In_ WDFDMAENABLER DmaEnabler)",
    },
    highest=PASSIVE_LEVEL,
)


@enumeration("WDF_DMA_PROFILE", "WdfDmaProfile", more={"WdfDmaProfileInvalid": 0})
class DmaProfile(IntEnum):
    """WDF_DMA_PROFILE."""

    PACKET = 1
    SCATTER_GATHER = 2
    PACKET64 = 3
    SCATTER_GATHER64 = 4
    SCATTER_GATHER_DUPLEX = 5
    SCATTER_GATHER64_DUPLEX = 6
    SYSTEM = 7
    SYSTEM_DUPLEX = 8


@enumeration("WDF_DMA_DIRECTION", "WdfDmaDirection")
class DmaDirection(IntEnum):
    """WDF_DMA_DIRECTION."""

    READ_FROM_DEVICE = 0
    WRITE_TO_DEVICE = 1


@enumeration(
    "WDF_DMA_ENABLER_CONFIG_FLAGS",
    names={
        "NONE": "",
        "NO_SGLIST_PREALLOCATION": "WDF_DMA_ENABLER_CONFIG_NO_SGLIST_PREALLOCATION",
        "REQUIRE_SINGLE_TRANSFER": "WDF_DMA_ENABLER_CONFIG_REQUIRE_SINGLE_TRANSFER",
    },
)
class DmaEnablerFlags(IntFlag):
    """WDF_DMA_ENABLER_CONFIG_FLAGS."""

    NONE = 0
    NO_SGLIST_PREALLOCATION = 1
    REQUIRE_SINGLE_TRANSFER = 2


_SYSTEM = {DmaProfile.SYSTEM, DmaProfile.SYSTEM_DUPLEX}
_WIDE = {
    DmaProfile.PACKET64,
    DmaProfile.SCATTER_GATHER64,
    DmaProfile.SCATTER_GATHER64_DUPLEX,
}
_DUPLEX = {DmaProfile.SCATTER_GATHER_DUPLEX, DmaProfile.SCATTER_GATHER64_DUPLEX}
_PACKET = {DmaProfile.PACKET, DmaProfile.PACKET64}

EnablerCallback = Callable[["DmaEnabler"], int | None]


@structure(
    "WDF_DMA_ENABLER_CONFIG",
    """
    ULONG Size;
    WDF_DMA_PROFILE Profile;
    size_t MaximumLength;
    PFN_WDF_DMA_ENABLER_FILL EvtDmaEnablerFill;
    PFN_WDF_DMA_ENABLER_FLUSH EvtDmaEnablerFlush;
    PFN_WDF_DMA_ENABLER_DISABLE EvtDmaEnablerDisable;
    PFN_WDF_DMA_ENABLER_ENABLE EvtDmaEnablerEnable;
    PFN_WDF_DMA_ENABLER_SELFMANAGED_IO_START EvtDmaEnablerSelfManagedIoStart;
    PFN_WDF_DMA_ENABLER_SELFMANAGED_IO_STOP EvtDmaEnablerSelfManagedIoStop;
    ULONG AddressWidthOverride;
    ULONG WdmDmaVersionOverride;
    ULONG Flags;
    """,
)
@dataclass(slots=True)
class DmaEnablerConfig:
    """WDF_DMA_ENABLER_CONFIG.

    :ivar profile: the capabilities of the device; with 64 in its name, the device can address more
        than 4 GiB
    :ivar maximum_length: the length of the longest transfer in bytes, more than 0
    :ivar evt_dma_enabler_fill: the callback for the first step of power-up
    :ivar evt_dma_enabler_flush: the callback for the last step of power-down
    :ivar evt_dma_enabler_disable: the callback for the second step of power-down
    :ivar evt_dma_enabler_enable: the callback for the second step of power-up
    :ivar evt_dma_enabler_self_managed_io_start: the callback for the last step of power-up
    :ivar evt_dma_enabler_self_managed_io_stop: the callback for the first step of power-down
    :ivar address_width_override: the width of an address in bits; 0: that of the profile, 64 or 32
    :ivar wdm_dma_version_override: the version of the DMA operations; 3 selects version 3
    :ivar flags: options, see :class:`DmaEnablerFlags`
    """

    profile: DmaProfile
    maximum_length: int
    evt_dma_enabler_fill: EnablerCallback | None = None
    evt_dma_enabler_flush: EnablerCallback | None = None
    evt_dma_enabler_disable: EnablerCallback | None = None
    evt_dma_enabler_enable: EnablerCallback | None = None
    evt_dma_enabler_self_managed_io_start: EnablerCallback | None = None
    evt_dma_enabler_self_managed_io_stop: EnablerCallback | None = None
    address_width_override: int = 0
    wdm_dma_version_override: int = 0
    flags: DmaEnablerFlags = DmaEnablerFlags.NONE


class PowerStep(Enum):
    """The steps of power-up. The last one reached determines what power-down has to undo."""

    OFF = 0
    FILL_FAILED = 1
    ENABLE_FAILED = 2
    START_FAILED = 3
    ON = 4


@handle("WDFDMAENABLER")
class DmaEnabler(Object):
    """A DMA enabler.

    :ivar device: the device that does DMA
    :ivar profile: the capabilities of the device
    :ivar maximum_length: the length of the longest transfer, in bytes
    :ivar address_limit: the end of the addresses that the device reaches: it reaches those below
    :ivar single_transfer: whether transactions must end with their first transfer, unless they set
        otherwise
    """

    __slots__ = (
        "_adapters",
        "_config",
        "_maximum_elements",
        "_power",
        "address_limit",
        "device",
        "maximum_length",
        "profile",
        "single_transfer",
    )

    fx_type: ClassVar[int] = 0x1400

    passive_disposal: ClassVar[bool] = True

    def __init__(
        self,
        device: "DmaDevice",
        config: DmaEnablerConfig,
        attributes: ObjectAttributes,
        adapters: tuple[DmaAdapter, ...],
    ) -> None:
        super().__init__(device._kernel, attributes.parent_object or device, attributes)
        self.device = device
        self.profile = config.profile
        self.maximum_length = config.maximum_length
        self.address_limit = _address_limit(config)
        self.single_transfer = DmaEnablerFlags.REQUIRE_SINGLE_TRANSFER in config.flags
        self._config = config
        self._maximum_elements = UNLIMITED_FRAGMENTS
        self._power = PowerStep.OFF
        self._adapters = adapters
        device.dma_enablers.append(self)

    def __str__(self) -> str:
        return f"DMA enabler of {self.device}"

    @classmethod
    @creation_ddi(
        "WdfDmaEnablerCreate",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ PWDF_DMA_ENABLER_CONFIG Config, "
        "_In_opt_ PWDF_OBJECT_ATTRIBUTES Attributes, _Out_ WDFDMAENABLER *DmaEnablerHandle)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def create(
        cls,
        device: "DmaDevice",
        config: DmaEnablerConfig,
        attributes: ObjectAttributes | None = None,
    ) -> Self:
        """Creates a DMA enabler.

        :param device: the device that does DMA
        :param config: the capabilities of the device
        :param attributes: the attributes; the parent must be the device or an object below it
        :raises NtStatusError: a parameter is not valid, or the profile is a system profile: the
            system has no DMA controller, and therefore no adapter
        """
        what = "WdfDmaEnablerCreate"
        check_pointer(device._kernel, config, f"{what}: Config")
        attributes = cls.check_attributes(attributes, ParentRule.OPTIONAL, what)
        if config.profile not in set(DmaProfile) or config.maximum_length <= 0:
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        cls._check_width(config, what)
        parent = attributes.parent_object
        if parent is not None and parent.device_above is not device:
            raise NtStatusError(STATUS_WDF_OBJECT_ATTRIBUTES_INVALID, f"{what}: parent")
        if config.profile in _SYSTEM:
            raise NtStatusError(STATUS_UNSUCCESSFUL, f"{what}: no adapter for a system profile")
        adapters = tuple(
            DmaAdapter(
                device._kernel.memory,
                config.maximum_length,
                _address_limit(config),
                packet=config.profile in _PACKET,
                wide=config.profile in _WIDE - _PACKET and not config.address_width_override,
            )
            for _ in range(2 if config.profile in _DUPLEX else 1)
        )
        try:
            return cls(device, config, attributes, adapters)
        except NtStatusError:
            _free(adapters)
            raise

    @staticmethod
    def _check_width(config: DmaEnablerConfig, what: str) -> None:
        width = config.address_width_override
        if width and (config.profile in _SYSTEM or width > (64 if config.profile in _WIDE else 32)):
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: AddressWidthOverride {width}")
        version_3 = width != 0 or config.wdm_dma_version_override == DMA_V3
        if DmaEnablerFlags.REQUIRE_SINGLE_TRANSFER in config.flags and not version_3:
            raise NtStatusError(
                STATUS_INVALID_PARAMETER, f"{what}: a single transfer needs DMA version 3"
            )

    # Limits

    @ddi("WdfDmaEnablerGetMaximumLength", "size_t (_In_ WDFDMAENABLER DmaEnabler)")
    def get_maximum_length(self) -> int:
        """Returns the length of the longest transfer in bytes, as configured."""
        return self.maximum_length

    @ddi(
        "WdfDmaEnablerGetFragmentLength",
        "size_t (_In_ WDFDMAENABLER DmaEnabler, _In_ WDF_DMA_DIRECTION DmaDirection)",
    )
    def get_fragment_length(self, direction: DmaDirection) -> int:
        """Returns the most bytes of one transfer; map registers may limit it below the maximum."""
        return min(self.maximum_length, (self.adapter(direction).map_registers - 1) * PAGE_SIZE)

    @ddi("WdfDmaEnablerGetMaximumScatterGatherElements", "size_t (_In_ WDFDMAENABLER DmaEnabler)")
    def get_maximum_scatter_gather_elements(self) -> int:
        """Returns the most elements of a scatter/gather list; 0xFFFFFFFF: no limit."""
        return self._maximum_elements

    @ddi(
        "WdfDmaEnablerSetMaximumScatterGatherElements",
        "VOID (_In_ WDFDMAENABLER DmaEnabler, _In_ size_t MaximumFragments)",
        highest=PASSIVE_LEVEL,
        refusal=None,
        binding=Binding(parameters={"MaximumFragments": "maximum_elements"}),
    )
    def set_maximum_scatter_gather_elements(self, maximum_elements: int) -> None:
        """Limits scatter/gather lists; to be called once, before transactions are created.

        :param maximum_elements: the most elements that the device accepts, more than 0
        """
        transactions = any(each.fx_type == 0x1401 for each in self.children)
        if transactions or maximum_elements <= 0 or self._maximum_elements != UNLIMITED_FRAGMENTS:
            self._kernel.verifier.violation(
                "DmaElements",
                f"WdfDmaEnablerSetMaximumScatterGatherElements({self}, {maximum_elements}): call "
                "it once, before transactions are created",
                self,
            )
            return
        self._maximum_elements = maximum_elements

    def adapter(self, direction: DmaDirection) -> DmaAdapter:
        """Returns the map registers of a direction."""
        # Only a duplex profile has two adapters: the first is for writes.
        return self._adapters[0 if direction == DmaDirection.WRITE_TO_DEVICE else -1]

    # Power, in the device's sequences

    def power_up(self) -> int:
        """Fills, enables and starts, at PASSIVE_LEVEL; ends with the first failure.

        :return: the NTSTATUS of the last callback
        """
        config = self._config
        for name, callback, failed in (
            ("EvtDmaEnablerFill", config.evt_dma_enabler_fill, PowerStep.FILL_FAILED),
            ("EvtDmaEnablerEnable", config.evt_dma_enabler_enable, PowerStep.ENABLE_FAILED),
            (
                "EvtDmaEnablerSelfManagedIoStart",
                config.evt_dma_enabler_self_managed_io_start,
                PowerStep.START_FAILED,
            ),
        ):
            status = self._call(name, callback)
            if not NT_SUCCESS(status):
                self._power = failed
                return status
        self._power = PowerStep.ON
        return STATUS_SUCCESS

    def power_down(self) -> None:
        """Stops, disables and flushes as far as power-up went; continues after a failure."""
        config = self._config
        power, self._power = self._power, PowerStep.OFF
        if power is PowerStep.ON:
            self._call(
                "EvtDmaEnablerSelfManagedIoStop", config.evt_dma_enabler_self_managed_io_stop
            )
        if power not in {PowerStep.OFF, PowerStep.FILL_FAILED}:
            self._call("EvtDmaEnablerDisable", config.evt_dma_enabler_disable)
        if power in {PowerStep.START_FAILED, PowerStep.ON}:
            self._call("EvtDmaEnablerFlush", config.evt_dma_enabler_flush)

    def _call(self, name: str, callback: EnablerCallback | None) -> int:
        if callback is None:
            return STATUS_SUCCESS
        kernel, device = self._kernel, self.device
        kernel.record((perf_counter_ns(), Event.PNP, NO_PROCESSOR, kernel.irql(), device, name))
        with kernel.watchdog.limit(name, device):
            return kernel.invoke_status(callback, self)

    def _on_dispose(self) -> None:
        self.device.dma_enablers.remove(self)

    def _on_destroy(self) -> None:
        _free(self._adapters)


def _address_limit(config: DmaEnablerConfig) -> int:
    return 1 << (config.address_width_override or (64 if config.profile in _WIDE else 32))


def _free(adapters: tuple[DmaAdapter, ...]) -> None:
    for each in adapters:
        each.free()
