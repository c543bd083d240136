/* SPDX-License-Identifier: MIT */
/* Processors: descriptor tables, local APIC, INIT-SIPI-SIPI. */
#include "guest.h"

enum {
    MSR_APIC_BASE = 0x1b,
    MSR_GS_BASE = 0xc0000101,
    APIC_BASE_ENABLE = 1 << 11,
    APIC_BASE_X2APIC = 1 << 10,
    APIC_ID = 0x20,
    APIC_SVR = 0xf0,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    SVR_ENABLE = 1 << 8,
    CPUID_1_ECX_X2APIC = 1 << 21,
    TRAMPOLINE = 0x8000,
    STACK_BYTES = 65536,
    SELECTOR_CODE64 = 0x10,
    SELECTOR_TSS = 0x20,
    DESCRIPTOR_TSS = 0x89,
    GATE_INTERRUPT = 0x8e,
    IST_DOUBLE_FAULT = 1,
    VECTOR_DOUBLE_FAULT = 8,
    STUB_BYTES = 16,
    TSC_SECOND = 2000000000, /* no more than; only bounds a wait */
};

struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
} __attribute__((packed));

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

struct cpu cpus[LINK_MAX_CPUS];
bool x2apic;

static struct gate idt[256] __attribute__((aligned(16)));
static struct tss tss[LINK_MAX_CPUS];
static uint8_t stacks[LINK_MAX_CPUS][STACK_BYTES] __attribute__((aligned(16)));
static uint8_t fault_stacks[LINK_MAX_CPUS][4096] __attribute__((aligned(16)));

extern uint64_t gdt_tss[];
extern uint32_t ap_number, ap_stack;
extern const uint8_t ap_trampoline[], ap_trampoline_end[];

void processor_main(uint32_t number);

/* No way on: without an IDT the next exception ends in a reset. */
void panic(void)
{
    struct table_pointer none = {0, 0};

    __asm__ volatile("cli; lidt %0; ud2" ::"m"(none));
    __builtin_unreachable();
}

static uint32_t apic_read(uint32_t offset)
{
    if (x2apic) {
        return (uint32_t)rdmsr(MSR_X2APIC + (offset >> 4));
    }
    return *(volatile uint32_t *)(uintptr_t)(APIC_MMIO + offset);
}

void apic_init(void)
{
    uint32_t eax = 1, ebx, ecx, edx;
    uint64_t base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    x2apic = ecx & CPUID_1_ECX_X2APIC;
    wrmsr(MSR_APIC_BASE, x2apic ? base | APIC_BASE_X2APIC : base);
    apic_write(APIC_SVR, SVR_ENABLE | LINK_VECTOR_SPURIOUS);
}

uint32_t apic_id(void)
{
    uint32_t id = apic_read(APIC_ID);

    return x2apic ? id : id >> 24;
}

void apic_ipi(uint32_t destination, uint32_t icr_low)
{
    if (x2apic) {
        wrmsr(MSR_X2APIC + (APIC_ICR >> 4),
              (uint64_t)destination << 32 | icr_low);
        return;
    }
    apic_write(APIC_ICR_HIGH, destination << 24);
    apic_write(APIC_ICR, icr_low);
    while (apic_read(APIC_ICR) & ICR_PENDING) {
    }
}

static void idt_init(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t stub = (uintptr_t)trap_stubs + i * STUB_BYTES;

        idt[i] = (struct gate){
            .offset_low = (uint16_t)stub,
            .selector = SELECTOR_CODE64,
            .ist = i == VECTOR_DOUBLE_FAULT ? IST_DOUBLE_FAULT : 0,
            .type = GATE_INTERRUPT,
            .offset_middle = (uint16_t)(stub >> 16),
            .offset_high = (uint32_t)(stub >> 32),
        };
    }
}

void descriptors_init(uint32_t number)
{
    struct table_pointer pointer = {sizeof(idt) - 1, (uintptr_t)idt};
    uint64_t base = (uintptr_t)&tss[number];

    if (number == 0) {
        idt_init();
    }
    tss[number].ist[IST_DOUBLE_FAULT - 1] =
        (uintptr_t)(fault_stacks[number] + sizeof(fault_stacks[number]));
    tss[number].io_map = sizeof(struct tss);
    gdt_tss[2 * number] = (sizeof(struct tss) - 1) | (base & 0xffffff) << 16 |
                          (uint64_t)DESCRIPTOR_TSS << 40 |
                          (base >> 24 & 0xff) << 56;
    gdt_tss[2 * number + 1] = base >> 32;
    __asm__ volatile("lidt %0; ltr %w1" ::"m"(pointer),
                     "r"(SELECTOR_TSS + 16 * number));
}

/* Waits for a processor's first store to its mailbox, for a second at most. */
static bool comes_online(struct link_mailbox *mailbox, uint64_t ticks)
{
    uint64_t start = rdtsc();

    while (!READ_ONCE(mailbox->online)) {
        if (rdtsc() - start > ticks) {
            return false;
        }
        relax();
    }
    return true;
}

/*
 * INIT, SIPI, and a second SIPI for a processor that missed the first
 * [Intel SDM vol. 3 9.4.4]. APIC ids are the processor numbers in QEMU's
 * default topology. One at a time: they share the trampoline's two words.
 */
void start_processors(uint32_t count)
{
    uint8_t *low = (uint8_t *)(uintptr_t)TRAMPOLINE;
    size_t length = (size_t)(ap_trampoline_end - ap_trampoline);

    for (size_t i = 0; i < length; i++) {
        WRITE_ONCE(low[i], ap_trampoline[i]);
    }
    for (uint32_t i = 1; i < count; i++) {
        struct link_mailbox *mailbox = &link_control.mailboxes[i];

        WRITE_ONCE(ap_number, i);
        WRITE_ONCE(ap_stack, (uint32_t)(uintptr_t)(stacks[i] + STACK_BYTES));
        apic_ipi(i, ICR_INIT | ICR_ASSERT);
        comes_online(mailbox, TSC_SECOND / 5000);
        apic_ipi(i, ICR_STARTUP | ICR_ASSERT | TRAMPOLINE >> 12);
        if (comes_online(mailbox, TSC_SECOND / 100)) {
            continue;
        }
        apic_ipi(i, ICR_STARTUP | ICR_ASSERT | TRAMPOLINE >> 12);
        if (!comes_online(mailbox, TSC_SECOND)) {
            panic();
        }
    }
}

/* Called by boot.S on each processor, interrupts disabled. */
void processor_main(uint32_t number)
{
    struct cpu *cpu = &cpus[number];

    cpu->self = cpu;
    cpu->number = number;
    cpu->mailbox = &link_control.mailboxes[number];
    wrmsr(MSR_GS_BASE, (uintptr_t)cpu);
    descriptors_init(number);
    apic_init();
    link_init(cpu);
    link_idle(cpu);
}
