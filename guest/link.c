/* SPDX-License-Identifier: MIT */
/*
 * The guest's side of the link: traps, upcalls, and the command interpreter.
 *
 * Under TCG a return and an indirect jump cost as much as a dozen of other
 * instructions: trap() is one function with all that an interrupt needs, and
 * the file is compiled without jump tables.
 */
#include "guest.h"

struct link_control link_control __attribute__((aligned(4096)));
local_handler *local_handlers[256];

enum {
    SPIN_CHECK = 64,  /* turns between two looks at clock and interrupts */
    LEVEL_SLEEP = 14, /* only LINK_VECTOR_WAKE's class gets through */
};

static const uint64_t fault_flag = 1ull << 63;

/*
 * Keeps our store before our load, as the host sees them. On one thread TCG
 * drops MFENCE, because its vCPUs do not need it: there a write of CR8 takes
 * QEMU's lock, which is a fence of the host's own processor.
 */
static void fence(void)
{
    full_fence();
    if (link_control.one_thread) {
        write_cr8(read_cr8());
    }
}

/* Before there is a doorbell, the host looks again after a while. */
static void ring(const struct link_mailbox *mailbox, uint32_t value)
{
    uint64_t doorbell = READ_ONCE(mailbox->doorbell);

    if (doorbell) {
        *(volatile uint32_t *)(uintptr_t)doorbell = value;
    }
}

/*
 * Tells the host that the mailbox's first line has changed. A sleeping host
 * set its flag before it looked at the line for the last time.
 */
static void announce(struct link_mailbox *mailbox)
{
    barrier();
    WRITE_ONCE(mailbox->events, mailbox->events + 1);
    fence();
    if (READ_ONCE(mailbox->await_done)) {
        ring(mailbox, mailbox->ring_done);
    }
}

static struct link_command *next_slot(struct link_frame *frame)
{
    return &frame->ring[frame->done % LINK_RING];
}

static bool has_command(struct link_frame *frame)
{
    return READ_ONCE(next_slot(frame)->sequence) == frame->done + 1;
}

/*
 * HLT until something comes. Interrupts are disabled on entry and on exit.
 * A frame whose upcall is unanswered lets nothing in but the wake vector.
 */
static __attribute__((noinline)) void sleep(struct cpu *cpu,
                                            struct link_frame *frame,
                                            bool answered)
{
    struct link_mailbox *mailbox = cpu->mailbox;
    uint64_t level = read_cr8();

    if (!answered || level > LEVEL_SLEEP) {
        write_cr8(LEVEL_SLEEP);
    }
    WRITE_ONCE(mailbox->asleep, 1);
    fence();
    if (!has_command(frame)) {
        mailbox->halts++;
        sti_hlt();
        cli();
    }
    WRITE_ONCE(mailbox->asleep, 0);
    if (!answered || level > LEVEL_SLEEP) {
        write_cr8(level);
    }
}

/*
 * The window in which interrupts come. It opens after each command and every
 * SPIN_CHECK turns of a wait, never between a command and its completion.
 */
static void let_in(void)
{
    __asm__ volatile("sti; nop; cli" ::: "memory");
}

/*
 * Waits for the frame's next command: spins, then sleeps. The other side is
 * post() in pydriver/abi/native.c. Interrupts stay out until the host has
 * answered the frame's upcall.
 */
static void await_command(struct cpu *cpu, struct link_frame *frame,
                          bool answered)
{
    struct link_mailbox *mailbox = cpu->mailbox;
    uint64_t start = 0;

    for (;;) {
        for (unsigned i = 0; i < SPIN_CHECK; i++) {
            if (has_command(frame)) {
                barrier();
                return;
            }
        }
        if (answered) {
            let_in();
        }
        if (link_control.one_thread) {
            relax();
        }
        if (!start) {
            start = rdtsc();
        } else if (mailbox->doorbell && rdtsc() - start > mailbox->spin) {
            sleep(cpu, frame, answered);
        }
    }
}

static uint64_t read_width(uint64_t address, unsigned width)
{
    switch (width) {
    case 4:
        return guarded_read4(address);
    case 1:
        return guarded_read1(address);
    case 2:
        return guarded_read2(address);
    default:
        return guarded_read8(address);
    }
}

static void write_width(uint64_t address, unsigned width, uint64_t value)
{
    switch (width) {
    case 1:
        guarded_write1(address, value);
        break;
    case 2:
        guarded_write2(address, value);
        break;
    case 4:
        guarded_write4(address, value);
        break;
    default:
        guarded_write8(address, value);
    }
}

