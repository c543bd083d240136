/* SPDX-License-Identifier: MIT */
/* The host's side of the link; see native.h and link_abi.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "native.h"

enum {
    SPIN_CHECK = 64,  /* turns between two looks at the clock */
    BLOCK_MS = 20,    /* longest sleep before looking again */
    AGAIN_MS = 200,   /* longest wait before Python sees its signals */
    NAP_US = 50,      /* between two looks while the guest has no doorbell */
    POSTABLE = LINK_RING - 1,
};

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)
#define FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)

double link_tsc_per_us(void)
{
    struct timespec start, now;
    uint64_t first;
    double us;

    clock_gettime(CLOCK_MONOTONIC, &start);
    first = __rdtsc();
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
        us = (double)(now.tv_sec - start.tv_sec) * 1e6 +
             (double)(now.tv_nsec - start.tv_nsec) / 1e3;
    } while (us < 1000);
    return (double)(__rdtsc() - first) / us;
}

struct link_cpu *link_cpu_new(struct link_host *host, uint32_t number,
                              int upcall_fd, int done_fd, int wake_fd)
{
    struct link_cpu *cpu = calloc(1, sizeof(*cpu));

    if (!cpu) {
        return NULL;
    }
    pthread_mutex_init(&cpu->owner, NULL);
    cpu->host = host;
    cpu->mailbox = &host->control->mailboxes[number];
    cpu->frame = cpu->mailbox->frames;
    cpu->recent = cpu->frame;
    cpu->upcall_fd = upcall_fd;
    cpu->done_fd = done_fd;
    cpu->wake_fd = wake_fd;
    return cpu;
}

void link_cpu_free(struct link_cpu *cpu)
{
    pthread_mutex_destroy(&cpu->owner);
    free(cpu);
}

static void ring(int fd)
{
    uint64_t one = 1;

    /* An eventfd takes eight bytes or, when full, is already readable. */
    if (write(fd, &one, sizeof(one)) != sizeof(one)) {
        return;
    }
}

static void drain(int fd)
{
    uint64_t count;

    /* Non-blocking: there may be nothing, when the time-out ended the wait. */
    if (read(fd, &count, sizeof(count)) != sizeof(count)) {
        return;
    }
}

void link_stop(struct link_host *host, struct link_cpu **cpus)
{
    STORE(host->stopped, 1);
    for (uint32_t i = 0; i < host->processors; i++) {
        ring(cpus[i]->upcall_fd);
        ring(cpus[i]->done_fd);
    }
}

static bool has_upcall(struct link_cpu *cpu)
{
    return LOAD(cpu->mailbox->upcalls) != LOAD(cpu->seen);
}

/*
 * All posted commands have been executed, and no inner frame is still on its
 * way out: it executes an outer frame's commands too. (An outer frame may
 * have its RETURN, with an interrupt that came before it returned.) An upcall
 * that begins changes depth before done: done is this frame's if depth is
 * still the same after it was read.
 */
static bool all_done(struct link_cpu *cpu)
{
    struct link_mailbox *mailbox = cpu->mailbox;

    return LOAD(mailbox->depth) == cpu->index &&
           LOAD(mailbox->done) == cpu->frame->posted &&
           LOAD(mailbox->depth) == cpu->index;
}

/* done is announced now and then only: there is at least as much room. */
static bool has_room(struct link_cpu *cpu)
{
    struct link_frame *frame = cpu->frame;

    return frame->posted - LOAD(frame->done) < POSTABLE;
}

/* The fourth field is "runnable/all" [proc(5)]; 0 when it cannot be read. */
static uint32_t runnable_threads(struct link_host *host)
{
    char text[64];
    ssize_t length = pread(host->loadavg_fd, text, sizeof(text) - 1, 0);
    unsigned spaces = 0;

    for (ssize_t i = 0; i < length; i++) {
        spaces += text[i] == ' ';
        if (spaces == 3) {
            text[length] = '\0';
            return (uint32_t)strtoul(&text[i], NULL, 10);
        }
    }
    return 0;
}

/*
 * Spinning helps only while every spinner has a processor for itself: among
 * the vCPUs that are awake and the threads that spin here ... When all vCPUs
 * have one thread, the spinners give way to each other, and none waits for
 * long: only one of them has the interpreter anyway.
 */
