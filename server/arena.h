/*
 * Memory that is given back all at once: what one request reads from the catalog lives in one arena. Not
 * thread-safe.
 */
#ifndef HOLDFAST_SERVER_ARENA_H
#define HOLDFAST_SERVER_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_create(void);
void arena_destroy(struct arena *arena); /* NULL is fine */
/* Zeroed, aligned for every type; lives until arena_destroy. */
void *arena_alloc(struct arena *arena, size_t size);
/* Room for one more item behind `count` items of an array that was grown from NULL one by one. The items may
 * have moved. */
void *arena_grow(struct arena *arena, void *items, size_t count, size_t item_size);
/* A copy; NULL gives NULL. */
const char *arena_text(struct arena *arena, const char *text);
const char *arena_format(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