static bool valid_width(unsigned width)
{
    return width == 1 || width == 2 || width == 4 || width == 8;
}

/* The mailbox's block is ours: only the device's side is guarded. */
static uint32_t transfer_block(struct cpu *cpu, struct link_command *command,
                               bool to_device)
{
    uint64_t block = (uintptr_t)cpu->mailbox->block;
    uint64_t device = command->address;
    unsigned width = command->width;

    if (!valid_width(width) || command->count > LINK_BLOCK_BYTES / width) {
        return LINK_STATUS_INVALID;
    }
    for (uint32_t i = 0; i < command->count; i++, device += width) {
        uint64_t element = block + (uint64_t)i * width;

        if (to_device) {
            write_width(device, width, read_width(element, width));
        } else {
            uint64_t value = read_width(device, width);

            write_width(element, width, value);
        }
        if (cpu->fault) {
            break;
        }
    }
    return LINK_STATUS_OK;
}

static uint32_t port_io(struct link_command *command)
{
    uint16_t port = (uint16_t)command->address;
    uint32_t value = (uint32_t)command->value;
    bool in = command->op == LINK_OP_IN;

    switch (command->width) {
    case 1:
        if (in) {
            __asm__ volatile("inb %w1, %b0" : "=a"(value) : "Nd"(port));
            value &= 0xff;
        } else {
            __asm__ volatile("outb %b0, %w1" ::"a"(value), "Nd"(port));
        }
        break;
    case 2:
        if (in) {
            __asm__ volatile("inw %w1, %w0" : "=a"(value) : "Nd"(port));
            value &= 0xffff;
        } else {
            __asm__ volatile("outw %w0, %w1" ::"a"(value), "Nd"(port));
        }
        break;
    case 4:
        if (in) {
            __asm__ volatile("inl %w1, %0" : "=a"(value) : "Nd"(port));
        } else {
            __asm__ volatile("outl %0, %w1" ::"a"(value), "Nd"(port));
        }
        break;
    default:
        return LINK_STATUS_INVALID;
    }
    command->value = value;
    return LINK_STATUS_OK;
}

typedef uint64_t function(uint64_t, uint64_t, uint64_t, uint64_t);

/* Everything but RETURN. Returns the status; the value goes into command. */
static uint32_t execute(struct cpu *cpu, struct link_frame *frame,
                        struct link_command *command)
{
    switch (command->op) {
    case LINK_OP_READ:
        if (!valid_width(command->width)) {
            return LINK_STATUS_INVALID;
        }
        command->value = read_width(command->address, command->width);
        break;
    case LINK_OP_WRITE:
        if (!valid_width(command->width)) {
            return LINK_STATUS_INVALID;
        }
        write_width(command->address, command->width, command->value);
        break;
    case LINK_OP_NOP:
        break;
    case LINK_OP_SET_CR8:
        if (command->value > 15) {
            return LINK_STATUS_INVALID;
        }
        write_cr8(command->value);
        frame->level = (uint32_t)read_cr8();
        let_in(); /* before the command counts as done */
        cpu->fault = 0;
        break;
    case LINK_OP_GET_CR8:
        command->value = read_cr8();
        break;
    case LINK_OP_READ_BLOCK:
    case LINK_OP_WRITE_BLOCK:
        return transfer_block(cpu, command, command->op == LINK_OP_WRITE_BLOCK);
    case LINK_OP_IN:
    case LINK_OP_OUT:
        return port_io(command);
    case LINK_OP_RDMSR:
        command->value = guarded_rdmsr((uint32_t)command->address);
        break;
    case LINK_OP_WRMSR:
        guarded_wrmsr((uint32_t)command->address, command->value);
        break;
    case LINK_OP_IPI:
        apic_ipi((uint32_t)command->address, (uint32_t)command->value);
        break;
    case LINK_OP_EOI:
        apic_eoi();
        break;
    case LINK_OP_CALL:
        sti();
        command->value = ((function *)(uintptr_t)command->address)(
            command->args[0], command->args[1], command->args[2],
            command->args[3]);
        cli();
        cpu->fault = 0;
        break;
    default:
        return LINK_STATUS_INVALID;
    }
    return LINK_STATUS_OK;
}

/*
 * Shows the frame on the line that the host watches. The host may look at any
 * time: done comes last, and a change of depth after that.
 */
