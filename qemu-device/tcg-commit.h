/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A change of the memory map reaches each vCPU between two of its runs
 *
 * Copyright (c) 2026 the pydriver authors
 *
 * TCG keeps, for each page of MMIO, the number of a section of the memory map.
 * When one vCPU switches a BAR on or off, QEMU gives every vCPU the new map at
 * once and has it flush its TLB soon. Meanwhile an old number is looked up in
 * the new map: an access to the local APIC goes astray (an EOI is lost, and no
 * interrupt comes any more), or QEMU ends (QEMU 7.2; 10.0 with a failed
 * assertion in iotlb_to_section()). 8.2 defers the new map to the vCPU's own
 * thread (commit 0d58c660689f), but RCU does not keep the old one for a vCPU
 * that is just about to enter cpu_exec(), where it takes interrupts before it
 * looks for queued work.
 *
 * Here every vCPU holds a reference to the view that it uses, and changes it
 * on its own thread, outside of cpu_exec(). overlay.py has physmem.c include
 * this file, and tcg_commit() return when left_to_vcpu() says so.
 */
#ifndef PYDRIVER_TCG_COMMIT_H
#define PYDRIVER_TCG_COMMIT_H

enum {
    TCG_COMMIT_VCPUS = 1024, /* those beyond have QEMU's own behaviour */
    TCG_COMMIT_SPACES = 2,   /* of an x86 vCPU: memory, and that of SMM */
};

/* Changed under the BQL on the vCPU's thread, or before there is one. */
static struct vcpu_view {
    AddressSpace *as;
    FlatView *view;
} vcpu_views[TCG_COMMIT_VCPUS][TCG_COMMIT_SPACES];

/* The entry of one of the vCPU's address spaces, or a free one, or NULL. */
static struct vcpu_view *vcpu_view(CPUState *cpu, AddressSpace *as)
{
    if ((unsigned)cpu->cpu_index >= TCG_COMMIT_VCPUS) {
        return NULL;
    }
    for (int i = 0; i < TCG_COMMIT_SPACES; i++) {
        struct vcpu_view *entry = &vcpu_views[cpu->cpu_index][i];

        if (!entry->as || entry->as == as) {
            return entry;
        }
    }
    return NULL;
}

static void commit_on_vcpu(CPUState *cpu, run_on_cpu_data listener)
{
    tcg_commit(listener.host_ptr);
}

static bool left_to_vcpu(CPUState *cpu, AddressSpace *as,
                         MemoryListener *listener)
{
    struct vcpu_view *entry = vcpu_view(cpu, as);
    FlatView *old;

    if (!entry) {
        return false;
    }
    if (cpu->created && (cpu->running || !qemu_cpu_is_self(cpu))) {
        async_run_on_cpu(cpu, commit_on_vcpu, RUN_ON_CPU_HOST_PTR(listener));
        return true;
    }
    old = entry->view;
    entry->as = as;
    entry->view = address_space_get_flatview(as);
    if (old) {
        flatview_unref(old);
    }
    return false;
}

static AddressSpaceDispatch *vcpu_dispatch(AddressSpace *as)
{
    struct vcpu_view *entry = current_cpu ? vcpu_view(current_cpu, as) : NULL;

    return entry && entry->as ? flatview_to_dispatch(entry->view)
                              : address_space_to_dispatch(as);
}

/* QEMU 10.0 looks the map up whenever it needs it: from here on, the held one. */
#define address_space_to_dispatch(as) vcpu_dispatch(as)

#endif
