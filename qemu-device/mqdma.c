/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mqdma: a multi-queue DMA engine to exercise interrupt servicing
 *
 * Copyright (c) 2026 the pydriver authors
 *
 * mqdma.md beside this file is the specification.
 *
 * Everything here runs under the big QEMU lock: register accesses, bottom
 * halves, timers, block completions and property accesses never overlap.
 * Re-entrance can happen, by a message whose address is one of our own
 * registers; mqdma_send() holds ->sending around the only way out.
 *
 * An operation (MqdmaOp) belongs to one queue and is on exactly one of its
 * three lists from the fetch of its descriptor to its completion: ->delayed
 * (ordered by ->due), ->ready (the engine works on the first one) or ->drive
 * (the block layer works on it).  A reset takes all of them away; what the
 * block layer still holds is left to its callback with ->queue == NULL.
 * The engine reserves a completion slot before it fetches, so a completion
 * always has room.
 */
#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/crc32c.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/memalign.h"
#include "qemu/module.h"
#include "qemu/queue.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "migration/vmstate.h"
#include "qom/object.h"
#include "mqdma-compat.h"
#include "mqdma_regs.h"
#include "trace.h"

#define TYPE_MQDMA "mqdma"
OBJECT_DECLARE_SIMPLE_TYPE(MqdmaState, MQDMA)

/*
 * The engine's work in one go, before the bottom half takes over: 16 short
 * descriptors (the fetch is a step, and so is each chunk), or 256 KiB.
 */
#define MQDMA_BUDGET_STEPS 32
#define MQDMA_BUDGET_BYTES (256 * KiB)

#define MQDMA_CHUNK (64 * KiB)
#define MQDMA_DRIVE_CHUNK (256 * KiB)
#define MQDMA_DRIVE_DEPTH 4

#define MQDMA_MSI_VECTORS_MAX 32
#define MQDMA_MSIX_VECTORS_AUTO UINT32_MAX

#define MQDMA_QUEUE_ALL (-1)

typedef struct MqdmaQueue MqdmaQueue;

/* Where the block layer stands with an operation. */
enum {
    MQDMA_DRIVE_NONE,
    MQDMA_DRIVE_BUSY,
    MQDMA_DRIVE_DONE,
};

typedef struct MqdmaOp {
    QTAILQ_ENTRY(MqdmaOp) next;
    MqdmaQueue *queue;
    uint8_t opcode;
    bool aborted;
    uint16_t flags;
    uint16_t sq_index;
    uint32_t length;
    uint32_t done;              /* bytes, always whole chunks but the last */
    uint32_t crc;               /* running, inverted */
    uint64_t cookie;
    uint64_t src;
    uint64_t dst;
    uint64_t param;
    uint64_t due;               /* virtual ns */

    /* Not migrated: a chunk on its way is done again. */
    uint8_t drive_state;
    int drive_ret;
    uint32_t drive_length;
    uint8_t *buf;
    QEMUIOVector qiov;
} MqdmaOp;

typedef QTAILQ_HEAD(, MqdmaOp) MqdmaOpList;

struct MqdmaQueue {
    MqdmaState *s;
    uint32_t index;

    bool enabled;
    bool aborting;              /* descriptors up to abort_tail are aborted */
    uint8_t error;
    uint8_t phase;
    uint32_t order;
    uint32_t location;
    uint64_t sq_base;
    uint64_t cq_base;
    uint32_t sq_head;
    uint32_t sq_tail;
    uint32_t cq_head;
    uint32_t cq_tail;
    uint32_t abort_tail;
    uint32_t sequence;

    uint32_t vector;
    uint32_t coalesce_count;
    uint32_t coalesce_us;
    uint32_t watchdog_us;
    uint32_t coalesced;         /* completions whose interrupt is held back */
    uint64_t progress;          /* virtual ns of the last one */

    uint32_t last_event;
    uint64_t last_cookie;
    uint32_t last_result;
    uint32_t last_sequence;
    uint32_t overrun;

    uint32_t completed;
    uint32_t failed;
    uint32_t events;
    uint32_t interrupts;
    uint64_t bytes;

    MqdmaOpList ready;
    MqdmaOpList delayed;
    MqdmaOpList drive;
    uint32_t inflight;          /* on the three lists */
    uint32_t drive_depth;       /* on ->drive */
    QEMUBH *bh;
    QEMUTimer delay_timer;
    QEMUTimer coalesce_timer;
    QEMUTimer watchdog_timer;
};

struct MqdmaState {
    PCIDevice parent_obj;

    MemoryRegion registers;
    MemoryRegion shared;        /* BAR2: shared_ram, over all ones */
    MemoryRegion shared_ram;
    MemoryRegion msix_bar;
    MemoryRegion msix_dead;     /* hides the table when the device is gone */
    uint8_t *shared_ptr;
    uint64_t shared_size;
    uint8_t *chunk[2];
    VMChangeStateEntry *vm_state;
    uint8_t pm_cap;
    bool realized;
    bool sending;
    bool d3hot;

    /* properties */
    uint32_t num_queues;
    uint32_t msi_vectors;
    uint32_t msix_vectors;
    HostMemoryBackend *memdev;
    BlockBackend *blk;

    bool enabled;
    bool error;
    uint8_t error_code;
    bool intx_level;
    bool spurious_level;        /* INTx without a cause, until CAUSE is read */
    bool owed_global;
    uint64_t cause;
    uint64_t mask;
    uint64_t owed;              /* messages that could not be sent yet */
    uint32_t cause_global;
    uint32_t mask_global;
    uint32_t global_vector;
    uint32_t scratch[2];
    uint32_t clock_high;
    uint32_t err_access;
    uint32_t err_descriptor;
    uint32_t err_dma;
    uint32_t err_queue;
    uint32_t messages;
    uint32_t intx_asserted;
    uint32_t dropped;
    uint32_t bad_offset;

    /* faults */
    int32_t fault_queue;
    uint32_t fault_lost;
    uint32_t fault_corrupt;
    uint32_t fault_dma;
    uint32_t storm_queue;
    uint32_t storm_period_us;
    uint32_t storm_count;
    uint64_t hung;
    bool stuck;
    bool removed;
    QEMUTimer storm_timer;

    MqdmaQueue queue[MQDMA_MAX_QUEUES];
};

/* What an operation works on. */
static const struct {
    bool src;                   /* src is memory */
    bool dst;                   /* dst is memory */
    bool drive;
    bool crc;                   /* MQDMA_DESC_CRC makes sense */
} mqdma_traits[MQDMA_OP_COUNT] = {
    [MQDMA_OP_NOP] = { },
    [MQDMA_OP_COPY] = { .src = true, .dst = true, .crc = true },
    [MQDMA_OP_FILL] = { .dst = true, .crc = true },
    [MQDMA_OP_CRC32C] = { .src = true, .crc = true },
    [MQDMA_OP_COMPARE] = { .src = true, .dst = true },
    [MQDMA_OP_DRIVE_READ] = { .dst = true, .drive = true, .crc = true },
    [MQDMA_OP_DRIVE_WRITE] = { .src = true, .drive = true, .crc = true },
};

static uint64_t mqdma_now(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

/* Takes one from a counting fault that is armed for this queue. */
static bool mqdma_fault_take(MqdmaQueue *q, uint32_t *count, const char *name)
{
    MqdmaState *s = q->s;

    if (likely(!*count) || (s->fault_queue != MQDMA_QUEUE_ALL &&
                            s->fault_queue != (int32_t)q->index)) {
        return false;
    }
    (*count)--;
    trace_mqdma_fault(name, *count);
    return true;
}

/*
 * Interrupts
 */

static unsigned mqdma_int_mode(MqdmaState *s)
{
    PCIDevice *pdev = PCI_DEVICE(s);

    if (msix_enabled(pdev)) {
        return MQDMA_INT_MODE_MSIX;
    }
    return msi_enabled(pdev) ? MQDMA_INT_MODE_MSI : MQDMA_INT_MODE_INTX;
}

static void mqdma_update_intx(MqdmaState *s)
{
    bool level = (s->cause & ~s->mask) ||
                 (s->cause_global & ~s->mask_global) ||
                 s->spurious_level || s->stuck;

    level = level && !s->d3hot && !s->removed &&
            mqdma_int_mode(s) == MQDMA_INT_MODE_INTX;
    if (level != s->intx_level) {
        trace_mqdma_intx(level);
        s->intx_level = level;
        s->intx_asserted += level;
        pci_set_irq(PCI_DEVICE(s), level);
    }
}

/*
 * Send a message, or bring INTx up to date.  Returns false when the message
 * cannot leave the device now.
 */
static bool mqdma_send(MqdmaState *s, unsigned vector)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    unsigned mode = mqdma_int_mode(s);

    if (mode == MQDMA_INT_MODE_INTX) {
        mqdma_update_intx(s);
        return true;
    }
    if (s->d3hot || s->removed || s->sending ||
        !(pci_get_word(pdev->config + PCI_COMMAND) & PCI_COMMAND_MASTER)) {
        trace_mqdma_interrupt_owed(vector);
        return false;
    }
    s->messages++;
    s->sending = true;
    if (mode == MQDMA_INT_MODE_MSIX) {
        vector %= s->msix_vectors;
        trace_mqdma_message(mode, vector);
        msix_notify(pdev, vector);
    } else {
        vector %= msi_nr_vectors_allocated(pdev);
        trace_mqdma_message(mode, vector);
        msi_notify(pdev, vector);
    }
    s->sending = false;
    return true;
}

/* Send what was masked or could not be sent when it was due. */
static void mqdma_send_owed(MqdmaState *s)
{
    uint64_t due = s->owed & ~s->mask;

    while (due) {
        unsigned n = ctz64(due);

        due &= due - 1;
        if (mqdma_send(s, s->queue[n].vector)) {
            s->owed &= ~BIT_ULL(n);
        }
    }
    if (s->owed_global && (s->cause_global & ~s->mask_global) &&
        mqdma_send(s, s->global_vector)) {
        s->owed_global = false;
    }
    mqdma_update_intx(s);
}

static void mqdma_interrupt_global(MqdmaState *s, uint32_t cause)
{
    bool masked = !(cause & ~s->mask_global);

    trace_mqdma_interrupt(-1, masked);
    s->cause_global |= cause;
    if (masked || !mqdma_send(s, s->global_vector)) {
        s->owed_global = true;
    }
}

static void mqdma_queue_interrupt(MqdmaQueue *q)
{
    MqdmaState *s = q->s;
    uint64_t bit = BIT_ULL(q->index);

    if (mqdma_fault_take(q, &s->fault_lost, "fault-lost")) {
        s->dropped++;
        return;
    }
    trace_mqdma_interrupt(q->index, s->mask & bit);
    q->interrupts++;
    s->cause |= bit;
    if ((s->mask & bit) || !mqdma_send(s, q->vector)) {
        s->owed |= bit;
    }
}

/* The driver has seen these causes: they are owed no more. */
static void mqdma_ack(MqdmaState *s, uint64_t queues, uint32_t global)
{
    s->cause &= ~queues;
    s->owed &= ~queues;
    s->cause_global &= ~global;
    if (!s->cause_global) {
        s->owed_global = false;
    }
    s->spurious_level = false;
    mqdma_update_intx(s);
}

/*
 * Errors
 */

static void mqdma_error(MqdmaState *s, unsigned error, uint32_t cause)
{
    s->error = true;
    s->error_code = error;
    mqdma_interrupt_global(s, cause);
}

static void mqdma_bad_access(MqdmaState *s, hwaddr addr, unsigned size,
                             unsigned error)
{
    qemu_log_mask(LOG_GUEST_ERROR, "mqdma: bad access to register 0x%05"
                  HWADDR_PRIx ", %u bytes: error %u\n", addr, size, error);
    trace_mqdma_bad_access(addr, size, error);
    s->err_access++;
    s->bad_offset = addr;
    mqdma_error(s, error, MQDMA_GLOBAL_BAD_ACCESS);
}

/* An event overwrites the one before if no read took that: by design. */
static void mqdma_event(MqdmaQueue *q, unsigned kind, unsigned status,
                        uint64_t cookie, uint32_t result)
{
    bool overrun = q->last_event & MQDMA_EVENT_VALID;

    q->events++;
    q->overrun += overrun;
    q->last_event = MQDMA_EVENT_VALID |
                    (overrun ? MQDMA_EVENT_LOST : 0) |
                    kind << MQDMA_EVENT_KIND_SHIFT |
                    status << MQDMA_EVENT_STATUS_SHIFT |
                    (cookie & MQDMA_EVENT_COOKIE_MASK);
    q->last_cookie = cookie;
    q->last_result = result;
    q->last_sequence = q->events;
    trace_mqdma_event(q->index, kind, status, q->events, overrun);
}

