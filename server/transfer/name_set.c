#include "server/transfer/name_set.h"

#include "base/bytes.h"
#include "base/memory.h"
#include <stdlib.h>

struct name_set {
    struct chunk_name *slots; /* the zero name is an empty slot: it is never added */
    size_t capacity;          /* a power of two */
    size_t count;
    size_t limit;
};

enum { NAME_SET_START = 1024 };

struct name_set *name_set_create(size_t limit)
{
    struct name_set *set = memory_zalloc(sizeof *set);
    set->limit = limit;
    set->capacity = NAME_SET_START;
    set->slots = memory_array(set->capacity, sizeof *set->slots);
    return set;
}

void name_set_destroy(struct name_set *set)
{
    if (set != NULL) {
        free(set->slots);
        free(set);
    }
}

static size_t find_slot(const struct name_set *set, const struct chunk_name *name)
{
    size_t at = (size_t)bytes_get_u64(name->bytes) & (set->capacity - 1);
    while (!chunk_name_is_zero(&set->slots[at]) && !chunk_name_equal(&set->slots[at], name)) {
        at = (at + 1) & (set->capacity - 1);
    }
    return at;
}

static void grow(struct name_set *set)
{
    struct name_set old = *set;
    set->capacity = 2 * old.capacity;
    set->slots = memory_array(set->capacity, sizeof *set->slots);
    for (size_t i = 0; i < old.capacity; i++) {
        if (!chunk_name_is_zero(&old.slots[i])) {
            set->slots[find_slot(set, &old.slots[i])] = old.slots[i];
        }
    }
    free(old.slots);
}

void name_set_add(struct name_set *set, const struct chunk_name *name)
{
    if (set->count >= set->limit || chunk_name_is_zero(name)) {
        return;
    }
    if (2 * (set->count + 1) > set->capacity) {
        grow(set);
    }
    size_t at = find_slot(set, name);
    if (chunk_name_is_zero(&set->slots[at])) {
        set->slots[at] = *name;
        set->count++;
    }
}

bool name_set_has(const struct name_set *set, const struct chunk_name *name)
{
    return !chunk_name_is_zero(name) && chunk_name_equal(&set->slots[find_slot(set, name)], name);
}
