/* Reading containers into the index: after a crash what is past the watermark, after the loss of the index
 * all. */
#include "base/bytes.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/record.h"
#include "storage/store_internal.h"
#include "storage/store_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct id_list {
    uint64_t *ids;
    size_t count;
    size_t capacity;
    const char *folder;
    struct error *err;
    const char *containers;
};

static int list_container(void *cookie, const char *name)
{
    struct id_list *list = cookie;
    uint8_t bytes[8];
    char digits[17];
    if (strlen(name) != 20 || strcmp(name + 16, ".hfc") != 0) {
        return 0;
    }
    memcpy(digits, name, 16);
    digits[16] = '\0';
    if (bytes_from_hex(digits, bytes, sizeof bytes) != 0) {
        return 0;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        list->ids = memory_resize(list->ids, list->capacity, sizeof *list->ids);
    }
    list->ids[list->count++] = __builtin_bswap64(bytes_get_u64(bytes));
    return 0;
}

static int list_folder(void *cookie, const char *name)
{
    struct id_list *list = cookie;
    char *path = os_path_join(list->containers, name);
    int result = strlen(name) == 2 ? os_path_list(path, list_container, list, list->err) : 0;
    free(path);
    return result;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

int store_list_containers(struct store *store, uint64_t **ids, size_t *count, struct error *err)
{
    struct id_list list = {.containers = store->containers, .err = err};
    if (os_path_list(store->containers, list_folder, &list, err) != 0) {
        free(list.ids);
        return error_wrap(err, ERROR_STORE_UNAVAILABLE, "The containers of store %s can't be listed",
                          store->directory);
    }
    if (list.count > 0) {
        qsort(list.ids, list.count, sizeof *list.ids, compare_ids);
    }
    *ids = list.ids;
    *count = list.count;
    return 0;
}

/* --- one container
 * ------------------------------------------------------------------------------------------ */

static int report_bad(const struct scan_visitor *visitor, uint32_t start, uint32_t end)
{
    return visitor->bad != NULL && end > start ? visitor->bad(visitor->cookie, start, end) : 0;
}

int store_scan_bytes(const uint8_t *bytes, uint32_t length, uint32_t start,
                     const struct scan_visitor *visitor)
{
    uint32_t at = start;
    uint32_t bad_from = start;
    while (length - at >= RECORD_HEADER_SIZE) {
        struct record record;
        if (record_parse(bytes + at, length - at, &record) == 0) {
            int result = report_bad(visitor, bad_from, at);
            if (result == 0) {
                result = visitor->record(visitor->cookie, &record, at);
            }
            if (result != 0) {
                return result;
            }
            at += record.total;
            bad_from = at;
            if (record.kind == RECORD_TABLE) {
                return 0; /* the footer follows, and nothing else */
            }
        } else {
            at += RECORD_ALIGNMENT; /* look for the next one */
        }
    }
    return report_bad(visitor, bad_from, length);
}

int store_load_container(struct store *store, uint64_t container, uint8_t **bytes, uint32_t *length,
                         struct error *err)
{
    size_t size;
    char *path = store_container_path(store, container);
    int result = os_file_read_whole(path, 2u * STORE_CONTAINER_SIZE + RECORD_PAYLOAD_MAX, bytes, &size, err);
    free(path);
    *length = (uint32_t)size;
    return result;
}

/* --- into the index
 * ----------------------------------------------------------------------------------------- */

struct replay {
    struct store *store;
    struct pending *found;
    uint64_t container;
};

static void replay_note(struct replay *replay, const uint8_t *names, uint8_t count, uint8_t kind,
                        uint32_t offset, uint32_t total)
{
    for (uint8_t i = 0; i < count; i++) {
        struct chunk_name name;
        struct chunk_location location = {.container = replay->container,
                                          .offset = offset,
                                          .length = total,
                                          .position = i,
                                          .run_count = count};
        memcpy(name.bytes, names + 32 * (size_t)i, sizeof name.bytes);
        pending_put(replay->found, &name, &location, kind == RECORD_NODE);
    }
}

static int replay_record(void *cookie, const struct record *record, uint32_t offset)
{
    if (record->kind != RECORD_TABLE) {
        replay_note(cookie, record->names, record->count, record->kind, offset, record->total);
    }
    return 0;
}

/* By the table, without reading the records. False when there is no good table. */
static bool replay_table(struct replay *replay, struct os_file *file, uint64_t size)
{
    struct error ignored;
    uint8_t footer[CONTAINER_FOOTER_SIZE];
    uint32_t offset;
    uint32_t total;
    if (size < CONTAINER_HEADER_SIZE + sizeof footer ||
        os_file_read_at(file, size - sizeof footer, footer, sizeof footer, &ignored) != 0 ||
        container_footer_parse(footer, &offset, &total) != 0 || total > RECORD_PAYLOAD_MAX ||
        (uint64_t)offset + total + sizeof footer != size) {
        return false;
    }
    uint8_t *bytes = memory_alloc(total);
    struct record table;
    bool good = os_file_read_at(file, offset, bytes, total, &ignored) == 0 &&
                record_parse(bytes, total, &table) == 0 && table.kind == RECORD_TABLE;
    for (size_t at = 0; good && at < table.payload_length;) {
        struct table_entry entry;
        size_t taken = table_entry_parse(table.payload + at, table.payload_length - at, &entry);
        good = taken > 0;
        if (good) {
            replay_note(replay, entry.names, entry.count, entry.kind, entry.offset, entry.total);
        }
        at += taken;
    }
    free(bytes);
    return good;
}

static int replay_container(struct replay *replay, uint64_t watermark, uint64_t size, struct os_file *file,
                            struct error *err)
{
    static const struct scan_visitor template = {.record = replay_record};
    if (watermark == 0 && replay_table(replay, file, size)) {
        return 0;
    }
    uint8_t *bytes;
    uint32_t length;
    if (store_load_container(replay->store, replay->container, &bytes, &length, err) != 0) {
        return -1;
    }
    struct scan_visitor visitor = template;
    visitor.cookie = replay;
    uint32_t start = watermark > CONTAINER_HEADER_SIZE ? (uint32_t)watermark : CONTAINER_HEADER_SIZE;
    int result = start < length ? store_scan_bytes(bytes, length, start, &visitor) : 0;
    free(bytes);
    return result;
}

static int replay_one(struct store *store, uint64_t container, struct error *err)
{
    uint64_t watermark;
    uint64_t size;
    char *path = store_container_path(store, container);
    struct os_file *file = os_file_open(path, OS_FILE_READ, err);
    free(path);
    if (file == NULL || os_file_size(file, &size, err) != 0 ||
        index_watermark(store->index, container, &watermark, err) != 0) {
        os_file_close(file);
        return error_wrap(err, ERROR_STORE_UNAVAILABLE, "Container %llx can't be read",
                          (unsigned long long)container);
    }
    int result = 0;
    if (size > watermark) {
        struct replay replay = {.store = store, .found = pending_create(), .container = container};
        struct index_watermark mark = {.container = container, .offset = size};
        result = replay_container(&replay, watermark, size, file, err);
        /* What a crash left may be in the page cache only. */
        if (result == 0) {
            result = os_file_sync(file, err);
        }
        if (result == 0) {
            result = index_add(store->index, replay.found, &mark, 1, err);
        }
        pending_destroy(replay.found);
    }
    os_file_close(file);
    return result;
}

int store_replay(struct store *store, void (*watch)(void *cookie, uint64_t done, uint64_t total),
                 void *cookie, struct error *err)
{
    uint64_t *ids;
    size_t count;
    int result = store_list_containers(store, &ids, &count, err);
    if (result != 0) {
        return -1;
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        result = replay_one(store, ids[i], err);
        if (watch != NULL) {
            watch(cookie, i + 1, count);
        }
    }
    if (store->next_container == 0) {
        store->next_container = count > 0 ? ids[count - 1] + 1 : 1;
    }
    free(ids);
    return result;
}