static void mqdma_event_take(MqdmaQueue *q)
{
    q->last_event &= ~(MQDMA_EVENT_VALID | MQDMA_EVENT_LOST);
}

static void mqdma_queue_stop_timers(MqdmaQueue *q)
{
    timer_del(&q->delay_timer);
    timer_del(&q->coalesce_timer);
    timer_del(&q->watchdog_timer);
}

/* The queue stops until it is reset; what it has in flight stays there. */
static void mqdma_queue_error(MqdmaQueue *q, unsigned error)
{
    MqdmaState *s = q->s;

    qemu_log_mask(LOG_GUEST_ERROR, "mqdma: queue %u stops: error %u\n",
                  q->index, error);
    trace_mqdma_queue_error(q->index, error);
    q->error = error;
    s->err_queue++;
    mqdma_queue_stop_timers(q);
    q->coalesced = 0;
    mqdma_event(q, error == MQDMA_ERROR_HUNG ? MQDMA_EVENT_HUNG
                                             : MQDMA_EVENT_ERROR, error, 0, 0);
    mqdma_queue_interrupt(q);
    mqdma_error(s, error, MQDMA_GLOBAL_QUEUE_ERROR);
}

/*
 * Memory
 */

static bool mqdma_in_shared(MqdmaState *s, uint64_t offset, uint64_t len)
{
    return offset <= s->shared_size && len <= s->shared_size - offset;
}

/* Bus mastering reaches RAM only: never our own or a peer's registers. */
static bool mqdma_bus_rw(MqdmaState *s, uint64_t addr, void *buf,
                         uint64_t len, DMADirection dir)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    MemTxAttrs attrs = {
        .memory = 1,
        .requester_id = pci_requester_id(pdev),
    };

    return pci_dma_rw(pdev, addr, buf, len, dir, attrs) == MEMTX_OK;
}

static bool mqdma_mem_read(MqdmaState *s, bool shared, uint64_t addr,
                           void *buf, uint64_t len)
{
    if (!shared) {
        return mqdma_bus_rw(s, addr, buf, len, DMA_DIRECTION_TO_DEVICE);
    }
    memcpy(buf, s->shared_ptr + addr, len);
    return true;
}

static bool mqdma_mem_write(MqdmaState *s, bool shared, uint64_t addr,
                            const void *buf, uint64_t len)
{
    if (!shared) {
        return mqdma_bus_rw(s, addr, (void *)buf, len,
                            DMA_DIRECTION_FROM_DEVICE);
    }
    memmove(s->shared_ptr + addr, buf, len);
    memory_region_set_dirty(host_memory_backend_get_memory(s->memdev), addr,
                            len);
    return true;
}

/* A pointer to len bytes, in place or copied to a chunk buffer. */
static const uint8_t *mqdma_mem_get(MqdmaState *s, bool shared, uint64_t addr,
                                    unsigned chunk, uint64_t len)
{
    if (shared) {
        return s->shared_ptr + addr;
    }
    return mqdma_mem_read(s, false, addr, s->chunk[chunk], len)
           ? s->chunk[chunk] : NULL;
}

/*
 * Rings
 */

static uint32_t mqdma_entries(const MqdmaQueue *q)
{
    return 1U << q->order;
}

static uint32_t mqdma_distance(const MqdmaQueue *q, uint32_t from, uint32_t to)
{
    return (to - from) & (mqdma_entries(q) - 1);
}

static bool mqdma_queue_pending(const MqdmaQueue *q)
{
    return q->enabled && !q->error &&
           (q->inflight || q->sq_head != q->sq_tail);
}

static bool mqdma_can_run(MqdmaState *s)
{
    return s->enabled && !s->d3hot && !s->removed && runstate_is_running();
}

static void mqdma_queue_kick(MqdmaQueue *q)
{
    if (mqdma_queue_pending(q)) {
        qemu_bh_schedule(q->bh);
    }
}

static void mqdma_kick_all(MqdmaState *s)
{
    for (unsigned n = 0; n < s->num_queues; n++) {
        mqdma_queue_kick(&s->queue[n]);
    }
}

static void mqdma_op_free(MqdmaOp *op)
{
    if (op->buf) {
        qemu_iovec_destroy(&op->qiov);
        qemu_vfree(op->buf);
    }
    g_free(op);
}

static void mqdma_list_free(MqdmaOpList *list)
{
    MqdmaOp *op;

    while ((op = QTAILQ_FIRST(list))) {
        QTAILQ_REMOVE(list, op, next);
        mqdma_op_free(op);
    }
}

static void mqdma_queue_drop(MqdmaQueue *q)
{
    MqdmaOp *op;

    mqdma_list_free(&q->ready);
    mqdma_list_free(&q->delayed);
    while ((op = QTAILQ_FIRST(&q->drive))) {
        QTAILQ_REMOVE(&q->drive, op, next);
        op->queue = NULL;
    }
    q->inflight = 0;
    q->drive_depth = 0;
    mqdma_queue_stop_timers(q);
    qemu_bh_cancel(q->bh);
}

/* Stops the queue and forgets its descriptors; the configuration stays. */
static void mqdma_queue_stop(MqdmaQueue *q)
{
    MqdmaState *s = q->s;

    trace_mqdma_queue_reset(q->index);
    mqdma_queue_drop(q);
    q->enabled = false;
    q->aborting = false;
    q->error = MQDMA_ERROR_NONE;
    q->phase = 1;
    q->sq_head = q->sq_tail = 0;
    q->cq_head = q->cq_tail = 0;
    q->sequence = 0;
    q->coalesced = 0;
    q->last_event = 0;
    q->last_cookie = 0;
    q->last_result = 0;
    q->last_sequence = 0;
    s->hung &= ~BIT_ULL(q->index);
    s->cause &= ~BIT_ULL(q->index);
    s->owed &= ~BIT_ULL(q->index);
    mqdma_update_intx(s);
}

static unsigned mqdma_ring_check(MqdmaQueue *q, uint64_t base, bool shared,
                                 unsigned entry)
{
    uint64_t size = (uint64_t)entry << q->order;

    if (shared && !q->s->shared_ptr) {
        return MQDMA_ERROR_NO_BAR2;
    }
    if (base % entry || base + size < base ||
        (shared && !mqdma_in_shared(q->s, base, size))) {
        return MQDMA_ERROR_RING_BASE;
    }
    return MQDMA_ERROR_NONE;
}

static void mqdma_queue_enable(MqdmaQueue *q)
{
    unsigned error;

    if (q->order < MQDMA_MIN_ORDER || q->order > MQDMA_MAX_ORDER) {
        error = MQDMA_ERROR_RING_ORDER;
    } else {
        error = mqdma_ring_check(q, q->sq_base,
                                 q->location & MQDMA_LOCATION_SQ_BAR2,
                                 MQDMA_DESCRIPTOR_SIZE);
        if (!error) {
            error = mqdma_ring_check(q, q->cq_base,
                                     q->location & MQDMA_LOCATION_CQ_BAR2,
                                     MQDMA_COMPLETION_SIZE);
        }
    }
    q->enabled = true;
    if (error) {
        mqdma_queue_error(q, error);
        return;
    }
    trace_mqdma_queue_enable(q->index, mqdma_entries(q), q->sq_base,
                             q->cq_base);
}

/* The clock of the watchdog starts when an idle queue is given work. */
static void mqdma_watchdog_arm(MqdmaQueue *q, bool was_idle)
{
    if (likely(!q->watchdog_us)) {
        return;
    }
    if (was_idle) {
        q->progress = mqdma_now();
    }
    if (mqdma_queue_pending(q) && !timer_pending(&q->watchdog_timer)) {
        timer_mod(&q->watchdog_timer,
                  q->progress + q->watchdog_us * (uint64_t)SCALE_US);
    }
}

static void mqdma_watchdog_expired(void *opaque)
{
    MqdmaQueue *q = opaque;
    uint64_t now = mqdma_now();
    uint64_t limit = q->watchdog_us * (uint64_t)SCALE_US;

    if (!q->watchdog_us || !mqdma_queue_pending(q)) {
        return;
    }
    if (!mqdma_can_run(q->s)) {
        q->progress = now;
    }
    if (now - q->progress >= limit) {
        mqdma_queue_error(q, MQDMA_ERROR_HUNG);
    } else {
        timer_mod(&q->watchdog_timer, q->progress + limit);
    }
}

/*
 * Completions
 */

/* One interrupt for all completions that were held back. */
static void mqdma_queue_flush(MqdmaQueue *q)
{
    if (!q->coalesced) {
        return;
    }
    q->coalesced = 0;
    if (timer_pending(&q->coalesce_timer)) {
        timer_del(&q->coalesce_timer);
    }
    mqdma_queue_interrupt(q);
}

static void mqdma_coalesce_expired(void *opaque)
{
    mqdma_queue_flush(opaque);
}

static void mqdma_queue_notify(MqdmaQueue *q, bool now_please, uint64_t now)
{
    q->coalesced++;
    if (now_please ||
        (q->coalesce_count && q->coalesced >= q->coalesce_count) ||
        (!q->coalesce_count && !q->coalesce_us)) {
        mqdma_queue_flush(q);
        return;
    }
    trace_mqdma_coalesce(q->index, q->coalesced);
    if (q->coalesce_us && !timer_pending(&q->coalesce_timer)) {
        timer_mod(&q->coalesce_timer,
                  now + q->coalesce_us * (uint64_t)SCALE_US);
    }
}

/*
 * The entry is written with the phase of the lap before, then the word that
 * holds the phase, so that a reader that sees the phase sees all of the entry.
 */
static bool mqdma_post(MqdmaQueue *q, struct mqdma_completion *cqe)
{
    MqdmaState *s = q->s;
    bool shared = q->location & MQDMA_LOCATION_CQ_BAR2;
    uint64_t addr = q->cq_base +
                    (uint64_t)q->cq_tail * MQDMA_COMPLETION_SIZE;
    size_t word = offsetof(struct mqdma_completion, opcode);

    cqe->flags = cpu_to_le16(q->phase ^ MQDMA_COMPLETION_PHASE);
    if (!mqdma_mem_write(s, shared, addr, cqe, sizeof(*cqe))) {
        return false;
    }
    /* The entry before its phase. */
    smp_wmb();
    cqe->flags = cpu_to_le16(q->phase);
    return mqdma_mem_write(s, shared, addr + word, &cqe->opcode,
                           sizeof(uint32_t));
}

static void mqdma_count_status(MqdmaQueue *q, unsigned status)
{
    MqdmaState *s = q->s;

    q->failed++;
    switch (status) {
    case MQDMA_STATUS_BAD_OPCODE:
    case MQDMA_STATUS_BAD_FLAGS:
    case MQDMA_STATUS_BAD_LENGTH:
    case MQDMA_STATUS_BAD_ADDRESS:
    case MQDMA_STATUS_BAD_DELAY:
    case MQDMA_STATUS_NO_BAR2:
    case MQDMA_STATUS_NO_DRIVE:
    case MQDMA_STATUS_DRIVE_RANGE:
    case MQDMA_STATUS_DRIVE_READ_ONLY:
        qemu_log_mask(LOG_GUEST_ERROR, "mqdma: queue %u: bad descriptor: "
                      "status %u\n", q->index, status);
        s->err_descriptor++;
        mqdma_error(s, MQDMA_ERROR_DESCRIPTOR, MQDMA_GLOBAL_BAD_DESCRIPTOR);
        break;
    case MQDMA_STATUS_DMA_ERROR:
        s->err_dma++;
        mqdma_error(s, MQDMA_ERROR_DMA, MQDMA_GLOBAL_DMA_ERROR);
        break;
    default:
        break;
    }
}

/* Posts the completion of an operation that is on no list, and frees it. */
static void mqdma_complete(MqdmaQueue *q, MqdmaOp *op, unsigned status,
                           uint32_t result)
{
    uint64_t now = mqdma_now();
    bool corrupt = mqdma_fault_take(q, &q->s->fault_corrupt, "fault-corrupt");
    struct mqdma_completion cqe = {
        .cookie = cpu_to_le64(corrupt ? ~op->cookie : op->cookie),
        .result = cpu_to_le32(corrupt ? ~result : result),
        .sequence = cpu_to_le32(q->sequence++),
        .sq_head = cpu_to_le16(q->sq_head),
        .sq_index = cpu_to_le16(op->sq_index),
        .opcode = op->opcode,
        .status = status,
        .clock_ns = cpu_to_le64(now),
    };
    uint16_t flags = op->flags;
    uint64_t cookie = op->cookie;

    trace_mqdma_complete(q->index, op->sq_index, status, result, q->cq_tail);
    mqdma_op_free(op);
    q->inflight--;
    q->progress = now;
    if (!mqdma_post(q, &cqe)) {
        q->s->err_dma++;
        mqdma_queue_error(q, MQDMA_ERROR_POST);
        return;
    }
    q->cq_tail = (q->cq_tail + 1) & (mqdma_entries(q) - 1);
    if (!q->cq_tail) {
        q->phase ^= MQDMA_COMPLETION_PHASE;
    }
    q->completed++;
    if (status != MQDMA_STATUS_OK) {
        mqdma_count_status(q, status);
    }
    if (!(flags & MQDMA_DESC_NO_INTERRUPT)) {
        mqdma_event(q, MQDMA_EVENT_COMPLETION, status, cookie, result);
        mqdma_queue_notify(q, flags & MQDMA_DESC_INTERRUPT_NOW, now);
    }
}

