#include "storage/pending.h"

#include "base/bytes.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { PENDING_START = 1024 };

struct pending *pending_create(void)
{
    struct pending *pending = memory_zalloc(sizeof *pending);
    pending->capacity = PENDING_START;
    pending->slots = memory_array(pending->capacity, sizeof *pending->slots);
    return pending;
}

void pending_destroy(struct pending *pending)
{
    if (pending != NULL) {
        free(pending->slots);
        free(pending);
    }
}

/* Names are digests, so any of their bytes are a hash. */
static struct pending_entry *pending_slot(const struct pending *pending, const struct stored_name *name)
{
    size_t at = (size_t)bytes_get_u64(name->bytes) & (pending->capacity - 1);
    while (pending->slots[at].used &&
           memcmp(pending->slots[at].name.bytes, name->bytes, sizeof name->bytes) != 0) {
        at = (at + 1) & (pending->capacity - 1);
    }
    return &pending->slots[at];
}

static void pending_grow(struct pending *pending)
{
    struct pending old = *pending;
    pending->capacity = 2 * old.capacity;
    pending->slots = memory_array(pending->capacity, sizeof *pending->slots);
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].used) {
            *pending_slot(pending, &old.slots[i].name) = old.slots[i];
        }
    }
    free(old.slots);
}

void pending_put(struct pending *pending, const struct stored_name *name,
                 const struct chunk_location *location, bool node)
{
    if (2 * (pending->count + 1) > pending->capacity) {
        pending_grow(pending);
    }
    struct pending_entry *slot = pending_slot(pending, name);
    if (!slot->used) {
        pending->count++;
    }
    *slot = (struct pending_entry){.name = *name, .location = *location, .node = node, .used = true};
}

const struct pending_entry *pending_find(const struct pending *pending, const struct stored_name *name)
{
    const struct pending_entry *slot = pending_slot(pending, name);
    return slot->used ? slot : NULL;
}

static int compare_names(const void *a, const void *b)
{
    const struct pending_entry *const *left = a;
    const struct pending_entry *const *right = b;
    return memcmp((*left)->name.bytes, (*right)->name.bytes, sizeof(*left)->name.bytes);
}

const struct pending_entry **pending_sorted(const struct pending *pending)
{
    const struct pending_entry **sorted = memory_array(pending->count, sizeof *sorted);
    size_t count = 0;
    for (size_t i = 0; i < pending->capacity; i++) {
        if (pending->slots[i].used) {
            sorted[count++] = &pending->slots[i];
        }
    }
    qsort(sorted, count, sizeof *sorted, compare_names);
    return sorted;
}

void pending_clear(struct pending *pending)
{
    memset(pending->slots, 0, pending->capacity * sizeof *pending->slots);
    pending->count = 0;
}
