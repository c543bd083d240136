/* SPDX-License-Identifier: MIT */
/*
 * The 64 KiB at the top of the 32-bit address space, in place of a firmware:
 * from the reset vector to the guest's PVH entry point, nothing else. It keeps
 * boot short and needs no firmware package; any PVH loader will do as well.
 * [Intel SDM vol. 3 9.1.4: first instruction executed]
 */
    .code16
    .text
start16:
    cli
    lgdtl %cs:(gdt_pointer - start16)
    movl $0x11, %eax
    movl %eax, %cr0
    ljmpl $0x08, $start32

    .code32
start32:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %ebx, %ebx /* no hvm_start_info: the controller tells the rest */
    movl $pvh_entry, %eax
    jmp *%eax

    .align 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt

    .org 0xfff0
    .code16
    .globl reset_vector
reset_vector:
    jmp start16
    .org 0xffff
    .byte 0

    .section .note.GNU-stack, "", @progbits