/*
 * Descriptors
 */

static unsigned mqdma_check_memory(MqdmaState *s, bool shared, uint64_t addr,
                                   uint32_t length)
{
    if (shared && !s->shared_ptr) {
        return MQDMA_STATUS_NO_BAR2;
    }
    if (shared ? !mqdma_in_shared(s, addr, length) : addr + length < addr) {
        return MQDMA_STATUS_BAD_ADDRESS;
    }
    return MQDMA_STATUS_OK;
}

static unsigned mqdma_check_drive(MqdmaState *s, const MqdmaOp *op)
{
    bool write = op->opcode == MQDMA_OP_DRIVE_WRITE;
    uint64_t offset = write ? op->dst : op->src;
    int64_t size;

    if (!s->blk) {
        return MQDMA_STATUS_NO_DRIVE;
    }
    if (op->length % MQDMA_DRIVE_SECTOR) {
        return MQDMA_STATUS_BAD_LENGTH;
    }
    size = blk_getlength(s->blk);
    if (size < 0 || offset % MQDMA_DRIVE_SECTOR || offset > (uint64_t)size ||
        op->length > size - offset) {
        return MQDMA_STATUS_DRIVE_RANGE;
    }
    if (write && !blk_supports_write_perm(s->blk)) {
        return MQDMA_STATUS_DRIVE_READ_ONLY;
    }
    return MQDMA_STATUS_OK;
}

static unsigned mqdma_check(MqdmaState *s, const MqdmaOp *op,
                            const struct mqdma_descriptor *desc)
{
    unsigned status = MQDMA_STATUS_OK;

    if (op->opcode >= MQDMA_OP_COUNT) {
        return MQDMA_STATUS_BAD_OPCODE;
    }
    if (desc->reserved0 || desc->reserved1[0] || desc->reserved1[1] ||
        (op->flags & ~MQDMA_DESC_FLAGS_ALL) ||
        ((op->flags & MQDMA_DESC_CRC) && !mqdma_traits[op->opcode].crc)) {
        return MQDMA_STATUS_BAD_FLAGS;
    }
    if (le64_to_cpu(desc->delay_ns) >
        (uint64_t)MQDMA_MAX_DELAY_MS * SCALE_MS) {
        return MQDMA_STATUS_BAD_DELAY;
    }
    if (op->opcode == MQDMA_OP_NOP ? op->length != 0
        : !op->length || op->length > MQDMA_MAX_TRANSFER) {
        return MQDMA_STATUS_BAD_LENGTH;
    }
    if (mqdma_traits[op->opcode].src) {
        status = mqdma_check_memory(s, op->flags & MQDMA_DESC_SRC_BAR2,
                                    op->src, op->length);
    }
    if (!status && mqdma_traits[op->opcode].dst) {
        status = mqdma_check_memory(s, op->flags & MQDMA_DESC_DST_BAR2,
                                    op->dst, op->length);
    }
    if (!status && mqdma_traits[op->opcode].drive) {
        status = mqdma_check_drive(s, op);
    }
    return status;
}

static void mqdma_delay_arm(MqdmaQueue *q)
{
    MqdmaOp *op = QTAILQ_FIRST(&q->delayed);

    if (op) {
        timer_mod(&q->delay_timer, op->due);
    } else if (timer_pending(&q->delay_timer)) {
        timer_del(&q->delay_timer);
    }
}

static void mqdma_delay(MqdmaQueue *q, MqdmaOp *op)
{
    MqdmaOp *at;

    trace_mqdma_delay(q->index, op->sq_index, op->due);
    QTAILQ_FOREACH_REVERSE(at, &q->delayed, next) {
        if (at->due <= op->due) {
            break;
        }
    }
    if (at) {
        QTAILQ_INSERT_AFTER(&q->delayed, at, op, next);
    } else {
        QTAILQ_INSERT_HEAD(&q->delayed, op, next);
        mqdma_delay_arm(q);
    }
}

static MqdmaOp *mqdma_op_new(MqdmaQueue *q, const struct mqdma_descriptor *desc)
{
    MqdmaOp *op = g_new0(MqdmaOp, 1);
    bool seeded;

    op->queue = q;
    op->sq_index = q->sq_head;
    op->opcode = desc->opcode;
    op->flags = le16_to_cpu(desc->flags);
    op->length = le32_to_cpu(desc->length);
    op->cookie = le64_to_cpu(desc->cookie);
    op->src = le64_to_cpu(desc->src);
    op->dst = le64_to_cpu(desc->dst);
    op->param = le64_to_cpu(desc->param);
    seeded = op->opcode != MQDMA_OP_FILL;
    op->crc = ~(seeded ? (uint32_t)op->param : 0);
    trace_mqdma_fetch(q->index, op->sq_index, op->opcode, op->flags,
                      op->length, op->cookie);
    return op;
}

/* Takes the next descriptor; returns false when there is none to take. */
static bool mqdma_fetch(MqdmaQueue *q)
{
    MqdmaState *s = q->s;
    struct mqdma_descriptor desc;
    MqdmaOp *op;
    unsigned status;

    if (q->sq_head == q->sq_tail ||
        mqdma_distance(q, q->cq_head, q->cq_tail) + q->inflight + 1 >=
        mqdma_entries(q)) {
        return false;
    }
    if (!mqdma_mem_read(s, q->location & MQDMA_LOCATION_SQ_BAR2,
                        q->sq_base +
                        (uint64_t)q->sq_head * MQDMA_DESCRIPTOR_SIZE,
                        &desc, sizeof(desc))) {
        s->err_dma++;
        mqdma_queue_error(q, MQDMA_ERROR_FETCH);
        return false;
    }
    if ((le16_to_cpu(desc.flags) & MQDMA_DESC_FENCE) && q->inflight &&
        !q->aborting) {
        return false;
    }
    op = mqdma_op_new(q, &desc);
    q->sq_head = (q->sq_head + 1) & (mqdma_entries(q) - 1);
    q->inflight++;
    if (q->aborting) {
        q->aborting = q->sq_head != q->abort_tail;
        mqdma_complete(q, op, MQDMA_STATUS_ABORTED, 0);
        return true;
    }
    status = mqdma_check(s, op, &desc);
    if (status) {
        mqdma_complete(q, op, status, 0);
    } else if (desc.delay_ns) {
        op->due = mqdma_now() + le64_to_cpu(desc.delay_ns);
        mqdma_delay(q, op);
    } else {
        QTAILQ_INSERT_TAIL(&q->ready, op, next);
    }
    return true;
}

/*
 * Operations
 */

static void mqdma_op_crc(MqdmaOp *op, const uint8_t *data, uint32_t len)
{
    if ((op->flags & MQDMA_DESC_CRC) || op->opcode == MQDMA_OP_CRC32C) {
        /* crc32c() inverts what it returns, not what it is given. */
        op->crc = ~crc32c(op->crc, data, len);
    }
}

static uint32_t mqdma_op_result(const MqdmaOp *op)
{
    if ((op->flags & MQDMA_DESC_CRC) || op->opcode == MQDMA_OP_CRC32C) {
        return ~op->crc;
    }
    return op->done;
}

static bool mqdma_op_write(MqdmaQueue *q, MqdmaOp *op, const uint8_t *data,
                           uint32_t len)
{
    return mqdma_mem_write(q->s, op->flags & MQDMA_DESC_DST_BAR2,
                           op->dst + op->done, data, len);
}

static const uint8_t *mqdma_op_read(MqdmaQueue *q, MqdmaOp *op, uint32_t len)
{
    return mqdma_mem_get(q->s, op->flags & MQDMA_DESC_SRC_BAR2,
                         op->src + op->done, 0, len);
}

static unsigned mqdma_op_copy(MqdmaQueue *q, MqdmaOp *op, uint32_t len)
{
    const uint8_t *data = mqdma_op_read(q, op, len);

    if (!data) {
        return MQDMA_STATUS_DMA_ERROR;
    }
    mqdma_op_crc(op, data, len);
    if (op->opcode == MQDMA_OP_COPY && !mqdma_op_write(q, op, data, len)) {
        return MQDMA_STATUS_DMA_ERROR;
    }
    op->done += len;
    return MQDMA_STATUS_OK;
}

static unsigned mqdma_op_fill(MqdmaQueue *q, MqdmaOp *op, uint32_t len)
{
    uint8_t *data = q->s->chunk[0];

    /* A chunk begins at a multiple of the pattern's size. */
    for (uint32_t i = 0; i < len; i += sizeof(op->param)) {
        stq_le_p(data + i, op->param);
    }
    mqdma_op_crc(op, data, len);
    if (!mqdma_op_write(q, op, data, len)) {
        return MQDMA_STATUS_DMA_ERROR;
    }
    op->done += len;
    return MQDMA_STATUS_OK;
}

static unsigned mqdma_op_compare(MqdmaQueue *q, MqdmaOp *op, uint32_t len)
{
    const uint8_t *a = mqdma_op_read(q, op, len);
    const uint8_t *b = mqdma_mem_get(q->s, op->flags & MQDMA_DESC_DST_BAR2,
                                     op->dst + op->done, 1, len);
    uint32_t same = 0;

    if (!a || !b) {
        return MQDMA_STATUS_DMA_ERROR;
    }
    if (memcmp(a, b, len)) {
        while (same < len && a[same] == b[same]) {
            same++;
        }
        op->done += same;
        return MQDMA_STATUS_MISCOMPARE;
    }
    op->done += len;
    return MQDMA_STATUS_OK;
}

static void mqdma_drive_done(void *opaque, int ret)
{
    MqdmaOp *op = opaque;
    MqdmaQueue *q = op->queue;

    if (!q) {
        trace_mqdma_drive_dropped(ret);
        mqdma_op_free(op);
        return;
    }
    trace_mqdma_drive_done(q->index, op->sq_index, ret);
    op->drive_state = MQDMA_DRIVE_DONE;
    op->drive_ret = ret;
    q->drive_depth--;
    QTAILQ_REMOVE(&q->drive, op, next);
    QTAILQ_INSERT_TAIL(&q->ready, op, next);
    mqdma_queue_kick(q);
}

/* Hands the next chunk of the first operation to the block layer. */
static unsigned mqdma_drive_start(MqdmaQueue *q, MqdmaOp *op)
{
    MqdmaState *s = q->s;
    bool write = op->opcode == MQDMA_OP_DRIVE_WRITE;
    int64_t offset = (write ? op->dst : op->src) + op->done;
    uint32_t len = MIN(op->length - op->done, MQDMA_DRIVE_CHUNK);

    if (!op->buf) {
        op->buf = qemu_blockalign(blk_bs(s->blk), len);
        qemu_iovec_init(&op->qiov, 1);
    }
    if (write) {
        if (!mqdma_mem_read(s, op->flags & MQDMA_DESC_SRC_BAR2,
                            op->src + op->done, op->buf, len)) {
            return MQDMA_STATUS_DMA_ERROR;
        }
    }
    trace_mqdma_drive(q->index, op->sq_index, write, offset, len);
    qemu_iovec_reset(&op->qiov);
    qemu_iovec_add(&op->qiov, op->buf, len);
    op->drive_length = len;
    op->drive_state = MQDMA_DRIVE_BUSY;
    q->drive_depth++;
    QTAILQ_REMOVE(&q->ready, op, next);
    QTAILQ_INSERT_TAIL(&q->drive, op, next);
    if (write) {
        blk_aio_pwritev(s->blk, offset, &op->qiov, 0, mqdma_drive_done, op);
    } else {
        blk_aio_preadv(s->blk, offset, &op->qiov, 0, mqdma_drive_done, op);
    }
    return MQDMA_STATUS_OK;
}

static unsigned mqdma_drive_finish(MqdmaQueue *q, MqdmaOp *op)
{
    op->drive_state = MQDMA_DRIVE_NONE;
    if (op->drive_ret < 0) {
        return MQDMA_STATUS_DRIVE_ERROR;
    }
    mqdma_op_crc(op, op->buf, op->drive_length);
    if (op->opcode == MQDMA_OP_DRIVE_READ &&
        !mqdma_op_write(q, op, op->buf, op->drive_length)) {
        return MQDMA_STATUS_DMA_ERROR;
    }
    op->done += op->drive_length;
    return MQDMA_STATUS_OK;
}