static bool may_spin(struct link_host *host)
{
    uint32_t busy = (uint32_t)__atomic_load_n(&host->spinning, __ATOMIC_RELAXED);

    if (host->one_thread) {
        return true;
    }
    for (uint32_t i = 0; i < host->processors; i++) {
        busy += !LOAD(host->control->mailboxes[i].asleep);
    }
    return busy <= host->usable;
}

/*
 * ... and among all that runs on the machine: another thread of the
 * controller, another test, another compiler.
 */
static bool crowded(struct link_host *host)
{
    uint32_t yielding = 0;

    if (host->one_thread) {
        yielding =
            (uint32_t)__atomic_load_n(&host->spinning, __ATOMIC_RELAXED);
    }
    return runnable_threads(host) > host->online + yielding;
}

/* What a wait waits for. */
enum condition { UPCALL, DONE_OR_UPCALL, ROOM_OR_UPCALL };

/* What comes while the processor is borrowed is not the service thread's. */
static inline bool reached(struct link_cpu *cpu, enum condition condition)
{
    switch (condition) {
    case UPCALL:
        return has_upcall(cpu) && !LOAD(cpu->borrowed);
    case DONE_OR_UPCALL:
        return all_done(cpu) || has_upcall(cpu);
    default:
        return has_room(cpu) || has_upcall(cpu);
    }
}

static inline bool spin(struct link_cpu *cpu, enum condition condition)
{
    struct link_host *host = cpu->host;
    uint32_t events = LOAD(cpu->mailbox->events);
    uint64_t start = 0, looked = 0;
    bool result = reached(cpu, condition);

    __atomic_fetch_add(&host->spinning, 1, __ATOMIC_RELAXED);
    while (!result && may_spin(host)) {
        uint64_t now;

        for (unsigned i = 0; i < SPIN_CHECK; i++) {
            if (LOAD(cpu->mailbox->events) != events) {
                break;
            }
            _mm_pause();
        }
        events = LOAD(cpu->mailbox->events);
        result = reached(cpu, condition);
        if (result) {
            break;
        }
        if (host->one_thread) {
            sched_yield();
        }
        now = __rdtsc();
        if (!start) {
            start = looked = now;
        } else if (now - start > host->spin_ticks) {
            break;
        } else if (now - looked > host->look_ticks) {
            if (crowded(host)) {
                break;
            }
            looked = __rdtsc();
        }
    }
    __atomic_fetch_sub(&host->spinning, 1, __ATOMIC_RELAXED);
    return result;
}

/*
 * Sleeps until the guest, which sees the flag, rings the eventfd. A wake-up
 * that was lost after all costs BLOCK_MS and is counted.
 */
static int block(struct link_cpu *cpu, enum condition condition)
{
    bool service = condition == UPCALL;
    struct link_mailbox *mailbox = cpu->mailbox;
    uint32_t *flag = service ? &mailbox->await_upcall : &mailbox->await_done;
    int fd = service ? cpu->upcall_fd : cpu->done_fd;
    struct pollfd fds[2] = {
        {.fd = fd, .events = POLLIN},
        {.fd = cpu->host->pidfd, .events = POLLIN},
    };
    const struct timespec longest = {.tv_nsec = BLOCK_MS * 1000000L};
    const struct timespec nap = {.tv_nsec = NAP_US * 1000L};
    int outcome = LINK_AGAIN;

    cpu->blocks++;
    if (service) {
        STORE(cpu->service_sleeps, 1);
        FENCE();
    }
    STORE(*flag, !(service && LOAD(cpu->borrowed)));
    FENCE();
    for (int waited = 0; waited < AGAIN_MS; waited += BLOCK_MS) {
        if (reached(cpu, condition)) {
            outcome = LINK_DONE;
            break;
        }
        if (LOAD(cpu->host->stopped)) {
            outcome = LINK_STOPPED;
            break;
        }
        if (ppoll(fds, 2, mailbox->doorbell ? &longest : &nap, NULL) < 0) {
            break; /* EINTR: let Python run its signal handlers */
        }
        if (fds[1].revents) {
            outcome = reached(cpu, condition) ? LINK_DONE : LINK_DIED;
            break;
        }
        if (fds[0].revents) {
            drain(fd);
        } else if (reached(cpu, condition)) {
            cpu->blips += mailbox->doorbell != 0;
        } else if (LOAD(mailbox->asleep) &&
                   cpu->recent->done != cpu->recent->posted) {
            ring(cpu->wake_fd);
        }
    }
    STORE(*flag, 0);
    if (service) {
        STORE(cpu->service_sleeps, 0);
    }
    return outcome;
}

