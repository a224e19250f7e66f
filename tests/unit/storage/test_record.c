/* Records and container parts: what is written parses, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "storage/record.h"

static void test_round_trip(void **state)
{
    (void)state;
    struct stored_name names[3];
    memset(names, 7, sizeof names);
    uint32_t total = record_size(3, 1001);
    uint8_t *bytes = memory_alloc(total);
    uint8_t payload[1001];
    memset(payload, 9, sizeof payload);
    record_encode(bytes, NULL, RECORD_RUN, RECORD_ZSTD, names, 3, payload, sizeof payload, 3 * 65536);
    struct record record;
    assert_int_equal(total % RECORD_ALIGNMENT, 0);
    assert_int_equal(record_parse(bytes, total, &record), 0);
    assert_int_equal(record.kind, RECORD_RUN);
    assert_int_equal(record.flags, RECORD_ZSTD);
    assert_int_equal(record.count, 3);
    assert_int_equal(record.total, total);
    assert_int_equal(record.payload_length, sizeof payload);
    assert_memory_equal(record.payload, payload, sizeof payload);
    assert_memory_equal(record.names, names, sizeof names);
    /* a flipped bit anywhere but in the padding is seen */
    size_t covered = RECORD_HEADER_SIZE + sizeof names + sizeof payload + RECORD_CRC_SIZE;
    for (size_t i = 0; i < covered; i++) {
        bytes[i] ^= 0x10;
        assert_int_equal(record_parse(bytes, total, &record), -1);
        bytes[i] ^= 0x10;
    }
    for (uint32_t length = 0; length < total; length++) {
        assert_int_equal(record_parse(bytes, length, &record), -1);
    }
    free(bytes);
}

static void test_container_parts(void **state)
{
    (void)state;
    const uint8_t uuid[16] = {1, 2, 3};
    const uint8_t other[16] = {1, 2, 4};
    uint8_t header[CONTAINER_HEADER_SIZE];
    uint8_t footer[CONTAINER_FOOTER_SIZE];
    uint32_t offset;
    uint32_t total;
    container_header_encode(header, uuid, 77, 65536);
    assert_int_equal(container_header_check(header, uuid, 77), 0);
    assert_int_equal(container_header_check(header, uuid, 78), -1);
    assert_int_equal(container_header_check(header, other, 77), -1);
    container_footer_encode(footer, 123, 456);
    assert_int_equal(container_footer_parse(footer, &offset, &total), 0);
    assert_int_equal(offset, 123);
    assert_int_equal(total, 456);
    footer[9] ^= 1;
    assert_int_equal(container_footer_parse(footer, &offset, &total), -1);
}

static void test_table_entries(void **state)
{
    (void)state;
    uint8_t names[64] = {5};
    uint8_t bytes[TABLE_ENTRY_SIZE + sizeof names];
    struct table_entry entry = {.offset = 64, .total = 100, .kind = RECORD_RUN, .count = 2, .names = names};
    struct table_entry parsed;
    table_entry_encode(bytes, &entry);
    assert_int_equal(table_entry_parse(bytes, sizeof bytes, &parsed), sizeof bytes);
    assert_int_equal(parsed.offset, 64);
    assert_memory_equal(parsed.names, names, sizeof names);
    assert_int_equal(table_entry_parse(bytes, sizeof bytes - 1, &parsed), 0);
    bytes[9] = 17;
    assert_int_equal(table_entry_parse(bytes, sizeof bytes, &parsed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_container_parts),
        cmocka_unit_test(test_table_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