/* Does one chunk of the first ready operation; *len becomes its length. */
static unsigned mqdma_op_step(MqdmaQueue *q, MqdmaOp *op, uint32_t *len)
{
    *len = MIN(op->length - op->done, MQDMA_CHUNK);
    if (op->aborted) {
        return MQDMA_STATUS_ABORTED;
    }
    if (!op->done && op->drive_state == MQDMA_DRIVE_NONE &&
        mqdma_fault_take(q, &q->s->fault_dma, "fault-dma")) {
        return MQDMA_STATUS_DMA_ERROR;
    }
    switch (op->opcode) {
    case MQDMA_OP_COPY:
    case MQDMA_OP_CRC32C:
        return mqdma_op_copy(q, op, *len);
    case MQDMA_OP_FILL:
        return mqdma_op_fill(q, op, *len);
    case MQDMA_OP_COMPARE:
        return mqdma_op_compare(q, op, *len);
    case MQDMA_OP_DRIVE_READ:
    case MQDMA_OP_DRIVE_WRITE:
        *len = 0;
        if (op->drive_state == MQDMA_DRIVE_DONE) {
            *len = op->drive_length;
            return mqdma_drive_finish(q, op);
        }
        return mqdma_drive_start(q, op);
    default:
        return MQDMA_STATUS_OK;
    }
}

/* Works on the first ready operation; returns the number of bytes done. */
static uint32_t mqdma_queue_work(MqdmaQueue *q, MqdmaOp *op)
{
    uint32_t len;
    unsigned status = mqdma_op_step(q, op, &len);

    if (q->watchdog_us) {
        q->progress = mqdma_now();
    }
    if (op->drive_state == MQDMA_DRIVE_BUSY) {
        return 0;
    }
    if (status == MQDMA_STATUS_OK) {
        q->bytes += len;
    }
    if (status != MQDMA_STATUS_OK || op->done == op->length) {
        QTAILQ_REMOVE(&q->ready, op, next);
        mqdma_complete(q, op, status, mqdma_op_result(op));
    }
    return len;
}

/*
 * The engine: finishes what is ready, then fetches.  It stops when there is
 * nothing to do, when a fence or a full completion ring holds it, or when the
 * budget is spent; the bottom half then goes on.
 */
static void mqdma_queue_run(MqdmaQueue *q)
{
    MqdmaState *s = q->s;
    unsigned steps = MQDMA_BUDGET_STEPS;
    uint32_t bytes = MQDMA_BUDGET_BYTES;

    while (mqdma_queue_pending(q) && mqdma_can_run(s) &&
           !(s->hung & BIT_ULL(q->index))) {
        MqdmaOp *op = QTAILQ_FIRST(&q->ready);

        if (!steps || !bytes) {
            trace_mqdma_queue_yield(q->index);
            qemu_bh_schedule(q->bh);
            break;
        }
        if (!op) {
            if (!mqdma_fetch(q)) {
                break;
            }
            steps--;
            continue;
        }
        if (mqdma_traits[op->opcode].drive && !op->aborted &&
            op->drive_state == MQDMA_DRIVE_NONE &&
            q->drive_depth >= MQDMA_DRIVE_DEPTH) {
            break;
        }
        steps--;
        bytes -= MIN(bytes, mqdma_queue_work(q, op));
    }
}

static void mqdma_delay_expired(void *opaque)
{
    MqdmaQueue *q = opaque;
    uint64_t now = mqdma_now();
    MqdmaOp *op;

    while ((op = QTAILQ_FIRST(&q->delayed)) && op->due <= now) {
        QTAILQ_REMOVE(&q->delayed, op, next);
        QTAILQ_INSERT_TAIL(&q->ready, op, next);
    }
    mqdma_delay_arm(q);
    mqdma_queue_run(q);
}

static void mqdma_queue_abort(MqdmaQueue *q)
{
    MqdmaOp *op;

    trace_mqdma_queue_abort(q->index, q->inflight, q->sq_tail);
    while ((op = QTAILQ_FIRST(&q->delayed))) {
        QTAILQ_REMOVE(&q->delayed, op, next);
        QTAILQ_INSERT_TAIL(&q->ready, op, next);
    }
    mqdma_delay_arm(q);
    QTAILQ_FOREACH(op, &q->ready, next) {
        op->aborted = true;
    }
    QTAILQ_FOREACH(op, &q->drive, next) {
        op->aborted = true;
    }
    q->aborting = q->sq_head != q->sq_tail;
    q->abort_tail = q->sq_tail;
    mqdma_queue_run(q);
}

static void mqdma_queue_bh(void *opaque)
{
    mqdma_queue_run(opaque);
}

static void mqdma_vm_state_changed(void *opaque, bool running, RunState state)
{
    if (running) {
        mqdma_kick_all(opaque);
    }
}

/*
 * Registers
 */

static uint32_t mqdma_caps(MqdmaState *s)
{
    uint32_t caps = s->num_queues |
                    MQDMA_MAX_ORDER << MQDMA_CAPS_MAX_ORDER_SHIFT;

    if (s->shared_ptr) {
        caps |= MQDMA_CAPS_BAR2;
    }
    if (s->blk) {
        caps |= MQDMA_CAPS_DRIVE;
        if (!blk_supports_write_perm(s->blk)) {
            caps |= MQDMA_CAPS_DRIVE_RO;
        }
    }
    return caps;
}

static uint32_t mqdma_status(MqdmaState *s)
{
    return (s->enabled ? MQDMA_STATUS_REG_ENABLED : 0) |
           (s->error ? MQDMA_STATUS_REG_ERROR : 0) |
           (s->intx_level ? MQDMA_STATUS_REG_INTX : 0) |
           s->error_code << MQDMA_STATUS_REG_ERRCODE_SHIFT;
}

/* Reading a cause takes it. */
static uint32_t mqdma_cause_read(MqdmaState *s, hwaddr addr)
{
    uint32_t value;

    switch (addr) {
    case MQDMA_REG_CAUSE_LO:
        value = s->cause;
        mqdma_ack(s, value, 0);
        return value;
    case MQDMA_REG_CAUSE_HI:
        value = s->cause >> 32;
        mqdma_ack(s, (uint64_t)value << 32, 0);
        return value;
    default:
        value = s->cause_global;
        mqdma_ack(s, 0, value);
        return value;
    }
}

static uint32_t mqdma_clock_read(MqdmaState *s)
{
    uint64_t now = mqdma_now();

    s->clock_high = now >> 32;
    return now;
}

static uint64_t mqdma_drive_size(MqdmaState *s)
{
    int64_t size = s->blk ? blk_getlength(s->blk) : 0;

    return MAX(size, 0);
}

static uint32_t mqdma_global_read(MqdmaState *s, hwaddr addr, unsigned *error)
{
    switch (addr) {
    case MQDMA_REG_ID:
        return MQDMA_ID_VALUE;
    case MQDMA_REG_VERSION:
        return MQDMA_VERSION_VALUE;
    case MQDMA_REG_CAPS:
        return mqdma_caps(s);
    case MQDMA_REG_MAX_TRANSFER:
        return MQDMA_MAX_TRANSFER;
    case MQDMA_REG_CONTROL:
        return s->enabled ? MQDMA_CONTROL_ENABLE : 0;
    case MQDMA_REG_STATUS:
        return mqdma_status(s);
    case MQDMA_REG_BAR2_SIZE_LO:
        return s->shared_size;
    case MQDMA_REG_BAR2_SIZE_HI:
        return s->shared_size >> 32;
    case MQDMA_REG_CAUSE_LO:
    case MQDMA_REG_CAUSE_HI:
    case MQDMA_REG_CAUSE_GLOBAL:
        return mqdma_cause_read(s, addr);
    case MQDMA_REG_INT_STATUS_LO:
        return s->cause;
    case MQDMA_REG_INT_STATUS_HI:
        return s->cause >> 32;
    case MQDMA_REG_INT_STATUS_GLOBAL:
        return s->cause_global;
    case MQDMA_REG_INT_MASK_LO:
        return s->mask;
    case MQDMA_REG_INT_MASK_HI:
        return s->mask >> 32;
    case MQDMA_REG_INT_MASK_GLOBAL:
        return s->mask_global;
    case MQDMA_REG_INT_ACK_LO:
    case MQDMA_REG_INT_ACK_HI:
    case MQDMA_REG_INT_ACK_GLOBAL:
    case MQDMA_REG_INT_RAISE:
        return 0;
    case MQDMA_REG_GLOBAL_VECTOR:
        return s->global_vector;
    case MQDMA_REG_INT_MODE:
        return mqdma_int_mode(s);
    case MQDMA_REG_SCRATCH0:
        return s->scratch[0];
    case MQDMA_REG_SCRATCH1:
        return s->scratch[1];
    case MQDMA_REG_CLOCK_LO:
        return mqdma_clock_read(s);
    case MQDMA_REG_CLOCK_HI:
        return s->clock_high;
    case MQDMA_REG_ERR_ACCESS:
        return s->err_access;
    case MQDMA_REG_ERR_DESCRIPTOR:
        return s->err_descriptor;
    case MQDMA_REG_ERR_DMA:
        return s->err_dma;
    case MQDMA_REG_ERR_QUEUE:
        return s->err_queue;
    case MQDMA_REG_MESSAGES:
        return s->messages;
    case MQDMA_REG_INTX_ASSERTED:
        return s->intx_asserted;
    case MQDMA_REG_DROPPED:
        return s->dropped;
    case MQDMA_REG_BAD_OFFSET:
        return s->bad_offset;
    case MQDMA_REG_DRIVE_SIZE_LO:
        return mqdma_drive_size(s);
    case MQDMA_REG_DRIVE_SIZE_HI:
        return mqdma_drive_size(s) >> 32;
    default:
        *error = MQDMA_ERROR_OFFSET;
        return UINT32_MAX;
    }
}

static uint32_t mqdma_queue_status(MqdmaQueue *q)
{
    unsigned state;

    if (!q->enabled) {
        state = MQDMA_STATE_DISABLED;
    } else if (q->error == MQDMA_ERROR_HUNG) {
        state = MQDMA_STATE_HUNG;
    } else if (q->error) {
        state = MQDMA_STATE_ERROR;
    } else {
        state = mqdma_queue_pending(q) ? MQDMA_STATE_RUNNING
                                       : MQDMA_STATE_IDLE;
    }
    return state | q->error << MQDMA_Q_STATUS_ERROR_SHIFT |
           q->inflight << MQDMA_Q_STATUS_INFLIGHT_SHIFT;
}

static uint32_t mqdma_event_read(MqdmaQueue *q, hwaddr addr)
{
    uint32_t value = addr == MQDMA_Q_LAST_SEQUENCE ? q->last_sequence
                                                   : q->last_event;

    mqdma_event_take(q);
    return value;
}

static uint32_t mqdma_queue_read(MqdmaQueue *q, hwaddr addr, unsigned *error)
{
    switch (addr) {
    case MQDMA_Q_CONTROL:
        return q->enabled ? MQDMA_Q_CONTROL_ENABLE : 0;
    case MQDMA_Q_STATUS:
        return mqdma_queue_status(q);
    case MQDMA_Q_ORDER:
        return q->order;
    case MQDMA_Q_LOCATION:
        return q->location;
    case MQDMA_Q_SQ_BASE_LO:
        return q->sq_base;
    case MQDMA_Q_SQ_BASE_HI:
        return q->sq_base >> 32;
    case MQDMA_Q_CQ_BASE_LO:
        return q->cq_base;
    case MQDMA_Q_CQ_BASE_HI:
        return q->cq_base >> 32;
    case MQDMA_Q_SQ_TAIL:
        return q->sq_tail;
    case MQDMA_Q_SQ_HEAD:
        return q->sq_head;
    case MQDMA_Q_CQ_HEAD:
        return q->cq_head;
    case MQDMA_Q_CQ_TAIL:
        return q->cq_tail;
    case MQDMA_Q_VECTOR:
        return q->vector;
    case MQDMA_Q_COALESCE_COUNT:
        return q->coalesce_count;
    case MQDMA_Q_COALESCE_US:
        return q->coalesce_us;
    case MQDMA_Q_WATCHDOG_US:
        return q->watchdog_us;
    case MQDMA_Q_LAST_EVENT:
        return q->last_event;
    case MQDMA_Q_LAST_TAKE:
    case MQDMA_Q_LAST_SEQUENCE:
        return mqdma_event_read(q, addr);
    case MQDMA_Q_LAST_COOKIE_LO:
        return q->last_cookie;
    case MQDMA_Q_LAST_COOKIE_HI:
        return q->last_cookie >> 32;
    case MQDMA_Q_LAST_RESULT:
        return q->last_result;
    case MQDMA_Q_OVERRUN:
        return q->overrun;
    case MQDMA_Q_COMPLETED:
        return q->completed;
    case MQDMA_Q_FAILED:
        return q->failed;
    case MQDMA_Q_EVENTS:
        return q->events;
    case MQDMA_Q_INTERRUPTS:
        return q->interrupts;
    case MQDMA_Q_BYTES_LO:
        return q->bytes;
    case MQDMA_Q_BYTES_HI:
        return q->bytes >> 32;
    default:
        *error = MQDMA_ERROR_OFFSET;
        return UINT32_MAX;
    }
}

