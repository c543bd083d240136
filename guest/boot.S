/* SPDX-License-Identifier: MIT */
/*
 * From the PVH entry point (32-bit protected mode, paging off, interrupts off)
 * to long mode, for the boot processor; and from the SIPI vector for the others.
 * [Intel SDM vol. 3 9.8.5 (IA-32e mode), 9.4 (MP initialization)]
 */

.set CR0_PE_NE_WP_PG, 0x80010021
.set CR4_PAE, 1 << 5
.set MSR_EFER, 0xc0000080
.set EFER_LME, 1 << 8
.set MSR_GS_BASE, 0xc0000101
.set CODE32, 0x08
.set CODE64, 0x10
.set DATA, 0x18
.set APIC, 0xfee00000

    /* XEN_ELFNOTE_PHYS32_ENTRY: where a PVH loader enters. */
    .section .note.pvh, "a", @note
    .align 4
    .long 4, 4, 18
    .asciz "Xen"
    .long pvh_entry

    .text
    .code32
    .globl pvh_entry
pvh_entry:
    cli
    cld
    movl $boot_stack_top, %esp
    /* The page directories: 2 MiB pages, present, writable; the first by PT. */
    movl $page_directories, %ebx
    movl $0x83, %eax
    xorl %edx, %edx
    movl $DIRECTORIES * 512, %ecx
1:  movl %eax, (%ebx)
    movl %edx, 4(%ebx)
    addl $0x200000, %eax
    adcl $0, %edx
    addl $8, %ebx
    loop 1b
    movl $page_table + 3, page_directories
    xorl %edi, %edi
    jmp enter_long_mode

/* An application processor arrives here with its number in ap_number. */
ap_entry32:
    movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl ap_number, %edi
    movl ap_stack, %esp

enter_long_mode: /* edi = processor number, esp = stack */
    movl $pml4, %eax
    movl %eax, %cr3
    movl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    wrmsr
    movl $CR0_PE_NE_WP_PG, %eax
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $CODE64, $long_mode

    .code64
long_mode:
    movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movl %esp, %esp
    xorl %ebp, %ebp
    call processor_main
1:  cli
    hlt
    jmp 1b

/*
 * The code that SIPI starts, copied below 1 MiB: real mode, CS = address >> 4.
 * It must not name its own addresses but through CS-relative offsets.
 */
    .section .rodata
    .code16
    .globl ap_trampoline, ap_trampoline_end
ap_trampoline:
    cli
    lgdtl %cs:(trampoline_gdt - ap_trampoline)
    movl $0x11, %eax
    movl %eax, %cr0
    ljmpl $CODE32, $ap_entry32
    .align 4
trampoline_gdt:
    .word gdt_end - gdt - 1
    .long gdt
ap_trampoline_end:

    .data
    .globl ap_number, ap_stack
ap_number:
    .long 0
ap_stack:
    .long 0

    .align 16
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* 32-bit code */
    .quad 0x00af9b000000ffff /* 64-bit code */
    .quad 0x00cf93000000ffff /* data */
    .globl gdt_tss
gdt_tss: /* one 16-byte TSS descriptor for each processor */
    .fill 2 * 8, 8, 0
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

/*
 * Identity map of 64 GiB by 2 MiB pages, filled by pvh_entry; 4 KiB pages
 * below 2 MiB, so that page 0 can be absent and a null pointer faults, and
 * that the local APIC has an address of its own (APIC_MMIO in guest.h).
 */
.set DIRECTORIES, 64
    .align 4096
pml4:
    .quad pdpt + 3
    .fill 511, 8, 0
pdpt:
    .set page, 0
    .rept DIRECTORIES
    .quad page_directories + (page << 12) + 3
    .set page, page + 1
    .endr
    .fill 512 - DIRECTORIES, 8, 0
page_table:
    .quad 0
    .set page, 1
    .rept 0xfe
    .quad (page << 12) + 3
    .set page, page + 1
    .endr
    .quad APIC + 0x1b
    .set page, 0x100
    .rept 0x100
    .quad (page << 12) + 3
    .set page, page + 1
    .endr

    .section .bss.page_directories, "aw", @nobits
    .align 4096
page_directories:
    .skip DIRECTORIES * 4096

    .bss
    .align 16
boot_stack:
    .skip 65536
boot_stack_top:

    .section .note.GNU-stack, "", @progbits