static void show(struct link_mailbox *mailbox, const struct link_frame *frame)
{
    const struct link_command *last =
        &frame->ring[(frame->done - 1) % LINK_RING];

    mailbox->level = frame->level;
    mailbox->status = last->status;
    mailbox->value = last->value;
    barrier();
    WRITE_ONCE(mailbox->done, frame->done);
}

/* Whether a controller waits for the command by itself. */
static bool is_posted(const struct link_command *command)
{
    return command->op == LINK_OP_WRITE || command->op == LINK_OP_IPI ||
           command->op == LINK_OP_OUT || command->op == LINK_OP_WRMSR ||
           command->op == LINK_OP_EOI;
}

static void execute_next(struct cpu *cpu, struct link_frame *frame)
{
    struct link_mailbox *mailbox = cpu->mailbox;
    struct link_command *command = next_slot(frame);

    cpu->fault = 0;
    command->status = execute(cpu, frame, command);
    if (cpu->fault) {
        command->status = LINK_STATUS_FAULT;
        command->value = cpu->fault & ~fault_flag;
        if (is_posted(command)) {
            mailbox->write_fault_address = command->address;
            mailbox->write_faults++;
        }
    }
    frame->done++;
    if (frame == &mailbox->frames[mailbox->depth] &&
        (!is_posted(command) || frame->done % LINK_ANNOUNCE == 0)) {
        show(mailbox, frame);
        announce(mailbox);
    }
}

/*
 * Executes the commands that the interrupted frames had been given before the
 * host saw the interrupt. After the RETURN of a frame come commands of the
 * frame below it. One of them may be the write that releases the line: if it
 * were left, the interrupt would come again and again and starve both.
 */
static void drain(struct cpu *cpu, struct link_frame *frame)
{
    do {
        frame--;
        while (has_command(frame) &&
               next_slot(frame)->op < LINK_OP_FIRST_BOUND) {
            execute_next(cpu, frame);
        }
    } while (frame != cpu->mailbox->frames);
}

/*
 * Executes a frame's commands until RETURN, and gives its flags. Interrupts
 * are disabled on entry and on exit. The first command tells that the host
 * has seen the upcall; interrupts nest from then on.
 */
static uint8_t serve(struct cpu *cpu, struct link_frame *frame)
{
    await_command(cpu, frame, false);
    drain(cpu, frame);
    for (;;) {
        struct link_command *command = next_slot(frame);

        if (command->op == LINK_OP_RETURN) {
            cpu->service_result = command->value;
            frame->done++;
            return command->flags;
        }
        execute_next(cpu, frame);
        let_in();
        await_command(cpu, frame, true);
    }
}

static struct link_frame *push(struct cpu *cpu, uint32_t kind,
                               const struct link_registers *registers)
{
    struct link_mailbox *mailbox = cpu->mailbox;
    uint32_t depth = mailbox->depth + 1;
    struct link_frame *frame = &mailbox->frames[depth];

    if (depth == LINK_MAX_DEPTH) {
        panic();
    }
    WRITE_ONCE(mailbox->asleep, 0);
    frame->kind = kind;
    frame->cr8 = (uint32_t)read_cr8();
    frame->apic_id = mailbox->apic_id;
    if (registers) {
        frame->vector = (uint32_t)registers->vector;
        frame->rip = registers->rip;
    }
    return frame;
}

/* Makes the frame that push() gave the innermost one, and serves it. */
static uint8_t publish(struct cpu *cpu, struct link_frame *frame)
{
    struct link_mailbox *mailbox = cpu->mailbox;

    frame->level = (uint32_t)read_cr8();
    WRITE_ONCE(mailbox->depth, mailbox->depth + 1);
    barrier();
    mailbox->done = frame->done;
    mailbox->level = frame->level;
    mailbox->handler = frame->kind == LINK_UPCALL_SERVICE ? LINK_HANDLER_SERVICE
                                                          : frame->vector;
    barrier();
    WRITE_ONCE(mailbox->upcalls, mailbox->upcalls + 1);
    announce(mailbox);
    if (READ_ONCE(mailbox->await_upcall)) {
        ring(mailbox, mailbox->ring_upcall);
    }
    return serve(cpu, frame);
}

/* CR8 is that of the outer frame again: the host may go on with it. */
static void pop(struct cpu *cpu)
{
    struct link_mailbox *mailbox = cpu->mailbox;

    show(mailbox, &mailbox->frames[mailbox->depth - 1]);
    barrier();
    WRITE_ONCE(mailbox->depth, mailbox->depth - 1);
    announce(mailbox);
}