/* The queue whose page holds the address; NULL for one that is not there. */
static MqdmaQueue *mqdma_queue_at(MqdmaState *s, hwaddr addr)
{
    /* Wraps for the global page, which belongs to none. */
    hwaddr n = (addr - MQDMA_QUEUE_BASE) / MQDMA_QUEUE_STRIDE;

    return n < s->num_queues ? &s->queue[n] : NULL;
}

static uint64_t mqdma_mmio_read(void *opaque, hwaddr addr, unsigned size)
{
    MqdmaState *s = opaque;
    unsigned error = MQDMA_ERROR_NONE;
    uint32_t value = UINT32_MAX;
    MqdmaQueue *q = mqdma_queue_at(s, addr);

    if (s->removed || s->d3hot) {
        return UINT32_MAX;
    }
    if (s->sending) {
        error = MQDMA_ERROR_BUSY;
    } else if (size != 4 || addr % 4) {
        error = MQDMA_ERROR_SIZE;
    } else if (addr < MQDMA_QUEUE_BASE) {
        value = mqdma_global_read(s, addr, &error);
    } else if (q) {
        value = mqdma_queue_read(q, addr % MQDMA_QUEUE_STRIDE, &error);
    } else {
        error = MQDMA_ERROR_OFFSET;
    }
    if (unlikely(error)) {
        mqdma_bad_access(s, addr, size, error);
    }
    trace_mqdma_read(addr, size, value);
    return value;
}

static void mqdma_set_lo(uint64_t *reg, uint32_t value)
{
    *reg = deposit64(*reg, 0, 32, value);
}

static void mqdma_set_hi(uint64_t *reg, uint32_t value)
{
    *reg = deposit64(*reg, 32, 32, value);
}

static void mqdma_reset(MqdmaState *s);

static unsigned mqdma_set_checked(uint32_t *reg, uint32_t value, uint32_t max)
{
    if (value > max) {
        return MQDMA_ERROR_VALUE;
    }
    *reg = value;
    return MQDMA_ERROR_NONE;
}

static unsigned mqdma_int_raise(MqdmaState *s, uint32_t value)
{
    uint32_t n = value & MQDMA_RAISE_QUEUE_MASK;
    MqdmaQueue *q = &s->queue[n];

    if (value & MQDMA_RAISE_GLOBAL) {
        mqdma_interrupt_global(s, MQDMA_GLOBAL_RAISED);
        return MQDMA_ERROR_NONE;
    }
    if (n >= s->num_queues) {
        return MQDMA_ERROR_VALUE;
    }
    if (value & MQDMA_RAISE_EVENT) {
        mqdma_event(q, MQDMA_EVENT_RAISED, 0,
                    (value & MQDMA_RAISE_TAG_MASK) >> MQDMA_RAISE_TAG_SHIFT,
                    0);
    }
    mqdma_queue_interrupt(q);
    return MQDMA_ERROR_NONE;
}

static void mqdma_control_write(MqdmaState *s, uint32_t value)
{
    if (value & MQDMA_CONTROL_RESET) {
        mqdma_reset(s);
        return;
    }
    s->enabled = value & MQDMA_CONTROL_ENABLE;
    if (s->enabled) {
        mqdma_kick_all(s);
    }
}

static void mqdma_int_write(MqdmaState *s, hwaddr addr, uint32_t value)
{
    switch (addr) {
    case MQDMA_REG_INT_MASK_LO:
        mqdma_set_lo(&s->mask, value);
        mqdma_send_owed(s);
        break;
    case MQDMA_REG_INT_MASK_HI:
        mqdma_set_hi(&s->mask, value);
        mqdma_send_owed(s);
        break;
    case MQDMA_REG_INT_MASK_GLOBAL:
        s->mask_global = value & MQDMA_GLOBAL_ALL;
        mqdma_send_owed(s);
        break;
    case MQDMA_REG_INT_ACK_LO:
        mqdma_ack(s, value, 0);
        break;
    case MQDMA_REG_INT_ACK_HI:
        mqdma_ack(s, (uint64_t)value << 32, 0);
        break;
    default:
        mqdma_ack(s, 0, value);
        break;
    }
}

static bool mqdma_global_read_only(hwaddr addr)
{
    switch (addr) {
    case MQDMA_REG_ID:
    case MQDMA_REG_VERSION:
    case MQDMA_REG_CAPS:
    case MQDMA_REG_MAX_TRANSFER:
    case MQDMA_REG_BAR2_SIZE_LO:
    case MQDMA_REG_BAR2_SIZE_HI:
    case MQDMA_REG_CAUSE_LO:
    case MQDMA_REG_CAUSE_HI:
    case MQDMA_REG_CAUSE_GLOBAL:
    case MQDMA_REG_INT_STATUS_LO:
    case MQDMA_REG_INT_STATUS_HI:
    case MQDMA_REG_INT_STATUS_GLOBAL:
    case MQDMA_REG_INT_MODE:
    case MQDMA_REG_CLOCK_LO:
    case MQDMA_REG_CLOCK_HI:
    case MQDMA_REG_ERR_ACCESS:
    case MQDMA_REG_ERR_DESCRIPTOR:
    case MQDMA_REG_ERR_DMA:
    case MQDMA_REG_ERR_QUEUE:
    case MQDMA_REG_MESSAGES:
    case MQDMA_REG_INTX_ASSERTED:
    case MQDMA_REG_DROPPED:
    case MQDMA_REG_BAD_OFFSET:
    case MQDMA_REG_DRIVE_SIZE_LO:
    case MQDMA_REG_DRIVE_SIZE_HI:
        return true;
    default:
        return false;
    }
}

static unsigned mqdma_global_write(MqdmaState *s, hwaddr addr, uint32_t value)
{
    switch (addr) {
    case MQDMA_REG_INT_RAISE:
        return mqdma_int_raise(s, value);
    case MQDMA_REG_CONTROL:
        mqdma_control_write(s, value);
        return MQDMA_ERROR_NONE;
    case MQDMA_REG_STATUS:
        if (value & MQDMA_STATUS_REG_ERROR) {
            s->error = false;
            s->error_code = MQDMA_ERROR_NONE;
        }
        return MQDMA_ERROR_NONE;
    case MQDMA_REG_GLOBAL_VECTOR:
        return mqdma_set_checked(&s->global_vector, value,
                                 MQDMA_MAX_VECTORS - 1);
    case MQDMA_REG_SCRATCH0:
        s->scratch[0] = value;
        return MQDMA_ERROR_NONE;
    case MQDMA_REG_SCRATCH1:
        s->scratch[1] = value;
        return MQDMA_ERROR_NONE;
    case MQDMA_REG_INT_MASK_LO:
    case MQDMA_REG_INT_MASK_HI:
    case MQDMA_REG_INT_MASK_GLOBAL:
    case MQDMA_REG_INT_ACK_LO:
    case MQDMA_REG_INT_ACK_HI:
    case MQDMA_REG_INT_ACK_GLOBAL:
        mqdma_int_write(s, addr, value);
        return MQDMA_ERROR_NONE;
    default:
        return mqdma_global_read_only(addr) ? MQDMA_ERROR_READ_ONLY
                                            : MQDMA_ERROR_OFFSET;
    }
}

static unsigned mqdma_queue_control(MqdmaQueue *q, uint32_t value)
{
    if (value & MQDMA_Q_CONTROL_RESET) {
        mqdma_queue_stop(q);
        return MQDMA_ERROR_NONE;
    }
    if (value & MQDMA_Q_CONTROL_ABORT) {
        if (!q->enabled || q->error) {
            return MQDMA_ERROR_NOT_ENABLED;
        }
        mqdma_queue_abort(q);
    }
    if (!(value & MQDMA_Q_CONTROL_ENABLE)) {
        if (q->enabled && !(value & MQDMA_Q_CONTROL_ABORT)) {
            mqdma_queue_stop(q);
        }
    } else if (!q->enabled) {
        mqdma_queue_enable(q);
    }
    return MQDMA_ERROR_NONE;
}

/* New work; an index that the ring cannot have stops the queue. */
static unsigned mqdma_sq_doorbell(MqdmaQueue *q, uint32_t value)
{
    bool was_idle = !mqdma_queue_pending(q);

    if (!q->enabled || q->error) {
        return MQDMA_ERROR_NOT_ENABLED;
    }
    if (value >= mqdma_entries(q) ||
        mqdma_distance(q, q->sq_head, value) <
        mqdma_distance(q, q->sq_head, q->sq_tail)) {
        mqdma_queue_error(q, MQDMA_ERROR_SQ_TAIL);
        return MQDMA_ERROR_NONE;
    }
    q->sq_tail = value;
    mqdma_queue_run(q);
    mqdma_watchdog_arm(q, was_idle);
    return MQDMA_ERROR_NONE;
}

/* The driver gives completion entries back. */
static unsigned mqdma_cq_doorbell(MqdmaQueue *q, uint32_t value)
{
    if (!q->enabled || q->error) {
        return MQDMA_ERROR_NOT_ENABLED;
    }
    if (value >= mqdma_entries(q) ||
        mqdma_distance(q, q->cq_head, value) >
        mqdma_distance(q, q->cq_head, q->cq_tail)) {
        mqdma_queue_error(q, MQDMA_ERROR_CQ_HEAD);
        return MQDMA_ERROR_NONE;
    }
    q->cq_head = value;
    if (q->sq_head != q->sq_tail) {
        mqdma_queue_run(q);
    }
    return MQDMA_ERROR_NONE;
}

/* What may change only while the queue is disabled. */
static unsigned mqdma_ring_write(MqdmaQueue *q, hwaddr addr, uint32_t value)
{
    if (q->enabled) {
        return MQDMA_ERROR_BUSY;
    }
    switch (addr) {
    case MQDMA_Q_ORDER:
        return mqdma_set_checked(&q->order, value, MQDMA_MAX_ORDER);
    case MQDMA_Q_LOCATION:
        return mqdma_set_checked(&q->location, value,
                                 MQDMA_LOCATION_SQ_BAR2 |
                                 MQDMA_LOCATION_CQ_BAR2);
    case MQDMA_Q_SQ_BASE_LO:
        mqdma_set_lo(&q->sq_base, value);
        break;
    case MQDMA_Q_SQ_BASE_HI:
        mqdma_set_hi(&q->sq_base, value);
        break;
    case MQDMA_Q_CQ_BASE_LO:
        mqdma_set_lo(&q->cq_base, value);
        break;
    default:
        mqdma_set_hi(&q->cq_base, value);
        break;
    }
    return MQDMA_ERROR_NONE;
}

/* Coalescing and the watchdog may change at any time. */
static unsigned mqdma_moderation_write(MqdmaQueue *q, hwaddr addr,
                                       uint32_t value)
{
    unsigned error;

    if (addr == MQDMA_Q_WATCHDOG_US) {
        error = mqdma_set_checked(&q->watchdog_us, value,
                                  MQDMA_MAX_WATCHDOG_US);
        if (!error) {
            timer_del(&q->watchdog_timer);
            mqdma_watchdog_arm(q, true);
        }
        return error;
    }
    if (addr == MQDMA_Q_COALESCE_US) {
        error = mqdma_set_checked(&q->coalesce_us, value,
                                  MQDMA_MAX_COALESCE_US);
    } else {
        error = mqdma_set_checked(&q->coalesce_count, value,
                                  MQDMA_MAX_COALESCE_COUNT);
    }
    if (!error) {
        mqdma_queue_flush(q);
    }
    return error;
}

static bool mqdma_queue_read_only(hwaddr addr)
{
    switch (addr) {
    case MQDMA_Q_STATUS:
    case MQDMA_Q_SQ_HEAD:
    case MQDMA_Q_CQ_TAIL:
    case MQDMA_Q_LAST_EVENT:
    case MQDMA_Q_LAST_TAKE:
    case MQDMA_Q_LAST_COOKIE_LO:
    case MQDMA_Q_LAST_COOKIE_HI:
    case MQDMA_Q_LAST_RESULT:
    case MQDMA_Q_LAST_SEQUENCE:
    case MQDMA_Q_OVERRUN:
    case MQDMA_Q_COMPLETED:
    case MQDMA_Q_FAILED:
    case MQDMA_Q_EVENTS:
    case MQDMA_Q_INTERRUPTS:
    case MQDMA_Q_BYTES_LO:
    case MQDMA_Q_BYTES_HI:
        return true;
    default:
        return false;
    }
}

