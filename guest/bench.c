/* SPDX-License-Identifier: MIT */
/* Functions that the benchmark and the tests start with LINK_OP_CALL. */
#include "guest.h"

uint64_t raise_interrupts(uint64_t address, uint64_t value, uint64_t count);
uint64_t measure_floor(uint64_t device, uint64_t offsets, uint64_t value,
                       uint64_t count);

static volatile uint32_t *floor_read, *floor_write;

static void write_register(uint64_t address, uint32_t value)
{
    *(volatile uint32_t *)(uintptr_t)address = value;
}

/*
 * Raises an interrupt on this processor count times by a register write, and
 * waits for each to have been handled. Returns the interrupts taken.
 */
uint64_t raise_interrupts(uint64_t address, uint64_t value, uint64_t count)
{
    struct cpu *cpu = this_cpu();
    uint64_t first = READ_ONCE(cpu->interrupts);

    for (uint64_t i = 0; i < count; i++) {
        uint64_t before = READ_ONCE(cpu->interrupts);

        write_register(address, (uint32_t)value);
        while (READ_ONCE(cpu->interrupts) == before) {
        }
    }
    return READ_ONCE(cpu->interrupts) - first;
}

static void floor_handler(struct cpu *cpu)
{
    (void)cpu;
    *floor_write = *floor_read;
}

/*
 * The cheapest interrupt there is: the handler in C reads one register and
 * writes one; trap() does EOI. offsets = vector << 48 | raise << 32 |
 * read << 16 | write, relative to device; value is what raises.
 */
uint64_t measure_floor(uint64_t device, uint64_t offsets, uint64_t value,
                       uint64_t count)
{
    uint8_t vector = (uint8_t)(offsets >> 48);
    uint64_t taken;

    floor_read = (uint32_t *)(uintptr_t)(device + (offsets >> 16 & 0xffff));
    floor_write = (uint32_t *)(uintptr_t)(device + (offsets & 0xffff));
    WRITE_ONCE(local_handlers[vector], floor_handler);
    taken = raise_interrupts(device + (offsets >> 32 & 0xffff), value, count);
    WRITE_ONCE(local_handlers[vector], NULL);
    return taken;
}
