/* Maps: any order of writes, sharing between maps, sizes that grow and shrink. Checked against a plain array.
 */
#include "store_fixture.h"

#include "storage/map_node.h"

enum { TIB = 40 };

static struct chunk_name fake_name(uint64_t value)
{
    struct chunk_name name = {{1}};
    memcpy(name.bytes + 8, &value, sizeof value);
    return name;
}

static void expect_name(struct store *store, const struct chunk_name *root, uint64_t size, uint64_t index,
                        const struct chunk_name *wanted)
{
    struct error err;
    struct chunk_name name;
    struct map_reader *reader = map_reader_open(store, root, size, &err);
    assert_non_null(reader);
    assert_int_equal(map_reader_get(reader, index, &name, &err), 0);
    assert_memory_equal(&name, wanted, sizeof name);
    map_reader_destroy(reader);
}

static void test_depth(void **state)
{
    (void)state;
    assert_int_equal(map_depth(0), 1);
    assert_int_equal(map_depth(128), 1);
    assert_int_equal(map_depth(129), 2);
    assert_int_equal(map_depth(16384), 2);
    assert_int_equal(map_depth(16385), 3);
    assert_int_equal(map_depth((uint64_t)1 << 30), 5); /* 64 TiB */
}

static void test_against_array(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    enum { CHUNKS = 40000 };
    const uint64_t size = (uint64_t)CHUNKS * 65536 - 1000;
    struct chunk_name *array = memory_array(CHUNKS, sizeof *array);
    struct chunk_name root = {0};
    unsigned seed = 42;
    for (int round = 0; round < 4; round++) {
        struct map_writer *writer = map_writer_open(fixture->store, size, &root, size, &err);
        assert_non_null(writer);
        for (int i = 0; i < 3000; i++) {
            uint64_t at = (uint64_t)rand_r(&seed) % CHUNKS;
            if (i % 10 == 0) {
                uint64_t count = (uint64_t)rand_r(&seed) % 1000;
                count = at + count > CHUNKS ? CHUNKS - at : count;
                assert_int_equal(map_writer_set_zeros(writer, at, count, &err), 0);
                memset(&array[at], 0, count * sizeof *array);
            } else {
                array[at] = fake_name((uint64_t)rand_r(&seed));
                assert_int_equal(map_writer_set(writer, at, &array[at], &err), 0);
            }
        }
        assert_int_equal(map_writer_set(writer, CHUNKS, NULL, &err), -1);
        assert_int_equal(err.code, ERROR_REQUEST_INVALID);
        assert_int_equal(map_writer_flush(writer, &root, &err), 0);
        map_writer_destroy(writer);
    }
    struct map_reader *reader = map_reader_open(fixture->store, &root, size, &err);
    assert_non_null(reader);
    struct map_entry entries[777];
    uint64_t next = 0;
    uint64_t expected = 0;
    size_t count;
    do {
        assert_int_equal(map_reader_list(reader, &next, entries, 777, &count, &err), 0);
        for (size_t i = 0; i < count; i++) {
            while (chunk_name_is_zero(&array[expected])) {
                expected++;
            }
            assert_int_equal(entries[i].index, expected);
            assert_memory_equal(&entries[i].name, &array[expected], sizeof *array);
            expected++;
        }
    } while (count > 0);
    while (expected < CHUNKS) {
        assert_true(chunk_name_is_zero(&array[expected++]));
    }
    map_reader_destroy(reader);
    free(array);
}

static void test_sizes(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct chunk_name root;
    struct chunk_name grown;
    struct chunk_name shrunk;
    const struct chunk_name zero = {0};
    const struct chunk_name first = fake_name(1);
    const struct chunk_name last = fake_name(2);
    const uint64_t small = 100 * 65536;
    const uint64_t large = (uint64_t)1 << TIB;
    struct map_writer *writer = map_writer_open(fixture->store, small, NULL, 0, &err);
    assert_int_equal(map_writer_set(writer, 0, &first, &err), 0);
    assert_int_equal(map_writer_set(writer, 99, &last, &err), 0);
    assert_int_equal(map_writer_flush(writer, &root, &err), 0);
    map_writer_destroy(writer);

    writer = map_writer_open(fixture->store, large, &root, small, &err);
    assert_non_null(writer);
    uint64_t end = large / 65536 - 1;
    assert_int_equal(map_writer_set(writer, end, &last, &err), 0);
    assert_int_equal(map_writer_flush(writer, &grown, &err), 0);
    map_writer_destroy(writer);
    expect_name(fixture->store, &grown, large, 0, &first);
    expect_name(fixture->store, &grown, large, 99, &last);
    expect_name(fixture->store, &grown, large, 5000000, &zero);
    expect_name(fixture->store, &grown, large, end, &last);

    writer = map_writer_open(fixture->store, 99 * 65536, &grown, large, &err);
    assert_non_null(writer);
    assert_int_equal(map_writer_flush(writer, &shrunk, &err), 0);
    map_writer_destroy(writer);
    expect_name(fixture->store, &shrunk, 99 * 65536, 0, &first);
    writer = map_writer_open(fixture->store, small, &shrunk, 99 * 65536, &err);
    assert_int_equal(map_writer_flush(writer, &root, &err), 0);
    map_writer_destroy(writer);
    expect_name(fixture->store, &root, small, 99, &zero);
}

/* An unchanged gigabyte costs nothing: one chunk changed in a terabyte writes a path, not a map. */
static void test_cost(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct store_status before;
    struct store_status after;
    struct chunk_name root;
    struct chunk_name same;
    const uint64_t size = (uint64_t)1 << TIB;
    const struct chunk_name name = fake_name(3);
    struct map_writer *writer = map_writer_open(fixture->store, size, NULL, 0, &err);
    for (uint64_t i = 0; i < 100000; i++) {
        const struct chunk_name entry = fake_name(i);
        assert_int_equal(map_writer_set(writer, i * 5, &entry, &err), 0);
    }
    assert_int_equal(map_writer_flush(writer, &root, &err), 0);
    map_writer_destroy(writer);
    assert_int_equal(store_sync(fixture->store, &err), 0);
    assert_int_equal(store_status_read(fixture->store, &before, &err), 0);
    writer = map_writer_open(fixture->store, size, &root, size, &err);
    assert_int_equal(map_writer_flush(writer, &same, &err), 0);
    assert_memory_equal(&same, &root, sizeof root);
    assert_int_equal(map_writer_set(writer, 7777, &name, &err), 0);
    assert_int_equal(map_writer_flush(writer, &same, &err), 0);
    map_writer_destroy(writer);
    assert_int_equal(store_sync(fixture->store, &err), 0);
    assert_int_equal(store_status_read(fixture->store, &after, &err), 0);
    assert_int_equal(after.nodes - before.nodes, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth),
        cmocka_unit_test_setup_teardown(test_against_array, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_sizes, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_cost, fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