static unsigned mqdma_queue_write(MqdmaQueue *q, hwaddr addr, uint32_t value)
{
    switch (addr) {
    case MQDMA_Q_SQ_TAIL:
        return mqdma_sq_doorbell(q, value);
    case MQDMA_Q_CQ_HEAD:
        return mqdma_cq_doorbell(q, value);
    case MQDMA_Q_CONTROL:
        return mqdma_queue_control(q, value);
    case MQDMA_Q_ORDER:
    case MQDMA_Q_LOCATION:
    case MQDMA_Q_SQ_BASE_LO:
    case MQDMA_Q_SQ_BASE_HI:
    case MQDMA_Q_CQ_BASE_LO:
    case MQDMA_Q_CQ_BASE_HI:
        return mqdma_ring_write(q, addr, value);
    case MQDMA_Q_VECTOR:
        return mqdma_set_checked(&q->vector, value, MQDMA_MAX_VECTORS - 1);
    case MQDMA_Q_COALESCE_COUNT:
    case MQDMA_Q_COALESCE_US:
    case MQDMA_Q_WATCHDOG_US:
        return mqdma_moderation_write(q, addr, value);
    default:
        return mqdma_queue_read_only(addr) ? MQDMA_ERROR_READ_ONLY
                                           : MQDMA_ERROR_OFFSET;
    }
}

static void mqdma_mmio_write(void *opaque, hwaddr addr, uint64_t value,
                             unsigned size)
{
    MqdmaState *s = opaque;
    unsigned error;
    MqdmaQueue *q = mqdma_queue_at(s, addr);

    if (s->removed || s->d3hot) {
        return;
    }
    trace_mqdma_write(addr, size, value);
    if (s->sending) {
        error = MQDMA_ERROR_BUSY;
    } else if (size != 4 || addr % 4) {
        error = MQDMA_ERROR_SIZE;
    } else if (addr < MQDMA_QUEUE_BASE) {
        error = mqdma_global_write(s, addr, value);
    } else if (q) {
        error = mqdma_queue_write(q, addr % MQDMA_QUEUE_STRIDE, value);
    } else {
        error = MQDMA_ERROR_OFFSET;
    }
    if (unlikely(error)) {
        mqdma_bad_access(s, addr, size, error);
    }
}

/*
 * Sizes and alignments that the device refuses come here too, so that they
 * are counted; an access of 8 bytes is two of 4, the lower address first.
 */
static const MemoryRegionOps mqdma_mmio_ops = {
    .read = mqdma_mmio_read,
    .write = mqdma_mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
    .impl = {
        .min_access_size = 1,
        .max_access_size = 4,
        .unaligned = true,
    },
};

/* BAR2 and BAR4 while the function does not answer: reads are all ones. */
static uint64_t mqdma_dead_read(void *opaque, hwaddr addr, unsigned size)
{
    return UINT64_MAX;
}

static void mqdma_dead_write(void *opaque, hwaddr addr, uint64_t value,
                             unsigned size)
{
}

static const MemoryRegionOps mqdma_dead_ops = {
    .read = mqdma_dead_read,
    .write = mqdma_dead_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
    .impl = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
};

/*
 * Power, configuration space, reset
 */

/* D3hot and removal change what answers at the BARs, and stop or resume us. */
static void mqdma_update_presence(MqdmaState *s)
{
    bool present = !s->d3hot && !s->removed;

    memory_region_transaction_begin();
    if (s->shared_ptr) {
        memory_region_set_enabled(&s->shared_ram, present);
    }
    if (msix_present(PCI_DEVICE(s))) {
        memory_region_set_enabled(&s->msix_dead, !present);
    }
    memory_region_transaction_commit();
    mqdma_update_intx(s);
    if (present) {
        mqdma_send_owed(s);
        mqdma_kick_all(s);
    }
}

static void mqdma_set_power(MqdmaState *s)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    uint8_t *pmcsr = pdev->config + s->pm_cap + PCI_PM_CTRL;
    unsigned state = pci_get_word(pmcsr) & PCI_PM_CTRL_STATE_MASK;
    bool d3hot;

    if (state == 1 || state == 2) {
        /* D1 and D2 are not there; such a write is ignored. */
        state = s->d3hot ? PCI_PM_CTRL_STATE_MASK : 0;
        pci_set_word(pmcsr, (pci_get_word(pmcsr) & ~PCI_PM_CTRL_STATE_MASK) |
                            state);
    }
    d3hot = state == PCI_PM_CTRL_STATE_MASK;
    if (d3hot != s->d3hot) {
        trace_mqdma_power(d3hot);
        s->d3hot = d3hot;
        mqdma_update_presence(s);
    }
}

static uint32_t mqdma_config_read(PCIDevice *pdev, uint32_t addr, int len)
{
    if (MQDMA(pdev)->removed) {
        return MAKE_64BIT_MASK(0, len * 8);
    }
    return pci_default_read_config(pdev, addr, len);
}

static void mqdma_config_write(PCIDevice *pdev, uint32_t addr, uint32_t value,
                               int len)
{
    MqdmaState *s = MQDMA(pdev);

    if (s->removed) {
        return;
    }
    pci_default_write_config(pdev, addr, value, len);
    pcie_cap_flr_write_config(pdev, addr, value, len);
    mqdma_set_power(s);
    /* Bus mastering or the kind of interrupt may have changed. */
    mqdma_send_owed(s);
}

static void mqdma_queue_clear(MqdmaQueue *q)
{
    mqdma_queue_stop(q);
    q->order = 0;
    q->location = 0;
    q->sq_base = 0;
    q->cq_base = 0;
    q->vector = q->index;
    q->coalesce_count = 0;
    q->coalesce_us = 0;
    q->watchdog_us = 0;
    q->progress = 0;
    q->overrun = 0;
    q->completed = 0;
    q->failed = 0;
    q->events = 0;
    q->interrupts = 0;
    q->bytes = 0;
}

/* All registers; armed faults stay, so that a driver meets them again. */
static void mqdma_reset(MqdmaState *s)
{
    trace_mqdma_reset();
    for (unsigned n = 0; n < s->num_queues; n++) {
        mqdma_queue_clear(&s->queue[n]);
    }
    s->enabled = false;
    s->error = false;
    s->error_code = MQDMA_ERROR_NONE;
    s->spurious_level = false;
    s->owed_global = false;
    s->cause = 0;
    s->mask = 0;
    s->owed = 0;
    s->cause_global = 0;
    s->mask_global = MQDMA_GLOBAL_ALL;
    s->global_vector = s->num_queues;
    s->scratch[0] = 0;
    s->scratch[1] = 0;
    s->clock_high = 0;
    s->err_access = 0;
    s->err_descriptor = 0;
    s->err_dma = 0;
    s->err_queue = 0;
    s->messages = 0;
    s->intx_asserted = 0;
    s->dropped = 0;
    s->bad_offset = 0;
    mqdma_update_intx(s);
}

/* A bus reset, FLR, or power on: back to D0 as well. */
static void mqdma_reset_hold(MQDMA_RESET_HOLD_ARGS)
{
    MqdmaState *s = MQDMA(obj);
    PCIDevice *pdev = PCI_DEVICE(s);

    pci_word_test_and_clear_mask(pdev->config + s->pm_cap + PCI_PM_CTRL,
                                 PCI_PM_CTRL_STATE_MASK);
    mqdma_reset(s);
    mqdma_set_power(s);
}

/*
 * Migration
 *
 * The block layer is drained when the machine stops, and a chunk that it
 * finished meanwhile waits on ->ready to be put in memory; such a chunk is
 * done again after the migration.  Bottom halves are scheduled again when
 * the machine runs.
 */

/* The list's loader does not clear what it allocates. */
static int mqdma_op_pre_load(void *opaque)
{
    memset(opaque, 0, sizeof(MqdmaOp));
    return 0;
}

static int mqdma_op_post_load(void *opaque, int version_id)
{
    MqdmaOp *op = opaque;

    return op->opcode < MQDMA_OP_COUNT && op->length <= MQDMA_MAX_TRANSFER &&
           op->done <= op->length ? 0 : -EINVAL;
}

static const VMStateDescription mqdma_op_vmstate = {
    .name = "mqdma/operation",
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_load = mqdma_op_pre_load,
    .post_load = mqdma_op_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8(opcode, MqdmaOp),
        VMSTATE_BOOL(aborted, MqdmaOp),
        VMSTATE_UINT16(flags, MqdmaOp),
        VMSTATE_UINT16(sq_index, MqdmaOp),
        VMSTATE_UINT32(length, MqdmaOp),
        VMSTATE_UINT32(done, MqdmaOp),
        VMSTATE_UINT32(crc, MqdmaOp),
        VMSTATE_UINT64(cookie, MqdmaOp),
        VMSTATE_UINT64(src, MqdmaOp),
        VMSTATE_UINT64(dst, MqdmaOp),
        VMSTATE_UINT64(param, MqdmaOp),
        VMSTATE_UINT64(due, MqdmaOp),
        VMSTATE_END_OF_LIST()
    }
};

static int mqdma_queue_pre_load(void *opaque)
{
    mqdma_queue_drop(opaque);
    return 0;
}

/* A stream can hold anything; what we index with must be in range. */
static bool mqdma_queue_valid(MqdmaQueue *q)
{
    uint32_t entries;

    if (q->order > MQDMA_MAX_ORDER || q->location > 3 ||
        q->vector >= MQDMA_MAX_VECTORS || q->phase > 1) {
        return false;
    }
    entries = mqdma_entries(q);
    if (q->sq_head >= entries || q->sq_tail >= entries ||
        q->cq_head >= entries || q->cq_tail >= entries) {
        return false;
    }
    return !q->enabled || q->error ||
           (!mqdma_ring_check(q, q->sq_base,
                              q->location & MQDMA_LOCATION_SQ_BAR2,
                              MQDMA_DESCRIPTOR_SIZE) &&
            !mqdma_ring_check(q, q->cq_base,
                              q->location & MQDMA_LOCATION_CQ_BAR2,
                              MQDMA_COMPLETION_SIZE));
}

static bool mqdma_list_adopt(MqdmaQueue *q, MqdmaOpList *list)
{
    MqdmaOp *op;

    QTAILQ_FOREACH(op, list, next) {
        op->queue = q;
        q->inflight++;
        if ((mqdma_traits[op->opcode].src &&
             mqdma_check_memory(q->s, op->flags & MQDMA_DESC_SRC_BAR2,
                                op->src, op->length)) ||
            (mqdma_traits[op->opcode].dst &&
             mqdma_check_memory(q->s, op->flags & MQDMA_DESC_DST_BAR2,
                                op->dst, op->length)) ||
            (mqdma_traits[op->opcode].drive &&
             mqdma_check_drive(q->s, op))) {
            return false;
        }
    }
    return true;
}

static int mqdma_queue_post_load(void *opaque, int version_id)
{
    MqdmaQueue *q = opaque;

    q->inflight = 0;
    if (!mqdma_queue_valid(q) || !mqdma_list_adopt(q, &q->ready) ||
        !mqdma_list_adopt(q, &q->delayed)) {
        return -EINVAL;
    }
    trace_mqdma_load(q->inflight);
    return 0;
}

