#include "base/memory.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *pointer)
{
    if (pointer == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return pointer;
}

void *memory_alloc(size_t size)
{
    return checked(malloc(size > 0 ? size : 1));
}

void *memory_zalloc(size_t size)
{
    return checked(calloc(1, size > 0 ? size : 1));
}

void *memory_array(size_t count, size_t size)
{
    return checked(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *memory_resize(void *old, size_t count, size_t size)
{
    return checked(reallocarray(old, count > 0 ? count : 1, size > 0 ? size : 1));
}

char *memory_copy_text(const char *text)
{
    return text != NULL ? checked(strdup(text)) : NULL;
}

char *memory_format(const char *format, ...)
{
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return checked(length >= 0 ? text : NULL);
}

void *memory_copy(const void *bytes, size_t size)
{
    void *copy = memory_alloc(size);
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

void *memory_alloc_aligned(size_t alignment, size_t size)
{
    void *pointer = NULL;
    return checked(posix_memalign(&pointer, alignment, size > 0 ? size : alignment) == 0 ? pointer : NULL);
}

void memory_share_arenas(void)
{
    enum { ARENAS = 2 };
    mallopt(M_ARENA_MAX, ARENAS);
}
