/*
 * Allocation that does not fail: out of memory ends the process with a message, since every size that comes
 * from outside is bounded before it gets here.
 */
#ifndef HOLDFAST_BASE_MEMORY_H
#define HOLDFAST_BASE_MEMORY_H

#include <stddef.h>

void *memory_alloc(size_t size);               /* not initialised */
void *memory_zalloc(size_t size);              /* zeroed */
void *memory_array(size_t count, size_t size); /* zeroed; count * size is checked */
void *memory_resize(void *old, size_t count, size_t size);
char *memory_copy_text(const char *text); /* NULL gives NULL */
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *memory_copy(const void *bytes, size_t size);
/* Page-aligned, for O_DIRECT and large reads; free with free(). */
void *memory_alloc_aligned(size_t alignment, size_t size);
/* For a program with many threads, before it has them: those that free and those that allocate share what is
 * free, instead of each keeping what it once needed (mallopt(3), M_ARENA_MAX). */
void memory_share_arenas(void);

#endif