static void interrupt(struct cpu *cpu, struct link_registers *registers)
{
    bool software = registers->vector == LINK_VECTOR_DISPATCH;
    struct link_frame *frame =
        push(cpu, software ? LINK_UPCALL_SOFTWARE : LINK_UPCALL_INTERRUPT,
             registers);
    uint32_t interrupted = frame->cr8;
    uint8_t flags;

    write_cr8(registers->vector >> 4);
    if (software) {
        apic_eoi();
    }
    flags = publish(cpu, frame);
    if (flags & LINK_RETURN_EOI) {
        apic_eoi();
    }
    if (flags & LINK_RETURN_DISPATCH) {
        apic_ipi(0, ICR_SELF | ICR_ASSERT | LINK_VECTOR_DISPATCH);
    }
    write_cr8(interrupted);
    pop(cpu);
}

static void copy_registers(struct link_frame *frame,
                           const struct link_registers *registers)
{
    struct link_registers *copy = &frame->registers;

    __builtin_memcpy(copy, registers, offsetof(struct link_registers, cr0));
    __asm__ volatile("movq %%cr0, %0" : "=r"(copy->cr0));
    __asm__ volatile("movq %%cr2, %0" : "=r"(copy->cr2));
    __asm__ volatile("movq %%cr3, %0" : "=r"(copy->cr3));
    __asm__ volatile("movq %%cr4, %0" : "=r"(copy->cr4));
    copy->cr8 = frame->cr8;
}

/* A guarded access returns to its caller, with the fault noted. */
static __attribute__((noinline)) void exception(struct cpu *cpu, struct link_registers *registers)
{
    uint64_t guard = (uintptr_t)guard_begin;
    struct link_frame *frame;

    if (registers->rip >= guard && registers->rip < (uintptr_t)guard_end) {
        cpu->fault =
            fault_flag | registers->vector << 32 | (uint32_t)registers->error_code;
        registers->rax = 0;
        registers->rip = *(uint64_t *)(uintptr_t)registers->rsp;
        registers->rsp += 8;
        return;
    }
    frame = push(cpu, LINK_UPCALL_EXCEPTION, registers);
    copy_registers(frame, registers);
    publish(cpu, frame);
    pop(cpu);
}

/*
 * The framework called by guest code, from a function that LINK_OP_CALL
 * started. The host's RETURN carries the result in its value.
 */
uint64_t link_service(uint32_t number)
{
    struct cpu *cpu = this_cpu();
    struct link_frame *frame;

    cli();
    frame = push(cpu, LINK_UPCALL_SERVICE, NULL);
    frame->vector = number;
    publish(cpu, frame);
    pop(cpu);
    sti();
    return cpu->service_result;
}

/* The boot processor waits here until the host says how many are to run. */
void link_init(struct cpu *cpu)
{
    struct link_mailbox *mailbox = cpu->mailbox;

    mailbox->frames[0].kind = LINK_UPCALL_IDLE;
    mailbox->apic_id = apic_id();
    if (cpu->number == 0) {
        link_control.version = LINK_VERSION;
        link_control.x2apic = x2apic;
        barrier();
        WRITE_ONCE(link_control.magic, LINK_MAGIC);
        while (!READ_ONCE(link_control.processors)) {
            relax();
        }
        start_processors(link_control.processors);
    }
    WRITE_ONCE(mailbox->online, 1);
}

/* Depth 0: interrupts nest always, and there is nothing to return to. */
void link_idle(struct cpu *cpu)
{
    struct link_frame *frame = cpu->mailbox->frames;

    for (;;) {
        await_command(cpu, frame, true);
        execute_next(cpu, frame);
        let_in();
    }
}

/* Called by trap.S with interrupts disabled; registers are on the stack. */
void trap(struct link_registers *registers);

__attribute__((flatten)) void trap(struct link_registers *registers)
{
    struct cpu *cpu = this_cpu();
    uint8_t vector = (uint8_t)registers->vector;

    if (vector < 32) {
        exception(cpu, registers);
        return;
    }
    if (vector == LINK_VECTOR_SPURIOUS) {
        return;
    }
    if (vector == LINK_VECTOR_WAKE) {
        apic_eoi();
        return;
    }
    cpu->interrupts++;
    if (local_handlers[vector]) {
        local_handlers[vector](cpu);
        apic_eoi();
        return;
    }
    interrupt(cpu, registers);
}
