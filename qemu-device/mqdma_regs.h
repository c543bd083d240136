/* SPDX-License-Identifier: MIT OR GPL-2.0-or-later */
/*
 * mqdma: registers, descriptors and codes of the multi-queue DMA engine
 *
 * Copyright (c) 2026 the pydriver authors
 *
 * Declared once, read by three sides: the QEMU device, the guest, and the
 * controller (cffi parses the preprocessed text).  Hence only enums whose
 * values fit an int, and plain structures with natural alignment.  mqdma.md
 * beside this file says what each of them means.
 */
#ifndef MQDMA_REGS_H
#define MQDMA_REGS_H

#ifndef MQDMA_CFFI
#include <stdint.h>
#endif

/* PCI identity and base address registers. */
enum mqdma_pci {
    MQDMA_PCI_VENDOR = 0x1234,
    MQDMA_PCI_DEVICE = 0x6d71,
    MQDMA_PCI_REVISION = 0x01,
    MQDMA_PCI_CLASS = 0x0880,

    MQDMA_BAR_REGISTERS = 0,
    MQDMA_BAR_SHARED = 2,
    MQDMA_BAR_MSIX = 4,

    MQDMA_BAR_REGISTERS_SIZE = 0x80000,
    MQDMA_BAR_MSIX_SIZE = 0x1000,
    MQDMA_MSIX_TABLE = 0x000,
    MQDMA_MSIX_PBA = 0x800,
};

/* Limits of the engine. */
enum mqdma_limits {
    MQDMA_MAX_QUEUES = 64,
    MQDMA_MAX_VECTORS = 65,
    MQDMA_MIN_ORDER = 1,
    MQDMA_MAX_ORDER = 12,
    MQDMA_MAX_TRANSFER = 0x1000000,         /* 16 MiB */
    MQDMA_MAX_COALESCE_COUNT = 4096,
    MQDMA_MAX_COALESCE_US = 1000000,        /* 1 s */
    MQDMA_MAX_WATCHDOG_US = 60000000,       /* 60 s */
    MQDMA_MAX_DELAY_MS = 1000000,           /* 1000 s */
    MQDMA_DRIVE_SECTOR = 512,
};

/* BAR0: page 0 is global, page 1 + q belongs to queue q. */
enum mqdma_pages {
    MQDMA_PAGE_SIZE = 0x1000,
    MQDMA_QUEUE_BASE = 0x1000,
    MQDMA_QUEUE_STRIDE = 0x1000,
};

/* Global page: offsets of 32-bit registers. */
enum mqdma_reg {
    MQDMA_REG_ID = 0x00,
    MQDMA_REG_VERSION = 0x04,
    MQDMA_REG_CAPS = 0x08,
    MQDMA_REG_MAX_TRANSFER = 0x0c,
    MQDMA_REG_CONTROL = 0x10,
    MQDMA_REG_STATUS = 0x14,
    MQDMA_REG_BAR2_SIZE_LO = 0x18,
    MQDMA_REG_BAR2_SIZE_HI = 0x1c,

    MQDMA_REG_CAUSE_LO = 0x20,              /* a read clears what it returns */
    MQDMA_REG_CAUSE_HI = 0x24,              /* a read clears what it returns */
    MQDMA_REG_CAUSE_GLOBAL = 0x28,          /* a read clears what it returns */
    MQDMA_REG_INT_STATUS_LO = 0x30,         /* the causes, without clearing */
    MQDMA_REG_INT_STATUS_HI = 0x34,
    MQDMA_REG_INT_STATUS_GLOBAL = 0x38,
    MQDMA_REG_INT_MASK_LO = 0x40,           /* 1: no interrupt */
    MQDMA_REG_INT_MASK_HI = 0x44,
    MQDMA_REG_INT_MASK_GLOBAL = 0x48,
    MQDMA_REG_INT_ACK_LO = 0x50,            /* write 1 to clear the cause */
    MQDMA_REG_INT_ACK_HI = 0x54,
    MQDMA_REG_INT_ACK_GLOBAL = 0x58,
    MQDMA_REG_INT_RAISE = 0x60,             /* software-raised interrupt */
    MQDMA_REG_GLOBAL_VECTOR = 0x64,
    MQDMA_REG_INT_MODE = 0x68,

    MQDMA_REG_SCRATCH0 = 0x70,
    MQDMA_REG_SCRATCH1 = 0x74,
    MQDMA_REG_CLOCK_LO = 0x78,              /* virtual ns; latches CLOCK_HI */
    MQDMA_REG_CLOCK_HI = 0x7c,

