#include "storage/location_set.h"

#include "base/memory.h"
#include <stdlib.h>

enum { START = 1024, OFFSET_BITS = 24, OFFSET_UNIT = 8 };

struct location_set {
    uint64_t *slots; /* 0: free; containers begin at 1, so no place is 0 */
    size_t capacity; /* a power of two */
    size_t count;
};

struct location_set *location_set_create(void)
{
    struct location_set *set = memory_zalloc(sizeof *set);
    set->capacity = START;
    set->slots = memory_array(set->capacity, sizeof *set->slots);
    return set;
}

void location_set_destroy(struct location_set *set)
{
    if (set != NULL) {
        free(set->slots);
        free(set);
    }
}

static uint64_t location_key(const struct chunk_location *location)
{
    return location->container << OFFSET_BITS | location->offset / OFFSET_UNIT;
}

static size_t slot_of(const struct location_set *set, uint64_t key)
{
    size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & (set->capacity - 1);
    while (set->slots[at] != 0 && set->slots[at] != key) {
        at = (at + 1) & (set->capacity - 1);
    }
    return at;
}

static void grow(struct location_set *set)
{
    struct location_set old = *set;
    set->capacity = 2 * old.capacity;
    set->slots = memory_array(set->capacity, sizeof *set->slots);
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i] != 0) {
            set->slots[slot_of(set, old.slots[i])] = old.slots[i];
        }
    }
    free(old.slots);
}

bool location_set_add(struct location_set *set, const struct chunk_location *location)
{
    if (4 * (set->count + 1) > 3 * set->capacity) {
        grow(set);
    }
    uint64_t key = location_key(location);
    size_t at = slot_of(set, key);
    if (set->slots[at] == key) {
        return false;
    }
    set->slots[at] = key;
    set->count++;
    return true;
}

bool location_set_has(const struct location_set *set, const struct chunk_location *location)
{
    uint64_t key = location_key(location);
    return set->slots[slot_of(set, key)] == key;
}

size_t location_set_count(const struct location_set *set)
{
    return set->count;
}
