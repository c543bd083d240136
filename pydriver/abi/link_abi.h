/* SPDX-License-Identifier: MIT */
/*
 * The link between the guest and its controller: one mailbox for each vCPU,
 * in guest RAM, found through the ELF symbol "link_control".
 *
 * The guest includes this file, the host's C code includes it, and cffi parses
 * it; at start-up the controller compares the layouts with the guest's DWARF.
 *
 * Writers. Every 64-byte line below has exactly one writer, named in
 * its comment; each counter is a sequence number of that writer alone, so
 * that no access needs to be an atomic read-modify-write. The counters are
 * never reset: both sides compare for (in)equality.
 *
 * Upcalls. The guest fills mailbox.frames[depth] and the mailbox's first line,
 * and increments events last. It keeps interrupts disabled until the host has
 * posted the first command of that frame; hence at most one upcall of a vCPU
 * is unanswered at any time, and the host never misses an inner one.
 *
 * Commands. The host fills the next slot of frame.ring and stores its sequence
 * number last; the guest executes in order. What the host waits for is one
 * cache line that moves: the slot with its sequence number on the way there,
 * the mailbox's first line on the way back.
 *
 * A command of an interrupted frame, however far out, that is already posted
 * when the inner frame's first command arrives is executed before it, if it is
 * plain (LINK_OP_FIRST_BOUND and above wait for their own frame to resume):
 * program order of the controller is the order of the bus accesses. The host
 * goes on with the outer frame when mailbox.depth says that the inner one is
 * over.
 *
 * Sleeping. A side that is about to sleep stores its flag, executes a full
 * fence, and looks once more; the other side stores its sequence number,
 * executes a full fence, and then reads the flag.
 *
 * One thread. With fewer host processors than vCPUs and their host threads
 * want, QEMU runs the vCPUs in turn (-accel tcg,thread=single). One that waits
 * gives way to the others by PAUSE, which ends its turn.
 */
#ifndef PYDRIVER_LINK_ABI_H
#define PYDRIVER_LINK_ABI_H

#ifndef LINK_CFFI
#include <stdint.h>
#endif

enum link_limits {
    LINK_MAGIC = 0x4b4c4450, /* "PDLK" */
    LINK_VERSION = 1,
    LINK_MAX_CPUS = 8,
    LINK_MAX_DEPTH = 16,
    LINK_RING = 16,
    LINK_BLOCK_BYTES = 4096,
    LINK_HANDLER_SERVICE = 256, /* after the vectors */
    LINK_HANDLERS = 257,
    /* Posted commands are announced this often, for a host that waits for room */
    LINK_ANNOUNCE = 8,
};

enum link_upcall {
    LINK_UPCALL_NONE = 0,
    LINK_UPCALL_IDLE = 1,      /* depth 0: the processor is at PASSIVE_LEVEL */
    LINK_UPCALL_INTERRUPT = 2, /* vector V arrived; CR8 is now V >> 4 */
    LINK_UPCALL_SOFTWARE = 3,  /* LINK_VECTOR_DISPATCH; already EOIed */
    LINK_UPCALL_EXCEPTION = 4, /* vector < 32; frame.registers is complete */
    LINK_UPCALL_SERVICE = 5,   /* guest code calls the framework */
};

/*
 * An interrupt's IRQL is its vector >> 4, as on x64 Windows. Class 15 wakes a
 * processor that sleeps in an unanswered upcall (at CR8 = 14).
 */
enum link_vector {
    LINK_VECTOR_DISPATCH = 0x2f,
    LINK_VECTOR_FIRST_DEVICE = 0x30,
    LINK_VECTOR_LAST_DEVICE = 0xbf,
    LINK_VECTOR_IPI = 0xe1,
    LINK_VECTOR_WAKE = 0xf1,
    LINK_VECTOR_SPURIOUS = 0xff,
};

enum link_op {
    LINK_OP_NOP = 0,
    LINK_OP_READ = 1,        /* value = *(width *)address */
    LINK_OP_WRITE = 2,       /* *(width *)address = value */
    LINK_OP_READ_BLOCK = 3,  /* count elements into mailbox.block */
    LINK_OP_WRITE_BLOCK = 4, /* count elements from mailbox.block */
    LINK_OP_IN = 5,          /* port I/O, widths 1, 2, 4 */
    LINK_OP_OUT = 6,
    LINK_OP_RDMSR = 7, /* address is the MSR's number */
    LINK_OP_WRMSR = 8,
    LINK_OP_IPI = 9, /* address = APIC id, value = ICR low word */
    LINK_OP_EOI = 10,
    LINK_OP_FIRST_BOUND = 11,
    LINK_OP_GET_CR8 = 11,
    LINK_OP_SET_CR8 = 12, /* value = IRQL */
    LINK_OP_CALL = 13,    /* value = function(address)(args[0..3]) */
    LINK_OP_RETURN = 14,  /* flags: enum link_return */
};

