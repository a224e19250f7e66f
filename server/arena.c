#include "server/arena.h"

#include "base/memory.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BLOCK = 4096, ARENA_ALIGNMENT = 16 };

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t size;
    _Alignas(ARENA_ALIGNMENT) unsigned char bytes[];
};

struct arena {
    struct arena_block *first; /* the one that is filled now */
};

struct arena *arena_create(void)
{
    return memory_zalloc(sizeof(struct arena));
}

void arena_destroy(struct arena *arena)
{
    if (arena == NULL) {
        return;
    }
    while (arena->first != NULL) {
        struct arena_block *next = arena->first->next;
        free(arena->first);
        arena->first = next;
    }
    free(arena);
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size = (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    struct arena_block *block = arena->first;
    if (block == NULL || block->size - block->used < size) {
        size_t room = size > ARENA_BLOCK ? size : ARENA_BLOCK;
        block = memory_zalloc(sizeof *block + room);
        block->size = room;
        block->next = arena->first;
        arena->first = block;
    }
    void *result = block->bytes + block->used;
    block->used += size;
    return result;
}

void *arena_grow(struct arena *arena, void *items, size_t count, size_t item_size)
{
    enum { FIRST = 8 };
    if (count != 0 && (count < FIRST || (count & (count - 1)) != 0)) {
        return items; /* there is room: it doubles at powers of two */
    }
    size_t room = count == 0 ? FIRST : 2 * count;
    void *larger = arena_alloc(arena, room * item_size);
    if (count > 0) {
        memcpy(larger, items, count * item_size);
    }
    return larger;
}

const char *arena_text(struct arena *arena, const char *text)
{
    if (text == NULL) {
        return NULL;
    }
    size_t size = strlen(text) + 1;
    return memcpy(arena_alloc(arena, size), text, size);
}

const char *arena_format(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = arena_alloc(arena, (size_t)length + 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}
