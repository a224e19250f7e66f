#include "storage/store_scan.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "storage/store_internal.h"
#include <stdlib.h>
#include <string.h>

/* A container, its table and footer; more than that is not one of ours. */
static const uint64_t container_file_max =
    STORE_CONTAINER_SIZE + (uint64_t)RECORD_PAYLOAD_MAX + 2 * STORE_TABLE_SIZE_MAX;

/* --- listing */

struct id_list {
    uint64_t *ids;
    size_t count;
    size_t capacity;
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

static int compare_ids(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

int store_list_containers(struct store *store, uint64_t **ids, size_t *count, struct error *err)
{
    struct id_list list = {0};
    if (store->backend->operations->list(store->backend, "containers", list_container, &list, err) != 0) {
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

/* --- walking */

static int report_bad(const struct scan_visitor *visitor, uint32_t start, uint32_t end)
{
    return visitor->bad != NULL && end > start ? visitor->bad(visitor->cookie, start, end) : 0;
}

int store_scan_bytes(uint8_t *bytes, uint32_t length, uint32_t start, const struct scan_visitor *visitor)
{
    uint32_t at = 0;
    uint32_t bad_from = 0;
    while (length - at >= RECORD_HEADER_SIZE) {
        struct record record;
        if (record_parse(bytes + at, length - at, &record) != 0) {
            at += RECORD_ALIGNMENT; /* look for the next one */
            continue;
        }
        int result = report_bad(visitor, start + bad_from, start + at);
        if (result == 0) {
            result = visitor->record(visitor->cookie, &record, bytes + at, start + at);
        }
        if (result != 0) {
            return result;
        }
        at += record.total;
        bad_from = at;
        if (record.kind == RECORD_TABLE) {
            return 0; /* the footer follows, and nothing else */
        }
    }
    return report_bad(visitor, start + bad_from, start + length);
}

int store_load_container(struct store *store, uint64_t container, uint32_t start, uint8_t **bytes,
                         uint32_t *length, struct error *err)
{
    char name[STORE_CONTAINER_NAME_SIZE];
    uint64_t size;
    size_t got = 0;
    const struct backend_operations *operations = store->backend->operations;
    int found = operations->size(store->backend, store_container_name(container, name), &size, err);
    if (found == 1 && size > container_file_max) {
        return error_set(err, ERROR_STORE_UNAVAILABLE, "Container %llx is too long to be one",
                         (unsigned long long)container);
    }
    if (found != 1) {
        return found < 0 ? -1
                         : error_set(err, ERROR_STORE_UNAVAILABLE, "Container %llx is missing",
                                     (unsigned long long)container);
    }
    size_t wanted = size > start ? (size_t)(size - start) : 0;
    uint8_t *content = memory_alloc(wanted + 1);
    if (operations->get(store->backend, name, start, content, wanted, &got, err) != 1) {
        free(content);
        return error_set(err, ERROR_STORE_UNAVAILABLE, "Container %llx can't be read",
                         (unsigned long long)container);
    }
    *bytes = content;
    *length = (uint32_t)got;
    return 0;
}

/* --- tables */

/* Exactly that many bytes of a container. */
static bool read_exactly(struct store *store, uint64_t container, uint64_t offset, void *out, size_t length)
{
    char name[STORE_CONTAINER_NAME_SIZE];
    struct error ignored;
    size_t got;
    return store->backend->operations->get(store->backend, store_container_name(container, name), offset, out,
                                           length, &got, &ignored) == 1 &&
           got == length;
}

int store_read_table(struct store *store, uint64_t container, uint64_t size, struct container_table *table)
{
    uint8_t footer[CONTAINER_FOOTER_SIZE];
    struct record record;
    uint32_t offset;
    uint32_t total;
    if (size < CONTAINER_HEADER_SIZE + sizeof footer || size > container_file_max ||
        !read_exactly(store, container, size - sizeof footer, footer, sizeof footer) ||
        container_footer_parse(footer, &offset, &total) != 0 || offset < CONTAINER_HEADER_SIZE ||
        (uint64_t)offset + total + sizeof footer != size) {
        return 0;
    }
    uint8_t *bytes = memory_alloc(total);
    if (!read_exactly(store, container, offset, bytes, total) || record_parse(bytes, total, &record) != 0 ||
        record.kind != RECORD_TABLE) {
        free(bytes);
        return 0;
    }
    *table = (struct container_table){
        .bytes = bytes, .entries = record.payload, .length = record.payload_length, .offset = offset};
    return 1;
}

bool container_table_next(const struct container_table *table, size_t *at, struct table_entry *entry)
{
    while (*at < table->length) {
        size_t taken = table_entry_parse(table->entries + *at, table->length - *at, entry);
        if (taken == 0) {
            return false;
        }
        *at += taken;
        if (entry->offset >= CONTAINER_HEADER_SIZE && entry->offset % RECORD_ALIGNMENT == 0 &&
            entry->total % RECORD_ALIGNMENT == 0 && entry->offset <= table->offset &&
            entry->total <= table->offset - entry->offset) {
            return true;
        }
    }
    return false;
}