static const VMStateDescription mqdma_queue_vmstate = {
    .name = "mqdma/queue",
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_load = mqdma_queue_pre_load,
    .post_load = mqdma_queue_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_BOOL(enabled, MqdmaQueue),
        VMSTATE_BOOL(aborting, MqdmaQueue),
        VMSTATE_UINT8(error, MqdmaQueue),
        VMSTATE_UINT8(phase, MqdmaQueue),
        VMSTATE_UINT32(order, MqdmaQueue),
        VMSTATE_UINT32(location, MqdmaQueue),
        VMSTATE_UINT64(sq_base, MqdmaQueue),
        VMSTATE_UINT64(cq_base, MqdmaQueue),
        VMSTATE_UINT32(sq_head, MqdmaQueue),
        VMSTATE_UINT32(sq_tail, MqdmaQueue),
        VMSTATE_UINT32(cq_head, MqdmaQueue),
        VMSTATE_UINT32(cq_tail, MqdmaQueue),
        VMSTATE_UINT32(abort_tail, MqdmaQueue),
        VMSTATE_UINT32(sequence, MqdmaQueue),
        VMSTATE_UINT32(vector, MqdmaQueue),
        VMSTATE_UINT32(coalesce_count, MqdmaQueue),
        VMSTATE_UINT32(coalesce_us, MqdmaQueue),
        VMSTATE_UINT32(watchdog_us, MqdmaQueue),
        VMSTATE_UINT32(coalesced, MqdmaQueue),
        VMSTATE_UINT64(progress, MqdmaQueue),
        VMSTATE_UINT32(last_event, MqdmaQueue),
        VMSTATE_UINT64(last_cookie, MqdmaQueue),
        VMSTATE_UINT32(last_result, MqdmaQueue),
        VMSTATE_UINT32(last_sequence, MqdmaQueue),
        VMSTATE_UINT32(overrun, MqdmaQueue),
        VMSTATE_UINT32(completed, MqdmaQueue),
        VMSTATE_UINT32(failed, MqdmaQueue),
        VMSTATE_UINT32(events, MqdmaQueue),
        VMSTATE_UINT32(interrupts, MqdmaQueue),
        VMSTATE_UINT64(bytes, MqdmaQueue),
        VMSTATE_QTAILQ_V(ready, MqdmaQueue, 1, mqdma_op_vmstate, MqdmaOp,
                         next),
        VMSTATE_QTAILQ_V(delayed, MqdmaQueue, 1, mqdma_op_vmstate, MqdmaOp,
                         next),
        VMSTATE_TIMER(delay_timer, MqdmaQueue),
        VMSTATE_TIMER(coalesce_timer, MqdmaQueue),
        VMSTATE_TIMER(watchdog_timer, MqdmaQueue),
        VMSTATE_END_OF_LIST()
    }
};

static int mqdma_pre_save(void *opaque)
{
    MqdmaState *s = opaque;

    if (s->blk) {
        blk_drain(s->blk);
    }
    return 0;
}

static int mqdma_post_load(void *opaque, int version_id)
{
    MqdmaState *s = opaque;

    if (s->global_vector >= MQDMA_MAX_VECTORS ||
        s->storm_queue >= MQDMA_MAX_QUEUES) {
        return -EINVAL;
    }
    mqdma_update_presence(s);
    return 0;
}

static const VMStateDescription mqdma_vmstate = {
    .name = TYPE_MQDMA,
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_save = mqdma_pre_save,
    .post_load = mqdma_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, MqdmaState),
        VMSTATE_MSIX(parent_obj, MqdmaState),
        VMSTATE_UINT32_EQUAL(num_queues, MqdmaState,
                             "mqdma: 'queues' differs"),
        VMSTATE_BOOL(d3hot, MqdmaState),
        VMSTATE_BOOL(enabled, MqdmaState),
        VMSTATE_BOOL(error, MqdmaState),
        VMSTATE_UINT8(error_code, MqdmaState),
        VMSTATE_BOOL(intx_level, MqdmaState),
        VMSTATE_BOOL(spurious_level, MqdmaState),
        VMSTATE_BOOL(owed_global, MqdmaState),
        VMSTATE_UINT64(cause, MqdmaState),
        VMSTATE_UINT64(mask, MqdmaState),
        VMSTATE_UINT64(owed, MqdmaState),
        VMSTATE_UINT32(cause_global, MqdmaState),
        VMSTATE_UINT32(mask_global, MqdmaState),
        VMSTATE_UINT32(global_vector, MqdmaState),
        VMSTATE_UINT32_ARRAY(scratch, MqdmaState, 2),
        VMSTATE_UINT32(clock_high, MqdmaState),
        VMSTATE_UINT32(err_access, MqdmaState),
        VMSTATE_UINT32(err_descriptor, MqdmaState),
        VMSTATE_UINT32(err_dma, MqdmaState),
        VMSTATE_UINT32(err_queue, MqdmaState),
        VMSTATE_UINT32(messages, MqdmaState),
        VMSTATE_UINT32(intx_asserted, MqdmaState),
        VMSTATE_UINT32(dropped, MqdmaState),
        VMSTATE_UINT32(bad_offset, MqdmaState),
        VMSTATE_INT32(fault_queue, MqdmaState),
        VMSTATE_UINT32(fault_lost, MqdmaState),
        VMSTATE_UINT32(fault_corrupt, MqdmaState),
        VMSTATE_UINT32(fault_dma, MqdmaState),
        VMSTATE_UINT32(storm_queue, MqdmaState),
        VMSTATE_UINT32(storm_period_us, MqdmaState),
        VMSTATE_UINT32(storm_count, MqdmaState),
        VMSTATE_UINT64(hung, MqdmaState),
        VMSTATE_BOOL(stuck, MqdmaState),
        VMSTATE_BOOL(removed, MqdmaState),
        VMSTATE_TIMER(storm_timer, MqdmaState),
        VMSTATE_STRUCT_VARRAY_UINT32(queue, MqdmaState, num_queues, 1,
                                     mqdma_queue_vmstate, MqdmaQueue),
        VMSTATE_END_OF_LIST()
    }
};

/*
 * Faults and counters as QOM properties
 */

/* A 32-bit number in MqdmaState (or summed over the queues), and its limit. */
typedef struct MqdmaNumber {
    const char *name;
    size_t offset;
    uint32_t max;
    bool per_queue;
    const char *description;
} MqdmaNumber;

static const MqdmaNumber mqdma_fault_numbers[] = {
    { "fault-lost", offsetof(MqdmaState, fault_lost), UINT32_MAX, false,
      "drop this many interrupts" },
    { "fault-corrupt", offsetof(MqdmaState, fault_corrupt), UINT32_MAX, false,
      "invert cookie and result of this many completions" },
    { "fault-dma", offsetof(MqdmaState, fault_dma), UINT32_MAX, false,
      "fail this many descriptors with a DMA error" },
    { "fault-storm-queue", offsetof(MqdmaState, storm_queue),
      MQDMA_MAX_QUEUES - 1, false, "the queue of the interrupt storm" },
    { "fault-storm-period-us", offsetof(MqdmaState, storm_period_us),
      MQDMA_MAX_COALESCE_US, false, "microseconds between its interrupts" },
};

static const MqdmaNumber mqdma_stat_numbers[] = {
    { "stat-bad-access", offsetof(MqdmaState, err_access), 0, false,
      "accesses to registers that were refused" },
    { "stat-bad-descriptor", offsetof(MqdmaState, err_descriptor), 0, false,
      "descriptors that were refused" },
    { "stat-dma-errors", offsetof(MqdmaState, err_dma), 0, false,
      "memory that could not be accessed" },
    { "stat-queue-errors", offsetof(MqdmaState, err_queue), 0, false,
      "times that a queue stopped" },
    { "stat-messages", offsetof(MqdmaState, messages), 0, false,
      "MSI and MSI-X messages" },
    { "stat-intx-asserted", offsetof(MqdmaState, intx_asserted), 0, false,
      "times that INTx rose" },
    { "stat-dropped", offsetof(MqdmaState, dropped), 0, false,
      "interrupts dropped by fault-lost" },
    { "stat-interrupts", offsetof(MqdmaQueue, interrupts), 0, true,
      "interrupts of all queues" },
    { "stat-events", offsetof(MqdmaQueue, events), 0, true,
      "events of all queues" },
    { "stat-overruns", offsetof(MqdmaQueue, overrun), 0, true,
      "events overwritten before they were read" },
    { "stat-completed", offsetof(MqdmaQueue, completed), 0, true,
      "completions of all queues" },
    { "stat-failed", offsetof(MqdmaQueue, failed), 0, true,
      "completions with an error" },
};

static void mqdma_get_number(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    MqdmaState *s = MQDMA(obj);
    const MqdmaNumber *number = opaque;
    uint64_t value = 0;

    if (!number->per_queue) {
        value = *(uint32_t *)((char *)s + number->offset);
    } else {
        for (unsigned n = 0; n < s->num_queues; n++) {
            value += *(uint32_t *)((char *)&s->queue[n] + number->offset);
        }
    }
    visit_type_uint64(v, name, &value, errp);
}

static void mqdma_set_number(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    const MqdmaNumber *number = opaque;
    uint32_t value;

    if (!visit_type_uint32(v, name, &value, errp)) {
        return;
    }
    if (value > number->max) {
        error_setg(errp, "mqdma: %s is %" PRIu32 ", it must be at most %"
                   PRIu32, name, value, number->max);
        return;
    }
    trace_mqdma_fault(name, value);
    *(uint32_t *)((char *)MQDMA(obj) + number->offset) = value;
}

/* For the faults that act when they are set. */
static bool mqdma_fault_ready(MqdmaState *s, const char *name, uint64_t value,
                              Error **errp)
{
    if (!s->realized) {
        error_setg(errp, "mqdma: %s can be set only while the device runs",
                   name);
        return false;
    }
    trace_mqdma_fault(name, value);
    return true;
}

static void mqdma_get_fault_queue(Object *obj, Visitor *v, const char *name,
                                  void *opaque, Error **errp)
{
    visit_type_int32(v, name, &MQDMA(obj)->fault_queue, errp);
}

static void mqdma_set_fault_queue(Object *obj, Visitor *v, const char *name,
                                  void *opaque, Error **errp)
{
    int32_t value;

    if (!visit_type_int32(v, name, &value, errp)) {
        return;
    }
    if (value < MQDMA_QUEUE_ALL || value >= MQDMA_MAX_QUEUES) {
        error_setg(errp, "mqdma: %s is %" PRId32 ", it must be -1 (all) to %d",
                   name, value, MQDMA_MAX_QUEUES - 1);
        return;
    }
    MQDMA(obj)->fault_queue = value;
}

/* An interrupt without a cause; INTx stays until CAUSE is read. */
static void mqdma_set_spurious(Object *obj, Visitor *v, const char *name,
                               void *opaque, Error **errp)
{
    MqdmaState *s = MQDMA(obj);
    uint32_t n;

    if (!visit_type_uint32(v, name, &n, errp) ||
        !mqdma_fault_ready(s, name, n, errp)) {
        return;
    }
    if (n >= s->num_queues) {
        error_setg(errp, "mqdma: %s is %" PRIu32 ", there are %" PRIu32
                   " queues", name, n, s->num_queues);
        return;
    }
    s->spurious_level = mqdma_int_mode(s) == MQDMA_INT_MODE_INTX;
    mqdma_send(s, s->queue[n].vector);
}

static void mqdma_storm_next(void *opaque)
{
    MqdmaState *s = opaque;

    if (s->storm_count) {
        s->storm_count--;
        mqdma_queue_interrupt(&s->queue[s->storm_queue % s->num_queues]);
    }
    if (s->storm_count) {
        timer_mod(&s->storm_timer, mqdma_now() +
                  MAX(s->storm_period_us, 1) * (uint64_t)SCALE_US);
    }
}

static void mqdma_get_storm(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    visit_type_uint32(v, name, &MQDMA(obj)->storm_count, errp);
}

static void mqdma_set_storm(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    MqdmaState *s = MQDMA(obj);
    uint32_t count;

    if (!visit_type_uint32(v, name, &count, errp) ||
        !mqdma_fault_ready(s, name, count, errp)) {
        return;
    }
    s->storm_count = count;
    timer_del(&s->storm_timer);
    mqdma_storm_next(s);
}

static void mqdma_get_hang(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    visit_type_uint64(v, name, &MQDMA(obj)->hung, errp);
}

static void mqdma_set_hang(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    MqdmaState *s = MQDMA(obj);
    uint64_t hung;

    if (!visit_type_uint64(v, name, &hung, errp) ||
        !mqdma_fault_ready(s, name, hung, errp)) {
        return;
    }
    s->hung = hung;
    mqdma_kick_all(s);
}

static bool mqdma_get_stuck(Object *obj, Error **errp)
{
    return MQDMA(obj)->stuck;
}

static void mqdma_set_stuck(Object *obj, bool value, Error **errp)
{
    MqdmaState *s = MQDMA(obj);

    if (mqdma_fault_ready(s, "fault-stuck", value, errp)) {
        s->stuck = value;
        mqdma_update_intx(s);
    }
}

static bool mqdma_get_removed(Object *obj, Error **errp)
{
    return MQDMA(obj)->removed;
}

/* A device that comes back is a new one, just powered on. */
static void mqdma_set_removed(Object *obj, bool value, Error **errp)
{
    MqdmaState *s = MQDMA(obj);

    if (!mqdma_fault_ready(s, "fault-removed", value, errp) ||
        value == s->removed) {
        return;
    }
    trace_mqdma_removed(value);
    s->removed = value;
    if (!value) {
        pci_device_reset(PCI_DEVICE(s));
    }
    mqdma_update_presence(s);
}

static void mqdma_add_numbers(ObjectClass *klass, const MqdmaNumber *numbers,
                              size_t count, ObjectPropertyAccessor *set)
{
    for (size_t i = 0; i < count; i++) {
        object_class_property_add(klass, numbers[i].name,
                                  set ? "uint32" : "uint64",
                                  mqdma_get_number, set, NULL,
                                  (void *)&numbers[i]);
        object_class_property_set_description(klass, numbers[i].name,
                                              numbers[i].description);
    }
}