    MQDMA_REG_ERR_ACCESS = 0x80,
    MQDMA_REG_ERR_DESCRIPTOR = 0x84,
    MQDMA_REG_ERR_DMA = 0x88,
    MQDMA_REG_ERR_QUEUE = 0x8c,
    MQDMA_REG_MESSAGES = 0x90,
    MQDMA_REG_INTX_ASSERTED = 0x94,
    MQDMA_REG_DROPPED = 0x98,
    MQDMA_REG_BAD_OFFSET = 0x9c,
    MQDMA_REG_DRIVE_SIZE_LO = 0xa0,
    MQDMA_REG_DRIVE_SIZE_HI = 0xa4,
};

enum mqdma_identity {
    MQDMA_ID_VALUE = 0x4d44514d,            /* "MQDM" as bytes in memory */
    MQDMA_VERSION_VALUE = 0x00010000,       /* major << 16 | minor */
};

/* MQDMA_REG_CAPS */
enum mqdma_caps {
    MQDMA_CAPS_QUEUES_MASK = 0x0000007f,
    MQDMA_CAPS_MAX_ORDER_SHIFT = 8,
    MQDMA_CAPS_MAX_ORDER_MASK = 0x00001f00,
    MQDMA_CAPS_BAR2 = 0x00010000,
    MQDMA_CAPS_DRIVE = 0x00020000,
    MQDMA_CAPS_DRIVE_RO = 0x00040000,
};

/* MQDMA_REG_CONTROL */
enum mqdma_control {
    MQDMA_CONTROL_ENABLE = 0x01,
    MQDMA_CONTROL_RESET = 0x02,             /* clears itself */
};

/* MQDMA_REG_STATUS */
enum mqdma_status_reg {
    MQDMA_STATUS_REG_ENABLED = 0x01,
    MQDMA_STATUS_REG_ERROR = 0x02,          /* write 1 to clear with ERRCODE */
    MQDMA_STATUS_REG_INTX = 0x04,           /* the INTx level as asserted */
    MQDMA_STATUS_REG_ERRCODE_SHIFT = 8,
    MQDMA_STATUS_REG_ERRCODE_MASK = 0x0000ff00,     /* enum mqdma_error */
};

/* MQDMA_REG_CAUSE_GLOBAL, INT_STATUS_GLOBAL, INT_MASK_GLOBAL, INT_ACK_GLOBAL */
enum mqdma_cause_global {
    MQDMA_GLOBAL_BAD_ACCESS = 0x01,
    MQDMA_GLOBAL_BAD_DESCRIPTOR = 0x02,
    MQDMA_GLOBAL_DMA_ERROR = 0x04,
    MQDMA_GLOBAL_QUEUE_ERROR = 0x08,
    MQDMA_GLOBAL_RAISED = 0x10,
    MQDMA_GLOBAL_ALL = 0x1f,
};

/* MQDMA_REG_INT_RAISE */
enum mqdma_int_raise {
    MQDMA_RAISE_QUEUE_MASK = 0x3f,
    MQDMA_RAISE_GLOBAL = 0x40,              /* the device-level interrupt */
    MQDMA_RAISE_EVENT = 0x80,               /* also record a RAISED event ... */
    MQDMA_RAISE_TAG_SHIFT = 16,             /* ... with this cookie */
    MQDMA_RAISE_TAG_MASK = 0x7fff0000,
};

/* MQDMA_REG_INT_MODE */
enum mqdma_int_mode {
    MQDMA_INT_MODE_INTX = 0,
    MQDMA_INT_MODE_MSI = 1,
    MQDMA_INT_MODE_MSIX = 2,
};

/* Queue page: offsets of 32-bit registers. */
enum mqdma_queue_reg {
    MQDMA_Q_CONTROL = 0x00,
    MQDMA_Q_STATUS = 0x04,
    MQDMA_Q_ORDER = 0x08,                   /* 1 << order entries per ring */
    MQDMA_Q_LOCATION = 0x0c,
    MQDMA_Q_SQ_BASE_LO = 0x10,
    MQDMA_Q_SQ_BASE_HI = 0x14,
    MQDMA_Q_CQ_BASE_LO = 0x18,
    MQDMA_Q_CQ_BASE_HI = 0x1c,
    MQDMA_Q_SQ_TAIL = 0x20,                 /* doorbell */
    MQDMA_Q_SQ_HEAD = 0x24,
    MQDMA_Q_CQ_HEAD = 0x28,                 /* doorbell */
    MQDMA_Q_CQ_TAIL = 0x2c,
    MQDMA_Q_VECTOR = 0x30,
    MQDMA_Q_COALESCE_COUNT = 0x34,
    MQDMA_Q_COALESCE_US = 0x38,
    MQDMA_Q_WATCHDOG_US = 0x3c,

