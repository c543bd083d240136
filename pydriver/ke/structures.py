# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Structures, enumerations and callbacks of the kernel that drivers see, as wdm.h has them on x64.

They include those that a Python class represents if drivers embed or read the memory itself: a
KEVENT in a device context, an MDL, the head of an IRP.
"""

from pydriver.declarations.registry import (
    callbacks,
    enumerators,
    opaque,
    structure,
    typedef,
)
from pydriver.ke.irql import DISPATCH_LEVEL, HIGH_LEVEL, PASSIVE_LEVEL

__all__ = ()

for _name in (
    "ACCESS_STATE",
    "CLIENT_ID",
    "DEVICE_DESCRIPTION",
    "DEVOBJ_EXTENSION",
    "DMA_ADAPTER",
    "DRIVER_EXTENSION",
    "EPROCESS",
    "ETHREAD",
    "FAST_IO_DISPATCH",
    "IO_COMPLETION_CONTEXT",
    "IO_TIMER",
    "KINTERRUPT",
    "KTHREAD",
    "OBJECT_ATTRIBUTES",
    "SECTION_OBJECT_POINTERS",
    "SECURITY_QUALITY_OF_SERVICE",
    "VPB",
):
    opaque(_name)

for _declaration in (
    "LARGE_INTEGER PHYSICAL_ADDRESS",
    "PHYSICAL_ADDRESS *PPHYSICAL_ADDRESS",
    "const UNICODE_STRING *PCUNICODE_STRING",
    "const GUID *LPCGUID",
    "GUID *LPGUID",
    "KDPC *PRKDPC",
    "KEVENT *PRKEVENT",
    "void *PSECURITY_DESCRIPTOR",
):
    typedef(_declaration)

enumerators(
    "INTERFACE_TYPE",
    {
        "InterfaceTypeUndefined": -1,
        "Internal": 0,
        "Isa": 1,
        "Eisa": 2,
        "MicroChannel": 3,
        "TurboChannel": 4,
        "PCIBus": 5,
        "VMEBus": 6,
        "NuBus": 7,
        "PCMCIABus": 8,
        "CBus": 9,
        "MPIBus": 10,
        "MPSABus": 11,
        "ProcessorInternal": 12,
        "InternalPowerBus": 13,
        "PNPISABus": 14,
        "PNPBus": 15,
        "Vmcs": 16,
        "ACPIBus": 17,
        "MaximumInterfaceType": 18,
    },
)
enumerators(
    "MEMORY_CACHING_TYPE",
    {
        "MmNonCached": 0,
        "MmCached": 1,
        "MmWriteCombined": 2,
        "MmHardwareCoherentCached": 3,
        "MmNonCachedUnordered": 4,
        "MmUSWCCached": 5,
        "MmMaximumCacheType": 6,
        "MmNotMapped": -1,
    },
)
enumerators(
    "DEVICE_POWER_STATE",
    {
        "PowerDeviceUnspecified": 0,
        "PowerDeviceD0": 1,
        "PowerDeviceD1": 2,
        "PowerDeviceD2": 3,
        "PowerDeviceD3": 4,
        "PowerDeviceMaximum": 5,
    },
)
enumerators(
    "SYSTEM_POWER_STATE",
    {
        "PowerSystemUnspecified": 0,
        "PowerSystemWorking": 1,
        "PowerSystemSleeping1": 2,
        "PowerSystemSleeping2": 3,
        "PowerSystemSleeping3": 4,
        "PowerSystemHibernate": 5,
        "PowerSystemShutdown": 6,
        "PowerSystemMaximum": 7,
    },
)
enumerators("TIMER_TYPE", {"NotificationTimer": 0, "SynchronizationTimer": 1})
enumerators(
    "KWAIT_REASON",
    {
        "Executive": 0,
        "FreePage": 1,
        "PageIn": 2,
        "PoolAllocation": 3,
        "DelayExecution": 4,
        "Suspended": 5,
        "UserRequest": 6,
    },
)

structure(
    "LARGE_INTEGER",
    """
    struct {
        ULONG LowPart;
        LONG HighPart;
    };
    struct {
        ULONG LowPart;
        LONG HighPart;
    } u;
    LONGLONG QuadPart;
    """,
    union=True,
)
structure(
    "ULARGE_INTEGER",
    """
    struct {
        ULONG LowPart;
        ULONG HighPart;
    };
    struct {
        ULONG LowPart;
        ULONG HighPart;
    } u;
    ULONGLONG QuadPart;
    """,
    union=True,
)
structure(
    "LIST_ENTRY",
    """
    PLIST_ENTRY Flink;
    PLIST_ENTRY Blink;
    """,
    pointers=("PRLIST_ENTRY",),
)
structure(
    "SINGLE_LIST_ENTRY",
    """
    PSINGLE_LIST_ENTRY Next;
    """,
)
structure(
    "UNICODE_STRING",
    """
    USHORT Length;
    USHORT MaximumLength;
    PWCH Buffer;
    """,
)
structure(
    "GUID",
    """
    ULONG Data1;
    USHORT Data2;
    USHORT Data3;
    UCHAR Data4[8];
    """,
)
structure(
    "DEVPROPKEY",
    """
    GUID fmtid;
    ULONG pid;
    """,
)
structure(
    "PROCESSOR_NUMBER",
    """
    USHORT Group;
    UCHAR Number;
    UCHAR Reserved;
    """,
)
structure(
    "IO_STATUS_BLOCK",
    """
    union {
        NTSTATUS Status;
        PVOID Pointer;
    };
    ULONG_PTR Information;
    """,
)
structure(
    "DISPATCHER_HEADER",
    """
    union {
        LONG Lock;
        struct {
            UCHAR Type;
            UCHAR Signalling;
            UCHAR Size;
            UCHAR Reserved1;
        };
    };
    LONG SignalState;
    LIST_ENTRY WaitListHead;
    """,
)
structure(
    "KEVENT",
    """
    DISPATCHER_HEADER Header;
    """,
)
structure(
    "KDPC",
    """
    union {
        ULONG TargetInfoAsUlong;
        struct {
            UCHAR Type;
            UCHAR Importance;
            volatile USHORT Number;
        };
    };
    SINGLE_LIST_ENTRY DpcListEntry;
    KAFFINITY ProcessorHistory;
    PKDEFERRED_ROUTINE DeferredRoutine;
    PVOID DeferredContext;
    PVOID SystemArgument1;
    PVOID SystemArgument2;
    PVOID DpcData;
    """,
)
structure(
    "KTIMER",
    """
    DISPATCHER_HEADER Header;
    ULARGE_INTEGER DueTime;
    LIST_ENTRY TimerListEntry;
    PKDPC Dpc;
    USHORT Processor;
    USHORT TimerType;
    ULONG Period;
    """,
)
structure(
    "KDEVICE_QUEUE_ENTRY",
    """
    LIST_ENTRY DeviceListEntry;
    ULONG SortKey;
    BOOLEAN Inserted;
    """,
)
structure(
    "KDEVICE_QUEUE",
    """
    CSHORT Type;
    CSHORT Size;
    LIST_ENTRY DeviceListHead;
    KSPIN_LOCK Lock;
    union {
        BOOLEAN Busy;
        struct {
            LONG64 Reserved : 8;
            LONG64 Hint : 56;
        };
    };
    """,
)
structure(
    "WAIT_CONTEXT_BLOCK",
    """
    KDEVICE_QUEUE_ENTRY WaitQueueEntry;
    PVOID DeviceRoutine;
    PVOID DeviceContext;
    ULONG NumberOfMapRegisters;
    PVOID DeviceObject;
    PVOID CurrentIrp;
    PKDPC BufferChainingDpc;
    """,
)
structure(
    "MDL",
    """
    PMDL Next;
    CSHORT Size;
    CSHORT MdlFlags;
    PEPROCESS Process;
    PVOID MappedSystemVa;
    PVOID StartVa;
    ULONG ByteCount;
    ULONG ByteOffset;
    """,
)
structure(
    "CM_PARTIAL_RESOURCE_DESCRIPTOR",
    """
    UCHAR Type;
    UCHAR ShareDisposition;
    USHORT Flags;
    union {
        struct {
            PHYSICAL_ADDRESS Start;
            ULONG Length;
        } Generic;
        struct {
            PHYSICAL_ADDRESS Start;
            ULONG Length;
        } Port;
        struct {
            USHORT Level;
            USHORT Group;
            ULONG Vector;
            KAFFINITY Affinity;
        } Interrupt;
        struct {
            union {
                struct {
                    USHORT Group;
                    USHORT MessageCount;
                    ULONG Vector;
                    KAFFINITY Affinity;
                } Raw;
                struct {
                    USHORT Level;
                    USHORT Group;
                    ULONG Vector;
                    KAFFINITY Affinity;
                } Translated;
            };
        } MessageInterrupt;
        struct {
            PHYSICAL_ADDRESS Start;
            ULONG Length;
        } Memory;
        struct {
            ULONG Channel;
            ULONG Port;
            ULONG Reserved1;
        } Dma;
        struct {
            ULONG Channel;
            ULONG RequestLine;
            UCHAR TransferWidth;
            UCHAR Reserved1;
            UCHAR Reserved2;
            UCHAR Reserved3;
        } DmaV3;
        struct {
            ULONG Data[3];
        } DevicePrivate;
        struct {
            ULONG Start;
            ULONG Length;
            ULONG Reserved;
        } BusNumber;
        struct {
            ULONG DataSize;
            ULONG Reserved1;
            ULONG Reserved2;
        } DeviceSpecificData;
        struct {
            PHYSICAL_ADDRESS Start;
            ULONG Length40;
        } Memory40;
        struct {
            PHYSICAL_ADDRESS Start;
            ULONG Length48;
        } Memory48;
        struct {
            PHYSICAL_ADDRESS Start;
            ULONG Length64;
        } Memory64;
        struct {
            UCHAR Class;
            UCHAR Type;
            UCHAR Reserved1;
            UCHAR Reserved2;
            ULONG IdLowPart;
            ULONG IdHighPart;
        } Connection;
    } u;
    """,
    pack=4,
)
structure(
    "CM_PARTIAL_RESOURCE_LIST",
    """
    USHORT Version;
    USHORT Revision;
    ULONG Count;
    CM_PARTIAL_RESOURCE_DESCRIPTOR PartialDescriptors[1];
    """,
    pack=4,
)
structure(
    "CM_FULL_RESOURCE_DESCRIPTOR",
    """
    INTERFACE_TYPE InterfaceType;
    ULONG BusNumber;
    CM_PARTIAL_RESOURCE_LIST PartialResourceList;
    """,
    pack=4,
)
structure(
    "CM_RESOURCE_LIST",
    """
    ULONG Count;
    CM_FULL_RESOURCE_DESCRIPTOR List[1];
    """,
    pack=4,
)
structure(
    "INTERFACE",
    """
    USHORT Size;
    USHORT Version;
    PVOID Context;
    PINTERFACE_REFERENCE InterfaceReference;
    PINTERFACE_DEREFERENCE InterfaceDereference;
    """,
)
structure(
    "IO_SECURITY_CONTEXT",
    """
    PSECURITY_QUALITY_OF_SERVICE SecurityQos;
    PACCESS_STATE AccessState;
    ACCESS_MASK DesiredAccess;
    ULONG FullCreateOptions;
    """,
)
structure(
    "KAPC",
    """
    UCHAR Type;
    UCHAR AllFlags;
    UCHAR Size;
    UCHAR SpareByte1;
    ULONG SpareLong0;
    PKTHREAD Thread;
    LIST_ENTRY ApcListEntry;
    PVOID Reserved[3];
    PVOID NormalContext;
    PVOID SystemArgument1;
    PVOID SystemArgument2;
    CCHAR ApcStateIndex;
    KPROCESSOR_MODE ApcMode;
    BOOLEAN Inserted;
    """,
)
structure(
    "IRP",
    """
    _Alignas(16) CSHORT Type;
    USHORT Size;
    PMDL MdlAddress;
    ULONG Flags;
    union {
        PIRP MasterIrp;
        LONG IrpCount;
        PVOID SystemBuffer;
    } AssociatedIrp;
    LIST_ENTRY ThreadListEntry;
    IO_STATUS_BLOCK IoStatus;
    KPROCESSOR_MODE RequestorMode;
    BOOLEAN PendingReturned;
    CHAR StackCount;
    CHAR CurrentLocation;
    BOOLEAN Cancel;
    KIRQL CancelIrql;
    CCHAR ApcEnvironment;
    UCHAR AllocationFlags;
    PIO_STATUS_BLOCK UserIosb;
    PKEVENT UserEvent;
    union {
        struct {
            PVOID UserApcRoutine;
            PVOID UserApcContext;
        } AsynchronousParameters;
        LARGE_INTEGER AllocationSize;
    } Overlay;
    PDRIVER_CANCEL CancelRoutine;
    PVOID UserBuffer;
    union {
        struct {
            union {
                KDEVICE_QUEUE_ENTRY DeviceQueueEntry;
                struct {
                    PVOID DriverContext[4];
                };
            };
            PETHREAD Thread;
            PCHAR AuxiliaryBuffer;
            struct {
                LIST_ENTRY ListEntry;
                union {
                    PIO_STACK_LOCATION CurrentStackLocation;
                    ULONG PacketType;
                };
            };
            PFILE_OBJECT OriginalFileObject;
            PVOID IrpExtension;
        } Overlay;
        KAPC Apc;
        PVOID CompletionKey;
    } Tail;
    """,
)
structure(
    "IO_STACK_LOCATION",
    """
    UCHAR MajorFunction;
    UCHAR MinorFunction;
    UCHAR Flags;
    UCHAR Control;
    union {
        struct {
            PIO_SECURITY_CONTEXT SecurityContext;
            ULONG Options;
            _Alignas(8) USHORT FileAttributes;
            USHORT ShareAccess;
            _Alignas(8) ULONG EaLength;
        } Create;
        struct {
            ULONG Length;
            _Alignas(8) ULONG Key;
            LARGE_INTEGER ByteOffset;
        } Read;
        struct {
            ULONG Length;
            _Alignas(8) ULONG Key;
            LARGE_INTEGER ByteOffset;
        } Write;
        struct {
            ULONG OutputBufferLength;
            _Alignas(8) ULONG InputBufferLength;
            _Alignas(8) ULONG IoControlCode;
            PVOID Type3InputBuffer;
        } DeviceIoControl;
        struct {
            PCM_RESOURCE_LIST AllocatedResources;
            PCM_RESOURCE_LIST AllocatedResourcesTranslated;
        } StartDevice;
        struct {
            PVOID Argument1;
            PVOID Argument2;
            PVOID Argument3;
            PVOID Argument4;
        } Others;
    } Parameters;
    PDEVICE_OBJECT DeviceObject;
    PFILE_OBJECT FileObject;
    PIO_COMPLETION_ROUTINE CompletionRoutine;
    PVOID Context;
    """,
)
structure(
    "DEVICE_OBJECT",
    """
    _Alignas(16) CSHORT Type;
    USHORT Size;
    LONG ReferenceCount;
    PDRIVER_OBJECT DriverObject;
    PDEVICE_OBJECT NextDevice;
    PDEVICE_OBJECT AttachedDevice;
    PIRP CurrentIrp;
    PIO_TIMER Timer;
    ULONG Flags;
    ULONG Characteristics;
    PVPB Vpb;
    PVOID DeviceExtension;
    DEVICE_TYPE DeviceType;
    CCHAR StackSize;
    union {
        LIST_ENTRY ListEntry;
        WAIT_CONTEXT_BLOCK Wcb;
    } Queue;
    ULONG AlignmentRequirement;
    KDEVICE_QUEUE DeviceQueue;
    KDPC Dpc;
    ULONG ActiveThreadCount;
    PSECURITY_DESCRIPTOR SecurityDescriptor;
    KEVENT DeviceLock;
    USHORT SectorSize;
    USHORT Spare1;
    PDEVOBJ_EXTENSION DeviceObjectExtension;
    PVOID Reserved;
    """,
)
structure(
    "DRIVER_OBJECT",
    """
    CSHORT Type;
    CSHORT Size;
    PDEVICE_OBJECT DeviceObject;
    ULONG Flags;
    PVOID DriverStart;
    ULONG DriverSize;
    PVOID DriverSection;
    PDRIVER_EXTENSION DriverExtension;
    UNICODE_STRING DriverName;
    PUNICODE_STRING HardwareDatabase;
    PFAST_IO_DISPATCH FastIoDispatch;
    PDRIVER_INITIALIZE DriverInit;
    PDRIVER_STARTIO DriverStartIo;
    PDRIVER_UNLOAD DriverUnload;
    PDRIVER_DISPATCH MajorFunction[28];
    """,
)
structure(
    "FILE_OBJECT",
    """
    CSHORT Type;
    CSHORT Size;
    PDEVICE_OBJECT DeviceObject;
    PVPB Vpb;
    PVOID FsContext;
    PVOID FsContext2;
    PSECTION_OBJECT_POINTERS SectionObjectPointer;
    PVOID PrivateCacheMap;
    NTSTATUS FinalStatus;
    PFILE_OBJECT RelatedFileObject;
    BOOLEAN LockOperation;
    BOOLEAN DeletePending;
    BOOLEAN ReadAccess;
    BOOLEAN WriteAccess;
    BOOLEAN DeleteAccess;
    BOOLEAN SharedRead;
    BOOLEAN SharedWrite;
    BOOLEAN SharedDelete;
    ULONG Flags;
    UNICODE_STRING FileName;
    LARGE_INTEGER CurrentByteOffset;
    volatile ULONG Waiters;
    volatile ULONG Busy;
    PVOID LastLock;
    KEVENT Lock;
    KEVENT Event;
    PIO_COMPLETION_CONTEXT CompletionContext;
    KSPIN_LOCK IrpListLock;
    LIST_ENTRY IrpList;
    PVOID FileObjectExtension;
    """,
)

callbacks(
    __name__,
    {
        "KDEFERRED_ROUTINE": "VOID (_In_ PKDPC Dpc, _In_opt_ PVOID DeferredContext, "
        "_In_opt_ PVOID SystemArgument1, _In_opt_ PVOID SystemArgument2)",
        "DRIVER_CANCEL": "VOID (_Inout_ PDEVICE_OBJECT DeviceObject, _Inout_ PIRP Irp)",
        "DRIVER_STARTIO": "VOID (_Inout_ PDEVICE_OBJECT DeviceObject, _Inout_ PIRP Irp)",
    },
    lowest=DISPATCH_LEVEL,
    highest=DISPATCH_LEVEL,
)
callbacks(
    __name__,
    {"KSYNCHRONIZE_ROUTINE": "BOOLEAN (_In_ PVOID SynchronizeContext)"},
    highest=HIGH_LEVEL,
)
callbacks(
    __name__,
    {
        "KSTART_ROUTINE": "VOID (_In_ PVOID StartContext)",
        "DRIVER_INITIALIZE": "NTSTATUS (_In_ PDRIVER_OBJECT DriverObject, "
        "_In_ PUNICODE_STRING RegistryPath)",
        "DRIVER_UNLOAD": "VOID (_In_ PDRIVER_OBJECT DriverObject)",
    },
    highest=PASSIVE_LEVEL,
)
callbacks(
    __name__,
    {
        "DRIVER_DISPATCH": "NTSTATUS (_In_ PDEVICE_OBJECT DeviceObject, _Inout_ PIRP Irp)",
        "IO_COMPLETION_ROUTINE": "NTSTATUS (_In_ PDEVICE_OBJECT DeviceObject, _In_ PIRP Irp, "
        "_In_opt_ PVOID Context)",
        "INTERFACE_REFERENCE": "VOID (_In_ PVOID Context)",
        "INTERFACE_DEREFERENCE": "VOID (_In_ PVOID Context)",
        "TRANSLATE_BUS_ADDRESS": "BOOLEAN (_Inout_opt_ PVOID Context, "
        "_In_ PHYSICAL_ADDRESS BusAddress, _In_ ULONG Length, _Out_ PULONG AddressSpace, "
        "_Out_ PPHYSICAL_ADDRESS TranslatedAddress)",
        "GET_DMA_ADAPTER": "PDMA_ADAPTER (_Inout_opt_ PVOID Context, "
        "_In_ PDEVICE_DESCRIPTION DeviceDescriptor, _Out_ PULONG NumberOfMapRegisters)",
        "GET_SET_DEVICE_DATA": "ULONG (_Inout_opt_ PVOID Context, _In_ ULONG DataType, "
        "_Inout_updates_bytes_(Length) PVOID Buffer, _In_ ULONG Offset, _In_ ULONG Length)",
    },
)