static void mqdma_add_faults(ObjectClass *klass)
{
    mqdma_add_numbers(klass, mqdma_fault_numbers,
                      ARRAY_SIZE(mqdma_fault_numbers), mqdma_set_number);
    mqdma_add_numbers(klass, mqdma_stat_numbers,
                      ARRAY_SIZE(mqdma_stat_numbers), NULL);

    object_class_property_add(klass, "fault-queue", "int32",
                              mqdma_get_fault_queue, mqdma_set_fault_queue,
                              NULL, NULL);
    object_class_property_set_description(klass, "fault-queue",
        "the queue of fault-lost, fault-corrupt and fault-dma; -1: any");
    object_class_property_add(klass, "fault-spurious", "uint32", NULL,
                              mqdma_set_spurious, NULL, NULL);
    object_class_property_set_description(klass, "fault-spurious",
        "interrupt of this queue now, without a cause");
    object_class_property_add(klass, "fault-storm-count", "uint32",
                              mqdma_get_storm, mqdma_set_storm, NULL, NULL);
    object_class_property_set_description(klass, "fault-storm-count",
        "start a storm of this many interrupts");
    object_class_property_add(klass, "fault-hang", "uint64",
                              mqdma_get_hang, mqdma_set_hang, NULL, NULL);
    object_class_property_set_description(klass, "fault-hang",
        "queues that stop working until they are reset, one bit each");
    object_class_property_add_bool(klass, "fault-stuck", mqdma_get_stuck,
                                   mqdma_set_stuck);
    object_class_property_set_description(klass, "fault-stuck",
        "INTx stays asserted");
    object_class_property_add_bool(klass, "fault-removed", mqdma_get_removed,
                                   mqdma_set_removed);
    object_class_property_set_description(klass, "fault-removed",
        "the device is gone");
}

/*
 * Realize
 */

static bool mqdma_check_properties(MqdmaState *s, Error **errp)
{
    if (s->num_queues < 1 || s->num_queues > MQDMA_MAX_QUEUES) {
        error_setg(errp, "mqdma: queues is %" PRIu32 ", it must be 1 to %d",
                   s->num_queues, MQDMA_MAX_QUEUES);
        return false;
    }
    if (s->msi_vectors > MQDMA_MSI_VECTORS_MAX ||
        (s->msi_vectors & (s->msi_vectors - 1))) {
        error_setg(errp, "mqdma: msi-vectors is %" PRIu32
                   ", it must be 0 or a power of two up to %d",
                   s->msi_vectors, MQDMA_MSI_VECTORS_MAX);
        return false;
    }
    if (s->msix_vectors == MQDMA_MSIX_VECTORS_AUTO) {
        s->msix_vectors = s->num_queues + 1;
    }
    if (s->msix_vectors > MQDMA_MAX_VECTORS) {
        error_setg(errp, "mqdma: msix-vectors is %" PRIu32
                   ", it must be 0 to %d", s->msix_vectors,
                   MQDMA_MAX_VECTORS);
        return false;
    }
    if (s->memdev && host_memory_backend_is_mapped(s->memdev)) {
        error_setg(errp, "mqdma: memdev '%s' is in use",
                   object_get_canonical_path_component(OBJECT(s->memdev)));
        return false;
    }
    return true;
}

/* BAR2 is the memory backend; nothing answers when it is switched off. */
static bool mqdma_init_shared(MqdmaState *s, Error **errp)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    MemoryRegion *ram;
    uint64_t size;

    if (!s->memdev) {
        return true;
    }
    ram = host_memory_backend_get_memory(s->memdev);
    size = memory_region_size(ram);
    if (!is_power_of_2(size)) {
        error_setg(errp, "mqdma: the size of memdev is 0x%" PRIx64
                   ", it must be a power of two", size);
        return false;
    }
    s->shared_size = size;
    s->shared_ptr = memory_region_get_ram_ptr(ram);
    memory_region_init_io(&s->shared, OBJECT(s), &mqdma_dead_ops, s,
                          "mqdma-shared", size);
    memory_region_init_alias(&s->shared_ram, OBJECT(s), "mqdma-shared-ram",
                             ram, 0, size);
    memory_region_add_subregion(&s->shared, 0, &s->shared_ram);
    pci_register_bar(pdev, MQDMA_BAR_SHARED,
                     PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->shared);
    host_memory_backend_set_mapped(s->memdev, true);
    vmstate_register_ram(ram, DEVICE(s));
    return true;
}

static bool mqdma_init_msix(MqdmaState *s, Error **errp)
{
    PCIDevice *pdev = PCI_DEVICE(s);

    if (!s->msix_vectors) {
        return true;
    }
    memory_region_init_io(&s->msix_bar, OBJECT(s), &mqdma_dead_ops, s,
                          "mqdma-msix", MQDMA_BAR_MSIX_SIZE);
    pci_register_bar(pdev, MQDMA_BAR_MSIX, PCI_BASE_ADDRESS_SPACE_MEMORY,
                     &s->msix_bar);
    if (msix_init(pdev, s->msix_vectors, &s->msix_bar, MQDMA_BAR_MSIX,
                  MQDMA_MSIX_TABLE, &s->msix_bar, MQDMA_BAR_MSIX,
                  MQDMA_MSIX_PBA, 0, errp) < 0) {
        return false;
    }
    for (unsigned n = 0; n < s->msix_vectors; n++) {
        msix_vector_use(pdev, n);
    }
    memory_region_init_io(&s->msix_dead, OBJECT(s), &mqdma_dead_ops, s,
                          "mqdma-msix-dead", MQDMA_BAR_MSIX_SIZE);
    memory_region_set_enabled(&s->msix_dead, false);
    memory_region_add_subregion_overlap(&s->msix_bar, 0, &s->msix_dead, 1);
    return true;
}

static bool mqdma_init_capabilities(MqdmaState *s, Error **errp)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    int pm;

    pci_config_set_interrupt_pin(pdev->config, 1);
    pm = pci_add_capability(pdev, PCI_CAP_ID_PM, 0, PCI_PM_SIZEOF, errp);
    if (pm < 0) {
        return false;
    }
    s->pm_cap = pm;
    pci_set_word(pdev->config + pm + PCI_PM_PMC, 3);
    pci_set_word(pdev->config + pm + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
    pci_set_word(pdev->wmask + pm + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
    if (s->msi_vectors) {
        if (msi_init(pdev, 0, s->msi_vectors, true, true, errp) < 0) {
            return false;
        }
        /* Pending bits are state: they may differ when they are loaded. */
        pci_set_long(pdev->cmask + pdev->msi_cap + PCI_MSI_PENDING_64, 0);
    }
    if (pcie_endpoint_cap_init(pdev, 0) < 0) {
        error_setg(errp, "mqdma: no room for the PCIe capability");
        return false;
    }
    pcie_cap_flr_init(pdev);
    return mqdma_init_msix(s, errp);
}

static bool mqdma_init_drive(MqdmaState *s, Error **errp)
{
    uint64_t perm = BLK_PERM_CONSISTENT_READ;

    if (!s->blk) {
        return true;
    }
    if (blk_supports_write_perm(s->blk)) {
        perm |= BLK_PERM_WRITE;
    }
    return blk_set_perm(s->blk, perm, BLK_PERM_ALL, errp) >= 0;
}

static void mqdma_init_queue(MqdmaState *s, unsigned n)
{
    MqdmaQueue *q = &s->queue[n];

    q->s = s;
    q->index = n;
    QTAILQ_INIT(&q->ready);
    QTAILQ_INIT(&q->delayed);
    QTAILQ_INIT(&q->drive);
    q->bh = mqdma_bh_new(DEVICE(s), mqdma_queue_bh, q);
    timer_init_ns(&q->delay_timer, QEMU_CLOCK_VIRTUAL, mqdma_delay_expired,
                  q);
    timer_init_ns(&q->coalesce_timer, QEMU_CLOCK_VIRTUAL,
                  mqdma_coalesce_expired, q);
    timer_init_ns(&q->watchdog_timer, QEMU_CLOCK_VIRTUAL,
                  mqdma_watchdog_expired, q);
}

static void mqdma_exit(PCIDevice *pdev)
{
    MqdmaState *s = MQDMA(pdev);

    if (s->vm_state) {
        for (unsigned n = 0; n < s->num_queues; n++) {
            mqdma_queue_drop(&s->queue[n]);
            qemu_bh_delete(s->queue[n].bh);
        }
        timer_del(&s->storm_timer);
        qemu_del_vm_change_state_handler(s->vm_state);
    }
    if (s->blk) {
        /* The block layer gives back what the queues have dropped. */
        blk_drain(s->blk);
    }
    if (s->shared_ptr) {
        vmstate_unregister_ram(host_memory_backend_get_memory(s->memdev),
                               DEVICE(s));
        host_memory_backend_set_mapped(s->memdev, false);
        /* A subregion holds a reference to its owner, which is us. */
        memory_region_del_subregion(&s->shared, &s->shared_ram);
        s->shared_ptr = NULL;
    }
    if (msix_present(pdev)) {
        msix_unuse_all_vectors(pdev);
        msix_uninit(pdev, &s->msix_bar, &s->msix_bar);
        memory_region_del_subregion(&s->msix_bar, &s->msix_dead);
    }
    msi_uninit(pdev);
    pcie_cap_exit(pdev);
    g_free(s->chunk[0]);
    g_free(s->chunk[1]);
}

static void mqdma_realize(PCIDevice *pdev, Error **errp)
{
    MqdmaState *s = MQDMA(pdev);

    if (!mqdma_check_properties(s, errp)) {
        return;
    }
    memory_region_init_io(&s->registers, OBJECT(s), &mqdma_mmio_ops, s,
                          "mqdma-registers", MQDMA_BAR_REGISTERS_SIZE);
    pci_register_bar(pdev, MQDMA_BAR_REGISTERS, PCI_BASE_ADDRESS_SPACE_MEMORY,
                     &s->registers);
    if (!mqdma_init_drive(s, errp) || !mqdma_init_shared(s, errp) ||
        !mqdma_init_capabilities(s, errp)) {
        mqdma_exit(pdev);
        return;
    }
    s->chunk[0] = g_malloc0(MQDMA_CHUNK);
    s->chunk[1] = g_malloc0(MQDMA_CHUNK);
    for (unsigned n = 0; n < s->num_queues; n++) {
        mqdma_init_queue(s, n);
    }
    timer_init_ns(&s->storm_timer, QEMU_CLOCK_VIRTUAL, mqdma_storm_next, s);
    s->vm_state = qdev_add_vm_change_state_handler(DEVICE(s),
                                                   mqdma_vm_state_changed, s);
    s->realized = true;
    mqdma_reset(s);
}

static MqdmaProperty mqdma_properties[] = {
    DEFINE_PROP_UINT32("queues", MqdmaState, num_queues, 8),
    DEFINE_PROP_UINT32("msi-vectors", MqdmaState, msi_vectors, 32),
    DEFINE_PROP_UINT32("msix-vectors", MqdmaState, msix_vectors,
                       MQDMA_MSIX_VECTORS_AUTO),
    DEFINE_PROP_LINK("memdev", MqdmaState, memdev, TYPE_MEMORY_BACKEND,
                     HostMemoryBackend *),
    DEFINE_PROP_DRIVE("drive", MqdmaState, blk),
    MQDMA_PROP_END_OF_LIST
};

static void mqdma_instance_init(Object *obj)
{
    MqdmaState *s = MQDMA(obj);

    s->fault_queue = MQDMA_QUEUE_ALL;
    s->storm_period_us = 100;
}

static void mqdma_class_init(ObjectClass *klass, MqdmaClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->realize = mqdma_realize;
    pc->exit = mqdma_exit;
    pc->config_read = mqdma_config_read;
    pc->config_write = mqdma_config_write;
    pc->vendor_id = MQDMA_PCI_VENDOR;
    pc->device_id = MQDMA_PCI_DEVICE;
    pc->revision = MQDMA_PCI_REVISION;
    pc->class_id = MQDMA_PCI_CLASS;
    RESETTABLE_CLASS(klass)->phases.hold = mqdma_reset_hold;
    dc->desc = "Multi-queue DMA engine for driver tests";
    dc->vmsd = &mqdma_vmstate;
    device_class_set_props(dc, mqdma_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    mqdma_add_faults(klass);
}

static const TypeInfo mqdma_types[] = {
    {
        .name = TYPE_MQDMA,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(MqdmaState),
        .instance_init = mqdma_instance_init,
        .class_init = mqdma_class_init,
        .interfaces = (InterfaceInfo[]) {
            { INTERFACE_PCIE_DEVICE },
            { },
        },
    },
};

DEFINE_TYPES(mqdma_types)