    MQDMA_Q_LAST_EVENT = 0x40,              /* look only */
    MQDMA_Q_LAST_TAKE = 0x44,               /* LAST_EVENT; a read takes it */
    MQDMA_Q_LAST_COOKIE_LO = 0x48,
    MQDMA_Q_LAST_COOKIE_HI = 0x4c,
    MQDMA_Q_LAST_RESULT = 0x50,
    MQDMA_Q_LAST_SEQUENCE = 0x54,           /* a read takes the event */
    MQDMA_Q_OVERRUN = 0x58,                 /* events overwritten unread */

    MQDMA_Q_COMPLETED = 0x60,
    MQDMA_Q_FAILED = 0x64,
    MQDMA_Q_EVENTS = 0x68,
    MQDMA_Q_INTERRUPTS = 0x6c,
    MQDMA_Q_BYTES_LO = 0x70,
    MQDMA_Q_BYTES_HI = 0x74,
};

/* MQDMA_Q_CONTROL */
enum mqdma_queue_control {
    MQDMA_Q_CONTROL_ENABLE = 0x01,
    MQDMA_Q_CONTROL_RESET = 0x02,           /* clears itself */
    MQDMA_Q_CONTROL_ABORT = 0x04,           /* clears itself */
};

/* MQDMA_Q_STATUS */
enum mqdma_queue_status {
    MQDMA_Q_STATUS_STATE_MASK = 0x0000000f, /* enum mqdma_queue_state */
    MQDMA_Q_STATUS_ERROR_SHIFT = 8,
    MQDMA_Q_STATUS_ERROR_MASK = 0x0000ff00, /* enum mqdma_error */
    MQDMA_Q_STATUS_INFLIGHT_SHIFT = 16,
    MQDMA_Q_STATUS_INFLIGHT_MASK = 0x1fff0000,
};

enum mqdma_queue_state {
    MQDMA_STATE_DISABLED = 0,
    MQDMA_STATE_IDLE = 1,
    MQDMA_STATE_RUNNING = 2,
    MQDMA_STATE_ERROR = 3,
    MQDMA_STATE_HUNG = 4,
};

/* Why an access was refused or a queue stopped. */
enum mqdma_error {
    MQDMA_ERROR_NONE = 0,
    MQDMA_ERROR_OFFSET = 1,                 /* no register there */
    MQDMA_ERROR_SIZE = 2,                   /* access size or alignment */
    MQDMA_ERROR_READ_ONLY = 3,
    MQDMA_ERROR_VALUE = 4,                  /* value out of range */
    MQDMA_ERROR_BUSY = 5,                   /* not while the queue is enabled */
    MQDMA_ERROR_NOT_ENABLED = 6,            /* doorbell of a disabled queue */
    MQDMA_ERROR_RING_ORDER = 7,
    MQDMA_ERROR_RING_BASE = 8,              /* misaligned or outside BAR2 */
    MQDMA_ERROR_NO_BAR2 = 9,
    MQDMA_ERROR_SQ_TAIL = 10,
    MQDMA_ERROR_CQ_HEAD = 11,
    MQDMA_ERROR_FETCH = 12,                 /* descriptor not readable */
    MQDMA_ERROR_POST = 13,                  /* completion not writable */
    MQDMA_ERROR_HUNG = 14,                  /* the watchdog expired */
    MQDMA_ERROR_DESCRIPTOR = 15,            /* a completion says which */
    MQDMA_ERROR_DMA = 16,                   /* a completion says which */
};

/* MQDMA_Q_LOCATION: where the rings are; 0: bus address, 1: offset in BAR2 */
enum mqdma_location {
    MQDMA_LOCATION_SQ_BAR2 = 0x01,
    MQDMA_LOCATION_CQ_BAR2 = 0x02,
};

/* MQDMA_Q_LAST_EVENT, MQDMA_Q_LAST_TAKE */
enum mqdma_last_event {
    MQDMA_EVENT_COOKIE_MASK = 0x0000ffff,   /* the cookie's low 16 bits */
    MQDMA_EVENT_STATUS_SHIFT = 16,
    MQDMA_EVENT_STATUS_MASK = 0x00ff0000,   /* mqdma_status or mqdma_error */
    MQDMA_EVENT_KIND_SHIFT = 24,
    MQDMA_EVENT_KIND_MASK = 0x0f000000,     /* enum mqdma_event_kind */
    MQDMA_EVENT_LOST = 0x20000000,          /* untaken ones were overwritten */
    MQDMA_EVENT_VALID = 0x40000000,         /* not taken yet */
};

