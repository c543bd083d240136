/* SPDX-License-Identifier: MIT */
/* The 256 entries of the IDT, and the accesses that are allowed to fault. */

    .text
    .code64

/*
 * Vectors 8, 10 to 14, 17 and 21 come with an error code; the others get a 0 in
 * its place [Intel SDM vol. 3 6.13].
 */
    .align 16
    .globl trap_stubs
trap_stubs:
    .set vector, 0
    .rept 256
    .align 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
    .else
    pushq $0
    .endif
    pushq $vector
    jmp trap_entry
    .set vector, vector + 1
    .endr

trap_entry:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    movq %rsp, %rbp
    andq $-16, %rsp
    call trap
    movq %rbp, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

/*
 * Between guard_begin and guard_end an exception ends the function that
 * caused it: the handler notes the fault and executes the function's ret.
 * So each must be a leaf that does not touch the stack before the access.
 */
    .globl guard_begin, guard_end
guard_begin:
    .globl guarded_read1, guarded_read2, guarded_read4, guarded_read8
guarded_read1:
    movzbl (%rdi), %eax
    ret
guarded_read2:
    movzwl (%rdi), %eax
    ret
guarded_read4:
    movl (%rdi), %eax
    ret
guarded_read8:
    movq (%rdi), %rax
    ret
    .globl guarded_write1, guarded_write2, guarded_write4, guarded_write8
guarded_write1:
    movb %sil, (%rdi)
    ret
guarded_write2:
    movw %si, (%rdi)
    ret
guarded_write4:
    movl %esi, (%rdi)
    ret
guarded_write8:
    movq %rsi, (%rdi)
    ret
    .globl guarded_rdmsr, guarded_wrmsr
guarded_rdmsr:
    movl %edi, %ecx
    rdmsr
    shlq $32, %rdx
    orq %rdx, %rax
    ret
guarded_wrmsr:
    movl %edi, %ecx
    movl %esi, %eax
    movq %rsi, %rdx
    shrq $32, %rdx
    wrmsr
    ret
guard_end:

    .section .note.GNU-stack, "", @progbits
