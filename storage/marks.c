#include "storage/marks.h"

#include "base/memory.h"
#include "storage/store_internal.h"
#include "storage/store_scan.h"
#include <stdlib.h>

struct container_marks {
    uint64_t container;
    bool listed;
    bool unclear; /* something in a place that is not listed is needed: the container stays */
    uint32_t count;
    uint32_t capacity;
    uint32_t end;      /* where the records end */
    uint32_t *offsets; /* ascending */
    uint16_t *live;    /* bits by position */
};

struct marks {
    struct store *store;
    struct container_marks *containers;
    size_t count;
    size_t memory;
};

struct marks *marks_create(struct store *store, const uint64_t *containers, size_t count)
{
    struct marks *marks = memory_zalloc(sizeof *marks);
    marks->store = store;
    marks->count = count;
    marks->containers = memory_array(count + 1, sizeof *marks->containers);
    marks->memory = count * sizeof *marks->containers;
    for (size_t i = 0; i < count; i++) {
        marks->containers[i].container = containers[i];
    }
    return marks;
}

void marks_destroy(struct marks *marks)
{
    for (size_t i = 0; marks != NULL && i < marks->count; i++) {
        free(marks->containers[i].offsets);
        free(marks->containers[i].live);
    }
    if (marks != NULL) {
        free(marks->containers);
        free(marks);
    }
}

static struct container_marks *find_container(const struct marks *marks, uint64_t container)
{
    size_t low = 0, high = marks->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (marks->containers[middle].container < container) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < marks->count && marks->containers[low].container == container ? &marks->containers[low]
                                                                               : NULL;
}

/* --- the records of a container */

static void add_record(struct container_marks *one, uint32_t offset, uint32_t total)
{
    if (one->count == one->capacity) {
        one->capacity = one->capacity == 0 ? 256 : 2 * one->capacity;
        one->offsets = memory_resize(one->offsets, one->capacity, sizeof *one->offsets);
    }
    one->offsets[one->count++] = offset;
    one->end = offset + total;
}

static int on_record(void *cookie, const struct record *record, uint8_t *bytes, uint32_t offset)
{
    (void)bytes;
    if (record->kind != RECORD_TABLE) {
        add_record(cookie, offset, record->total);
    }
    return 0;
}

static bool list_by_table(struct store *store, struct container_marks *one)
{
    char name[STORE_CONTAINER_NAME_SIZE];
    struct container_table table;
    struct table_entry entry;
    struct error ignored;
    uint64_t size;
    size_t at = 0;
    if (store->backend->operations->size(store->backend, store_container_name(one->container, name), &size,
                                         &ignored) != 1 ||
        store_read_table(store, one->container, size, &table) == 0) {
        return false;
    }
    while (container_table_next(&table, &at, &entry)) {
        if (one->count == 0 || entry.offset >= one->end) {
            add_record(one, entry.offset, entry.total);
        }
    }
    free(table.bytes);
    return true;
}

static int list_records(struct marks *marks, struct container_marks *one, struct error *err)
{
    struct scan_visitor visitor = {.record = on_record, .cookie = one};
    uint8_t *bytes;
    uint32_t length;
    if (one->listed) {
        return 0;
    }
    if (!list_by_table(marks->store, one)) {
        if (store_load_container(marks->store, one->container, CONTAINER_HEADER_SIZE, &bytes, &length, err) !=
            0) {
            return -1;
        }
        store_scan_bytes(bytes, length, CONTAINER_HEADER_SIZE, &visitor);
        free(bytes);
    }
    one->capacity = one->count;
    one->offsets = memory_resize(one->offsets, one->count + 1, sizeof *one->offsets);
    one->live = memory_array(one->count + 1, sizeof *one->live);
    one->listed = true;
    marks->memory += one->count * (sizeof *one->offsets + sizeof *one->live);
    return 0;
}

static uint16_t *find_record(const struct container_marks *one, uint32_t offset)
{
    uint32_t low = 0, high = one->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (one->offsets[middle] < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < one->count && one->offsets[low] == offset ? &one->live[low] : NULL;
}

/* --- marking */

enum marks_outcome marks_add(struct marks *marks, const struct chunk_location *location, struct error *err)
{
    struct container_marks *one = find_container(marks, location->container);
    uint16_t bit = (uint16_t)(1u << location->position);
    if (one == NULL) {
        return MARKS_ELSEWHERE;
    }
    if (list_records(marks, one, err) != 0) {
        return MARKS_FAILED;
    }
    uint16_t *live = find_record(one, location->offset);
    if (live == NULL) { /* damaged, in a container without a table */
        one->unclear = true;
        return MARKS_ELSEWHERE;
    }
    bool known = (*live & bit) != 0;
    *live |= bit;
    return known ? MARKS_KNOWN : MARKS_NEW;
}

bool marks_is_live(const struct marks *marks, const struct chunk_location *location)
{
    const struct container_marks *one = find_container(marks, location->container);
    const uint16_t *live = one != NULL && one->listed ? find_record(one, location->offset) : NULL;
    return one == NULL || (live != NULL && (*live >> location->position & 1) != 0);
}

uint16_t marks_of_record(const struct marks *marks, uint64_t container, uint32_t offset)
{
    const struct container_marks *one = find_container(marks, container);
    const uint16_t *live = one != NULL && one->listed ? find_record(one, offset) : NULL;
    return live != NULL ? *live : 0;
}

int marks_figures(struct marks *marks, uint64_t container, struct marks_figures *figures, struct error *err)
{
    struct container_marks *one = find_container(marks, container);
    *figures = (struct marks_figures){0};
    if (one == NULL || list_records(marks, one, err) != 0) {
        return -1;
    }
    for (uint32_t i = 0; i < one->count; i++) {
        uint32_t next = i + 1 < one->count ? one->offsets[i + 1] : one->end;
        figures->bytes += next - one->offsets[i];
        if (one->live[i] != 0) {
            figures->live_bytes += next - one->offsets[i];
        }
    }
    if (one->unclear) {
        figures->bytes = one->end > 0 ? one->end : 1;
        figures->live_bytes = figures->bytes;
    }
    return 0;
}

size_t marks_memory(const struct marks *marks)
{
    return marks->memory;
}