enum link_return {
    LINK_RETURN_EOI = 1,      /* end of interrupt, after CR8 was restored */
    LINK_RETURN_DISPATCH = 2, /* request the software interrupt at DISPATCH */
};

enum link_status {
    LINK_STATUS_OK = 0,
    LINK_STATUS_FAULT = 1,   /* value = vector << 32 | error code */
    LINK_STATUS_INVALID = 2, /* unknown operation, width or count */
};

struct link_command {
    uint16_t op;
    uint8_t width; /* bytes of one access: 1, 2, 4, 8 */
    uint8_t flags;
    uint32_t sequence; /* 1, 2, 3 ... in each frame; stored last */
    uint64_t address;  /* guest-physical, or port, MSR, APIC id */
    uint64_t value;    /* in and out */
    uint64_t args[4];
    uint32_t count;  /* elements of a block */
    uint32_t status; /* out: enum link_status */
};

/* Interrupted state: the order of the trap stub's pushes. */
struct link_registers {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error_code;
    uint64_t rip, cs, rflags, rsp, ss;
    uint64_t cr0, cr2, cr3, cr4, cr8;
};

struct link_frame {
    /* line 0, the guest's: written once per upcall, but for done and level */
    uint32_t done;    /* commands executed in this frame */
    uint32_t kind;    /* enum link_upcall */
    uint32_t vector;  /* as delivered; or the service's number */
    uint32_t cr8;     /* CR8 read in the handler, before it was raised */
    uint64_t rip;     /* of the interrupted instruction */
    uint32_t level;   /* CR8 as read back, now: the frame's code's IRQL */
    uint32_t apic_id; /* of the processor that runs the handler */
    uint64_t reserved0[4];
    /* line 1, the host's */
    uint32_t posted; /* commands posted to this frame */
    uint32_t reserved1[15];
    /* host's, but for value and status, which the guest writes before done */
    struct link_command ring[LINK_RING];
    /* the guest's, for exceptions */
    struct link_registers registers;
    uint64_t reserved2[5];
};

struct link_mailbox {
    /* line 0, the guest's: all of it about frames[depth], events last */
    uint32_t events;  /* incremented after a change that the host waits for */
    uint32_t upcalls; /* upcalls published */
    uint32_t depth;   /* index of the innermost frame */
    uint32_t done;    /* its done */
    uint32_t handler; /* its vector, or LINK_HANDLER_SERVICE */
    uint32_t level;   /* its level */
    uint32_t status;  /* of its last command */
    uint32_t reserved0;
    uint64_t value; /* of its last command */
    uint64_t reserved1[3];
    /* line 1, the guest's: seldom written */
    uint32_t asleep; /* the processor is about to HLT, or in it */
    uint32_t online;
    uint32_t apic_id;
    uint32_t write_faults; /* posted writes that faulted */
    uint64_t write_fault_address;
    uint64_t halts; /* times that it went to sleep */
    uint64_t reserved2[4];
    /* line 2, the host's */
    uint32_t await_upcall; /* the service thread sleeps until upcalls changes */
    uint32_t await_done;   /* the owner sleeps until events changes */
    uint32_t spin;         /* TSC ticks to spin before HLT */
    uint32_t reserved3[13];
    /* line 3, the host's: how the guest rings the host */
    uint64_t doorbell;    /* address of a 32-bit register; 0 = never sleep */
    uint32_t ring_upcall; /* what to write there for await_upcall */
    uint32_t ring_done;   /* the same for await_done */
    uint32_t reserved4[12];
    uint8_t block[LINK_BLOCK_BYTES];
    struct link_frame frames[LINK_MAX_DEPTH];
};

struct link_control {
    /* line 0, the guest's */
    uint32_t magic; /* LINK_MAGIC once the boot processor runs */
    uint32_t version;
    uint32_t x2apic; /* non-zero: local APICs are in x2APIC mode */
    uint32_t reserved0[13];
    /* line 1, the host's: written when magic is seen, processors last */
    uint32_t processors; /* to start, 1..LINK_MAX_CPUS; 0 = wait */
    uint32_t one_thread; /* QEMU runs all vCPUs in turn, on one thread */
    uint32_t reserved1[14];
    struct link_mailbox mailboxes[LINK_MAX_CPUS];
};

#endif
