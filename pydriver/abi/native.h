/* SPDX-License-Identifier: MIT */
/*
 * The host's side of the link: waits and commands, called through cffi with
 * the GIL released. cffi parses this file after link_abi.h.
 *
 * Ownership. A vCPU's mailbox has one owner at a time: the service thread
 * while it serves an upcall, or a passive thread that has borrowed the
 * processor (link_acquire). Only the owner posts commands and accepts upcalls.
 */
#ifndef PYDRIVER_NATIVE_H
#define PYDRIVER_NATIVE_H

#ifndef LINK_CFFI
#include <pthread.h>
#include <stdint.h>

#include "link_abi.h"
#endif

/*
 * The ends of a wait. They are negative, so no 32-bit register value is one.
 * LINK_ACCEPTED - h says that an upcall came first: its handler is number h,
 * commands now go to its frame, and link_return_resume() ends it and goes on
 * with the wait that it interrupted.
 */
enum link_outcome {
    LINK_DONE = 0,
    LINK_FAULTED = -1,      /* the guest reports a status, see link_cpu */
    LINK_AGAIN = -2,        /* nothing for a while: look for signals, resume */
    LINK_STOPPED = -3,      /* link_stop() */
    LINK_DIED = -4,         /* the QEMU process ended */
    LINK_ACCEPTED = -16,    /* less the handler's number */
    LINK_NOT_POSTED = -512, /* plus an outcome: the command was not posted */
};

/* One for each Link; shared by its vCPUs. */
struct link_host {
    struct link_control *control;
    uint32_t processors; /* vCPUs */
    uint32_t usable;     /* host processors this process may run on */
    uint32_t online;     /* processors that the host has */
    uint64_t spin_ticks; /* of the host's TSC, before a wait blocks */
    uint64_t look_ticks; /* between two looks at who else is running */
    int32_t loadavg_fd;  /* /proc/loadavg, which counts the runnable threads */
    int32_t pidfd;       /* of the QEMU process */
    int32_t stopped;
    int32_t spinning; /* host threads that spin now */
    int32_t one_thread; /* QEMU runs all vCPUs on one thread */
};

struct link_cpu {
    struct link_host *host;
    struct link_mailbox *mailbox;
    struct link_frame *frame; /* where the owner's commands go */
    uint64_t value;           /* of the last completed command */
    uint64_t address;         /* of the command that status is about */
    uint32_t status;          /* enum link_status of it */
    uint32_t irql;            /* CR8 of the frame, as the guest reports it */
    uint32_t seen;            /* upcalls accepted */
    uint32_t level;           /* upcalls being served, nested */
    int32_t borrowed;
    int32_t service_sleeps; /* the service thread, in poll() */
    int32_t upcall_fd; /* the guest rings: await_upcall */
    int32_t done_fd;   /* the guest rings: await_done */
    int32_t wake_fd;   /* rings the guest */
    uint64_t upcalls;  /* served */
    uint64_t quiescent; /* returns from an outermost upcall, and releases */
    uint64_t blocks;   /* waits that slept */
    uint64_t blips;    /* wake-ups that the time-out had to mend */
    uint64_t service_value; /* what the next RETURN gives link_service() */
#ifdef LINK_CFFI
    ...;
#else
    uint32_t write_faults; /* of the mailbox's, reported */
    struct link_frame *recent; /* posted to last */
    uint32_t index; /* of frame in the mailbox */
    struct {
        struct link_frame *frame;
        uint32_t irql;
    } stack[LINK_MAX_DEPTH + 1];
    pthread_mutex_t owner;
#endif
};

/* Ticks of the TSC in a microsecond, by measuring for about a millisecond. */
double link_tsc_per_us(void);

struct link_cpu *link_cpu_new(struct link_host *host, uint32_t number,
                              int upcall_fd, int done_fd, int wake_fd);
void link_cpu_free(struct link_cpu *cpu);

/* Makes every wait of the link end with LINK_STOPPED, now and from now on. */
void link_stop(struct link_host *host, struct link_cpu **cpus);

/* The service thread: waits, takes ownership, gives the handler's index. */
int link_wait_upcall(struct link_cpu *cpu);
/* Posts RETURN, gives up ownership, and waits for the next. */
int link_return_wait(struct link_cpu *cpu, int flags);

/* A passive thread: LINK_DONE, LINK_AGAIN, LINK_STOPPED. */
int link_acquire(struct link_cpu *cpu);
void link_release(struct link_cpu *cpu);

/* Ends an upcall that came during a command's wait; the wait goes on. */
int link_return_resume(struct link_cpu *cpu, int flags);
/* Ends one that came before a command could be posted. */
void link_return(struct link_cpu *cpu, int flags);

/*
 * Commands. A ring has one slot more than they use, for RETURN, which thereby
 * never waits. link_post() posts; the others also wait until the command has
 * been executed. An outcome of a wait is followed by link_return_resume() or
 * link_resume(); one with LINK_NOT_POSTED by the same command again.
 */
int link_post(struct link_cpu *cpu, int op, int width, uint32_t count,
              uint64_t address, uint64_t value);
int link_write(struct link_cpu *cpu, uint64_t address, int width,
               uint64_t value);
int64_t link_read(struct link_cpu *cpu, uint64_t address, int width);
int link_execute(struct link_cpu *cpu, int op, int width, uint32_t count,
                 uint64_t address, uint64_t value);
int link_call(struct link_cpu *cpu, uint64_t address, uint64_t a0, uint64_t a1,
              uint64_t a2, uint64_t a3);
int link_resume(struct link_cpu *cpu);

#endif
