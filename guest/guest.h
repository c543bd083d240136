/* SPDX-License-Identifier: MIT */
/* What the guest's few files share: processors, their registers, the link. */
#ifndef PYDRIVER_GUEST_H
#define PYDRIVER_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../pydriver/abi/link_abi.h"

#define barrier() __asm__ volatile("" ::: "memory")
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

/* Interrupt command register, low word [Intel SDM vol. 3 11.6.1] */
enum {
    ICR_FIXED = 0 << 8,
    ICR_INIT = 5 << 8,
    ICR_STARTUP = 6 << 8,
    ICR_PENDING = 1 << 12,
    ICR_ASSERT = 1 << 14,
    ICR_SELF = 1 << 18,
};

/* Local APIC registers; in x2APIC mode, MSR_X2APIC + offset >> 4 */
enum {
    MSR_X2APIC = 0x800,
    /*
     * Not its physical address: QEMU's TLB is direct-mapped by the lower bits
     * of the page number, and keeps no victims that are MMIO. At this one the
     * APIC does not take turns with a device's BAR (boot.S maps it).
     */
    APIC_MMIO = 0xff000,
    APIC_EOI = 0xb0,
};

struct cpu {
    struct cpu *self; /* at %gs:0 */
    struct link_mailbox *mailbox;
    uint32_t number;
    /* The last guarded access faulted: vector << 32 | error code, | 1 << 63 */
    uint64_t fault;
    uint64_t interrupts; /* device interrupts taken, local ones included */
    uint64_t service_result;
};

/* cpu.c */
extern struct cpu cpus[LINK_MAX_CPUS];
extern bool x2apic;
void apic_init(void);
uint32_t apic_id(void);
void apic_ipi(uint32_t destination, uint32_t icr_low);
void descriptors_init(uint32_t number);
void start_processors(uint32_t count);
void panic(void) __attribute__((noreturn));

/* link.c */
extern struct link_control link_control;
void link_init(struct cpu *cpu);
void link_idle(struct cpu *cpu) __attribute__((noreturn));
uint64_t link_service(uint32_t number);

/* A vector that the guest handles by itself: how the floor is measured. */
typedef void local_handler(struct cpu *cpu);
extern local_handler *local_handlers[256];

/* trap.S */
extern const char trap_stubs[], guard_begin[], guard_end[];
uint64_t guarded_read1(uint64_t address);
uint64_t guarded_read2(uint64_t address);
uint64_t guarded_read4(uint64_t address);
uint64_t guarded_read8(uint64_t address);
void guarded_write1(uint64_t address, uint64_t value);
void guarded_write2(uint64_t address, uint64_t value);
void guarded_write4(uint64_t address, uint64_t value);
void guarded_write8(uint64_t address, uint64_t value);
uint64_t guarded_rdmsr(uint32_t msr);
void guarded_wrmsr(uint32_t msr, uint64_t value);

static inline struct cpu *this_cpu(void)
{
    struct cpu *cpu;

    __asm__ volatile("movq %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

static inline uint64_t read_cr8(void)
{
    uint64_t value;

    __asm__ volatile("movq %%cr8, %0" : "=r"(value)::"memory");
    return value;
}

static inline void write_cr8(uint64_t value)
{
    __asm__ volatile("movq %0, %%cr8" ::"r"(value) : "memory");
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value),
                     "d"((uint32_t)(value >> 32))
                     : "memory");
}

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline void apic_write(uint32_t offset, uint32_t value)
{
    if (x2apic) {
        wrmsr(MSR_X2APIC + (offset >> 4), value);
    } else {
        *(volatile uint32_t *)(uintptr_t)(APIC_MMIO + offset) = value;
    }
}

static inline void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}

static inline void cli(void)
{
    __asm__ volatile("cli" ::: "memory");
}

static inline void sti(void)
{
    __asm__ volatile("sti" ::: "memory");
}

/* Sleep until an interrupt; none is lost between the two [SDM vol. 2, STI]. */
static inline void sti_hlt(void)
{
    __asm__ volatile("sti; hlt" ::: "memory");
}

/* Orders a store before a later load, which x86 does not do by itself. */
static inline void full_fence(void)
{
    __asm__ volatile("mfence" ::: "memory");
}

/* In a wait: lets what shares the processor run. */
static inline void relax(void)
{
    __asm__ volatile("pause" ::: "memory");
}

#endif
