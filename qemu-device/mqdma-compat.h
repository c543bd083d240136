/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mqdma: what differs between the QEMU versions that the device compiles with
 *
 * Copyright (c) 2026 the pydriver authors
 *
 * QEMU 7.2 (Debian 12) and 10.0 (Debian 13) are the ones that are tested.
 * Each difference names the version that made it.
 */
#ifndef MQDMA_COMPAT_H
#define MQDMA_COMPAT_H

#define MQDMA_QEMU_VERSION(major, minor) \
    (QEMU_VERSION_MAJOR > (major) || \
     (QEMU_VERSION_MAJOR == (major) && QEMU_VERSION_MINOR >= (minor)))

/* 10.0 renamed include/sysemu to include/system. */
#if MQDMA_QEMU_VERSION(10, 0)
#include "system/block-backend.h"
#include "system/dma.h"
#include "system/hostmem.h"
#include "system/runstate.h"
#else
#include "sysemu/block-backend.h"
#include "sysemu/dma.h"
#include "sysemu/hostmem.h"
#include "sysemu/runstate.h"
#endif

/* 8.0 split the device's side off hw/pci/pci.h. */
#if MQDMA_QEMU_VERSION(8, 0)
#include "hw/pci/pci_device.h"
#endif

/* 10.0 wants the properties const, counts them and has no terminator. */
#if MQDMA_QEMU_VERSION(10, 0)
typedef const Property MqdmaProperty;
#define MQDMA_PROP_END_OF_LIST
#else
typedef Property MqdmaProperty;
#define MQDMA_PROP_END_OF_LIST DEFINE_PROP_END_OF_LIST()
#endif

/* 9.1 added the type of the reset to the arguments of the hold phase. */
#if MQDMA_QEMU_VERSION(9, 1)
#define MQDMA_RESET_HOLD_ARGS Object *obj, ResetType type
#else
#define MQDMA_RESET_HOLD_ARGS Object *obj
#endif

/* 10.1 made the data of class_init const. */
#if MQDMA_QEMU_VERSION(10, 1)
typedef const void MqdmaClassData;
#else
typedef void MqdmaClassData;
#endif

/* 8.1 introduced bottom halves that hold the guard against re-entrance. */
static inline QEMUBH *mqdma_bh_new(DeviceState *dev, QEMUBHFunc *cb,
                                   void *opaque)
{
#if MQDMA_QEMU_VERSION(8, 1)
    return qemu_bh_new_guarded(cb, opaque, &dev->mem_reentrancy_guard);
#else
    return qemu_bh_new(cb, opaque);
#endif
}

#endif /* MQDMA_COMPAT_H */