enum mqdma_event_kind {
    MQDMA_EVENT_NONE = 0,
    MQDMA_EVENT_COMPLETION = 1,             /* status: enum mqdma_status */
    MQDMA_EVENT_ERROR = 2,                  /* status: enum mqdma_error */
    MQDMA_EVENT_HUNG = 3,                   /* status: MQDMA_ERROR_HUNG */
    MQDMA_EVENT_RAISED = 4,                 /* by MQDMA_REG_INT_RAISE */
};

enum mqdma_opcode {
    MQDMA_OP_NOP = 0,
    MQDMA_OP_COPY = 1,                      /* src -> dst */
    MQDMA_OP_FILL = 2,                      /* pattern -> dst */
    MQDMA_OP_CRC32C = 3,                    /* result: CRC of src */
    MQDMA_OP_COMPARE = 4,                   /* src with dst */
    MQDMA_OP_DRIVE_READ = 5,                /* drive at src -> dst */
    MQDMA_OP_DRIVE_WRITE = 6,               /* src -> drive at dst */
    MQDMA_OP_COUNT = 7,
};

enum mqdma_descriptor_flags {
    MQDMA_DESC_SRC_BAR2 = 0x0001,           /* src is an offset in BAR2 */
    MQDMA_DESC_DST_BAR2 = 0x0002,           /* dst is an offset in BAR2 */
    MQDMA_DESC_FENCE = 0x0004,              /* wait for all before it */
    MQDMA_DESC_CRC = 0x0008,                /* result: CRC-32C of the data */
    MQDMA_DESC_NO_INTERRUPT = 0x0010,       /* no event, no interrupt */
    MQDMA_DESC_INTERRUPT_NOW = 0x0020,      /* do not coalesce */
    MQDMA_DESC_FLAGS_ALL = 0x003f,
};

/* How a descriptor ended. */
enum mqdma_status {
    MQDMA_STATUS_OK = 0,
    MQDMA_STATUS_BAD_OPCODE = 1,
    MQDMA_STATUS_BAD_FLAGS = 2,             /* or a reserved field not 0 */
    MQDMA_STATUS_BAD_LENGTH = 3,
    MQDMA_STATUS_BAD_ADDRESS = 4,           /* outside BAR2, or wraps */
    MQDMA_STATUS_BAD_DELAY = 5,
    MQDMA_STATUS_NO_BAR2 = 6,
    MQDMA_STATUS_DMA_ERROR = 7,
    MQDMA_STATUS_MISCOMPARE = 8,
    MQDMA_STATUS_NO_DRIVE = 9,
    MQDMA_STATUS_DRIVE_RANGE = 10,
    MQDMA_STATUS_DRIVE_READ_ONLY = 11,
    MQDMA_STATUS_DRIVE_ERROR = 12,
    MQDMA_STATUS_ABORTED = 13,
};

/* Entry of a submission ring, little endian, 64-byte aligned. */
struct mqdma_descriptor {
    uint8_t opcode;                         /* enum mqdma_opcode */
    uint8_t reserved0;
    uint16_t flags;                         /* enum mqdma_descriptor_flags */
    uint32_t length;                        /* bytes */
    uint64_t cookie;                        /* returned in the completion */
    uint64_t src;
    uint64_t dst;
    uint64_t param;                         /* fill pattern; CRC so far */
    uint64_t delay_ns;                      /* virtual time before it starts */
    uint64_t reserved1[2];
};

/* Entry of a completion ring, little endian, 32-byte aligned. */
struct mqdma_completion {
    uint64_t cookie;
    uint32_t result;                        /* CRC, or offset of a miscompare */
    uint32_t sequence;                      /* 0, 1, 2 ... per enable */
    uint16_t sq_head;
    uint16_t sq_index;                      /* slot of the descriptor */
    uint8_t opcode;
    uint8_t status;                         /* enum mqdma_status */
    uint16_t flags;                         /* enum mqdma_completion_flags */
    uint64_t clock_ns;                      /* virtual time of completion */
};

enum mqdma_completion_flags {
    MQDMA_COMPLETION_PHASE = 0x0001,        /* inverts with each lap; first 1 */
};

enum mqdma_sizes {
    MQDMA_DESCRIPTOR_SIZE = 64,
    MQDMA_COMPLETION_SIZE = 32,
};

#ifndef MQDMA_CFFI
_Static_assert(sizeof(struct mqdma_descriptor) == MQDMA_DESCRIPTOR_SIZE,
               "layout of struct mqdma_descriptor");
_Static_assert(sizeof(struct mqdma_completion) == MQDMA_COMPLETION_SIZE,
               "layout of struct mqdma_completion");
#endif

#endif /* MQDMA_REGS_H */