static inline int wait_for(struct link_cpu *cpu, enum condition condition)
{
    if (reached(cpu, condition)) {
        return LINK_DONE;
    }
    if (!(condition == UPCALL && LOAD(cpu->borrowed)) && spin(cpu, condition)) {
        return LINK_DONE;
    }
    return block(cpu, condition);
}

static int lock_owner(struct link_cpu *cpu)
{
    struct timespec limit;

    if (pthread_mutex_trylock(&cpu->owner) == 0) {
        return LINK_DONE;
    }
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_nsec += AGAIN_MS * 1000000L;
    if (limit.tv_nsec >= 1000000000L) {
        limit.tv_nsec -= 1000000000L;
        limit.tv_sec++;
    }
    if (pthread_mutex_timedlock(&cpu->owner, &limit) == 0) {
        return LINK_DONE;
    }
    return LOAD(cpu->host->stopped) ? LINK_STOPPED : LINK_AGAIN;
}

/* Turns to the frame of a new upcall; gives its handler's number. */
static int accept_upcall(struct link_cpu *cpu)
{
    struct link_mailbox *mailbox = cpu->mailbox;

    STORE(cpu->seen, LOAD(mailbox->upcalls));
    cpu->stack[cpu->level].frame = cpu->frame;
    cpu->stack[cpu->level].irql = cpu->irql;
    cpu->level++;
    cpu->index = mailbox->depth;
    cpu->frame = &mailbox->frames[cpu->index];
    cpu->irql = mailbox->level;
    cpu->upcalls++;
    return (int)mailbox->handler;
}

int link_wait_upcall(struct link_cpu *cpu)
{
    for (;;) {
        int outcome = wait_for(cpu, UPCALL);

        if (outcome != LINK_DONE) {
            return outcome;
        }
        outcome = lock_owner(cpu);
        if (outcome != LINK_DONE) {
            return outcome;
        }
        if (has_upcall(cpu)) {
            return accept_upcall(cpu);
        }
        pthread_mutex_unlock(&cpu->owner); /* a borrower has served it */
    }
}

/* Makes the command visible, then wakes a guest that announced its sleep. */
static inline void post(struct link_cpu *cpu, struct link_frame *frame,
                        struct link_command *slot)
{
    frame->posted++;
    STORE(slot->sequence, frame->posted);
    cpu->recent = frame;
    FENCE();
    if (LOAD(cpu->mailbox->asleep)) {
        ring(cpu->wake_fd);
    }
}

static int make_room(struct link_cpu *cpu)
{
    int outcome = wait_for(cpu, ROOM_OR_UPCALL);

    if (outcome == LINK_DONE && !has_room(cpu)) {
        outcome = LINK_ACCEPTED - accept_upcall(cpu);
    }
    return outcome == LINK_DONE ? LINK_DONE : LINK_NOT_POSTED + outcome;
}

static inline struct link_command *next_slot(struct link_frame *frame)
{
    return &frame->ring[frame->posted % LINK_RING];
}

int link_post(struct link_cpu *cpu, int op, int width, uint32_t count,
              uint64_t address, uint64_t value)
{
    struct link_frame *frame = cpu->frame;
    struct link_command *slot;

    if (!has_room(cpu)) {
        int outcome = make_room(cpu);

        if (outcome != LINK_DONE) {
            return outcome;
        }
    }
    slot = next_slot(frame);
    slot->op = (uint16_t)op;
    slot->width = (uint8_t)width;
    slot->flags = 0;
    slot->count = count;
    slot->address = address;
    slot->value = value;
    post(cpu, frame, slot);
    return LINK_DONE;
}

/*
 * The level of the frame whose command is done. An interrupt may have come
 * since: its upcall changes depth first, and then the mailbox's level, which
 * is not ours any more. The value and the status stay: they change with the
 * next command only, which nobody posts meanwhile.
 */
static inline uint32_t level_of_frame(struct link_cpu *cpu)
{
    uint32_t level = LOAD(cpu->mailbox->level);

    return LOAD(cpu->mailbox->depth) == cpu->index ? level
                                                   : LOAD(cpu->frame->level);
}

