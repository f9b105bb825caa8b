/*
 * trim - see trim.h.
 *
 * The Makefile links what only the start and the other commands need before trim(), and what the
 * event loops need after it; functions that are COLD (keep.h) stand before it wherever they are
 * written. A loop must not be one, nor be called by cold ones alone: the compiler would follow. The
 * pages before it are unmapped, and set apart from the others (by a flag that changes nothing else
 * here: the process is not dumpable anyway), since the kernel would map sixteen pages at once
 * around each one that is touched. They come back by themselves when they are used again. So do the
 * pages of the stack below this call.
 *
 * A failure costs some memory and nothing else.
 */
#define _GNU_SOURCE
#include "trim.h"

#include <stdint.h>
#include <sys/mman.h>

#define PAGE ((uintptr_t)4096)
#define STACK ((uintptr_t)65536)
#define CALLS ((uintptr_t)512) /* more than the calls made here need */

/* Made by the linker: the first byte of the program. */
extern const char __executable_start[];

void trim(void) {
    uintptr_t from = (uintptr_t)__executable_start & ~(PAGE - 1);
    uintptr_t to = (uintptr_t)&trim & ~(PAGE - 1);
    char here;
    uintptr_t top = ((uintptr_t)&here - CALLS) & ~(PAGE - 1);
    if (to > from) {
        (void)madvise((void *)from, to - from, MADV_DONTDUMP);
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
    (void)madvise((void *)(top - STACK), STACK, MADV_DONTNEED);
}
