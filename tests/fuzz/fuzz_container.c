/* A container as it may lie on a damaged disk: every record from its offset on, then footer and table. */
#include "storage/record.h"

#include <stdlib.h>
#include <string.h>

static void parse_records(const uint8_t *data, size_t size)
{
    size_t offset = 0;
    while (offset < size) {
        uint32_t total;
        struct record record;
        if (record_peek(data + offset, size - offset, &total) != 0) {
            return;
        }
        if (record_parse(data + offset, size - offset, &record) != 0) {
            offset += RECORD_ALIGNMENT;
            continue;
        }
        uint8_t *copy = malloc(record.total);
        const uint8_t *payload;
        size_t length;
        memcpy(copy, data + offset, record.total);
        struct record view;
        record_view(copy, &view);
        record_payload(&view, copy, NULL, &payload, &length);
        free(copy);
        offset += record.total;
    }
}

static void parse_table(const uint8_t *data, size_t size)
{
    struct table_entry entry;
    size_t taken;
    while ((taken = table_entry_parse(data, size, &entry)) > 0) {
        data += taken;
        size -= taken;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t uuid[16] = {1, 2, 3};
    uint32_t offset;
    uint32_t total;
    if (size >= CONTAINER_HEADER_SIZE) {
        container_header_check(data, uuid, 1);
        parse_records(data + CONTAINER_HEADER_SIZE, size - CONTAINER_HEADER_SIZE);
    }
    if (size >= CONTAINER_FOOTER_SIZE &&
        container_footer_parse(data + size - CONTAINER_FOOTER_SIZE, &offset, &total) == 0) {
        parse_table(data, size);
    }
    parse_records(data, size);
    parse_table(data, size);
    return 0;
}