/* A posted write's fault is reported by the next command that waits. */
static inline int report(struct link_cpu *cpu)
{
    struct link_mailbox *mailbox = cpu->mailbox;

    cpu->irql = level_of_frame(cpu);
    cpu->value = mailbox->value;
    cpu->status = mailbox->status;
    if (mailbox->write_faults != cpu->write_faults) {
        cpu->write_faults = mailbox->write_faults;
        cpu->status = LINK_STATUS_FAULT;
        cpu->address = mailbox->write_fault_address;
        return LINK_FAULTED;
    }
    if (cpu->status != LINK_STATUS_OK) {
        struct link_frame *frame = cpu->frame;

        cpu->address = frame->ring[(frame->posted - 1) % LINK_RING].address;
        return LINK_FAULTED;
    }
    return LINK_DONE;
}

/*
 * An upcall changes depth before it counts as one: for a moment the frame's
 * commands are no longer done, and there is no upcall to accept yet.
 */
int link_resume(struct link_cpu *cpu)
{
    for (;;) {
        int outcome = wait_for(cpu, DONE_OR_UPCALL);

        if (outcome != LINK_DONE) {
            return outcome;
        }
        if (has_upcall(cpu)) {
            return LINK_ACCEPTED - accept_upcall(cpu);
        }
        if (all_done(cpu)) {
            return report(cpu);
        }
    }
}

int link_execute(struct link_cpu *cpu, int op, int width, uint32_t count,
                 uint64_t address, uint64_t value)
{
    int outcome = link_post(cpu, op, width, count, address, value);

    return outcome == LINK_DONE ? link_resume(cpu) : outcome;
}

int64_t link_read(struct link_cpu *cpu, uint64_t address, int width)
{
    int outcome = link_execute(cpu, LINK_OP_READ, width, 0, address, 0);

    return outcome == LINK_DONE ? (int64_t)cpu->value : outcome;
}

int link_write(struct link_cpu *cpu, uint64_t address, int width,
               uint64_t value)
{
    return link_post(cpu, LINK_OP_WRITE, width, 0, address, value);
}

int link_call(struct link_cpu *cpu, uint64_t address, uint64_t a0, uint64_t a1,
              uint64_t a2, uint64_t a3)
{
    struct link_command *slot = next_slot(cpu->frame);

    if (!has_room(cpu)) {
        int outcome = make_room(cpu);

        if (outcome != LINK_DONE) {
            return outcome;
        }
    }
    slot->args[0] = a0;
    slot->args[1] = a1;
    slot->args[2] = a2;
    slot->args[3] = a3;
    return link_execute(cpu, LINK_OP_CALL, 0, 0, address, 0);
}

void link_return(struct link_cpu *cpu, int flags)
{
    struct link_frame *frame = cpu->frame;
    struct link_command *slot = next_slot(frame);

    slot->op = LINK_OP_RETURN;
    slot->flags = (uint8_t)flags;
    slot->value = cpu->service_value;
    post(cpu, frame, slot);
    cpu->level--;
    cpu->frame = cpu->stack[cpu->level].frame;
    cpu->index = (uint32_t)(cpu->frame - cpu->mailbox->frames);
    cpu->irql = cpu->stack[cpu->level].irql;
    if (cpu->level == 0) {
        cpu->quiescent++;
        if (!cpu->borrowed) {
            pthread_mutex_unlock(&cpu->owner);
        }
    }
}

int link_return_wait(struct link_cpu *cpu, int flags)
{
    link_return(cpu, flags);
    return link_wait_upcall(cpu);
}

int link_return_resume(struct link_cpu *cpu, int flags)
{
    link_return(cpu, flags);
    return link_resume(cpu);
}

/*
 * A borrower serves what comes: nobody need ring for the service thread, until
 * link_release() tells it what the borrower has left.
 */
int link_acquire(struct link_cpu *cpu)
{
    int outcome = lock_owner(cpu);

    if (outcome == LINK_DONE) {
        STORE(cpu->borrowed, 1);
        STORE(cpu->mailbox->await_upcall, 0);
    }
    return outcome;
}

void link_release(struct link_cpu *cpu)
{
    cpu->quiescent++;
    STORE(cpu->borrowed, 0);
    pthread_mutex_unlock(&cpu->owner);
    FENCE();
    if (LOAD(cpu->service_sleeps)) {
        STORE(cpu->mailbox->await_upcall, 1);
        FENCE();
        if (has_upcall(cpu)) {
            ring(cpu->upcall_fd);
        }
    }
}
