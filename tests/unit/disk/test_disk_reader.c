#include "disk/disk_reader.h"
#include "disk_fixture.h"

enum { MIB = 1024 * 1024 };

static const uint64_t data_offsets[] = {1 * MIB, 5 * MIB};

/* Sum of the lengths of a kind, with small answers so that the caller has to come back. */
static uint64_t sum_kind(struct disk_reader *reader, enum disk_extent_kind kind, size_t capacity)
{
    struct error err;
    uint64_t offset = 0;
    uint64_t sum = 0;
    while (offset < disk_reader_size(reader)) {
        struct disk_extent extents[16];
        size_t count = 0;
        assert_int_equal(disk_reader_extents(reader, offset, 3 * MIB, extents, capacity, &count, &err), 0);
        assert_true(count >= 1 && count <= capacity);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(extents[i].offset, offset);
            assert_true(extents[i].length > 0);
            if (extents[i].kind == kind)
                sum += extents[i].length;
            offset += extents[i].length;
        }
    }
    assert_int_equal(offset, disk_reader_size(reader));
    return sum;
}

static void check_content(struct disk_reader *reader)
{
    struct error err;
    static unsigned char bytes[2 * MIB];
    assert_int_equal(disk_reader_read(reader, MIB / 2, bytes, sizeof bytes, &err), 0);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[MIB / 2 - 1], 0);
    assert_int_equal(bytes[MIB / 2], 'x');
    assert_int_equal(bytes[MIB / 2 + MIB - 1], 'x');
    assert_int_equal(bytes[MIB / 2 + MIB], 0);
}

static void raw_file_tells_holes_from_data(void **state)
{
    (void)state;
    struct error err;
    const char *path = in_directory("sparse.raw");
    make_file(path, 16 * MIB, data_offsets, 2, MIB, 'x');
    struct disk_reader *reader = disk_reader_open_raw(path, &err);
    assert_non_null(reader);
    assert_int_equal(disk_reader_size(reader), 16 * MIB);
    assert_int_equal(sum_kind(reader, DISK_EXTENT_DATA, 1), 2 * MIB);
    assert_int_equal(sum_kind(reader, DISK_EXTENT_ZERO, 16), 14 * MIB);
    check_content(reader);
    disk_reader_close(reader);
}

static void odd_size_is_read_to_its_last_byte(void **state)
{
    (void)state;
    struct error err;
    const uint64_t last = 100000;
    make_file(in_directory("odd.raw"), last + 1, &last, 1, 1, 'z');
    struct disk_reader *reader = disk_reader_open_raw(in_directory("odd.raw"), &err);
    assert_non_null(reader);
    unsigned char byte = 0;
    assert_int_equal(disk_reader_read(reader, last, &byte, 1, &err), 0);
    assert_int_equal(byte, 'z');
    assert_int_equal(disk_reader_read(reader, last, &byte, 2, &err), -1);
    assert_int_equal(err.code, ERROR_DISK_CHANGED);
    size_t count = 9;
    struct disk_extent extent;
    assert_int_equal(disk_reader_extents(reader, last + 1, 10, &extent, 1, &count, &err), 0);
    assert_int_equal(count, 0);
    disk_reader_close(reader);
}

static void shrinking_file_is_noticed(void **state)
{
    (void)state;
    struct error err;
    const char *path = in_directory("shrinks.raw");
    make_file(path, 16 * MIB, data_offsets, 2, MIB, 'x');
    struct disk_reader *reader = disk_reader_open_raw(path, &err);
    assert_non_null(reader);
    assert_int_equal(truncate(path, 4 * MIB), 0);
    static unsigned char bytes[MIB];
    assert_int_equal(disk_reader_read(reader, 5 * MIB, bytes, sizeof bytes, &err), -1);
    assert_int_equal(err.code, ERROR_DISK_CHANGED);
    struct disk_extent extent;
    size_t count = 0;
    assert_int_equal(disk_reader_extents(reader, 5 * MIB, MIB, &extent, 1, &count, &err), -1);
    assert_int_equal(err.code, ERROR_DISK_CHANGED);
    disk_reader_close(reader);
}

static void missing_or_strange_files_are_refused(void **state)
{
    (void)state;
    struct error err;
    assert_null(disk_reader_open_raw(in_directory("nothing"), &err));
    assert_int_equal(err.code, ERROR_DISK_READ_FAILED);
    assert_null(disk_reader_open_raw("/dev/null", &err));
    assert_int_equal(err.code, ERROR_DISK_UNSUPPORTED);
    assert_null(disk_reader_open_image(in_directory("nothing"), "qcow2", NULL, &err));
    assert_int_equal(err.code, ERROR_DISK_READ_FAILED);
}

static void make_qcow2(const char *raw, const char *image)
{
    const char *const convert[] = {"qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image, NULL};
    run_tool(convert);
}

static void qcow2_reads_like_its_raw_twin(void **state)
{
    (void)state;
    struct error err;
    make_file(in_directory("a.raw"), 16 * MIB, data_offsets, 2, MIB, 'x');
    make_qcow2(in_directory("a.raw"), in_directory("a,b.qcow2")); /* a comma is special to QEMU */
    struct disk_reader *reader = disk_reader_open_image(in_directory("a,b.qcow2"), "qcow2", NULL, &err);
    assert_non_null(reader);
    assert_int_equal(disk_reader_size(reader), 16 * MIB);
    assert_int_equal(sum_kind(reader, DISK_EXTENT_DATA, 1), 2 * MIB);
    assert_int_equal(sum_kind(reader, DISK_EXTENT_ZERO, 2), 14 * MIB);
    check_content(reader);
    disk_reader_close(reader);
}

static void persistent_bitmap_tells_what_is_unchanged(void **state)
{
    (void)state;
    struct error err;
    make_file(in_directory("b.raw"), 16 * MIB, data_offsets, 2, MIB, 'x');
    const char *image = in_directory("b.qcow2");
    make_qcow2(in_directory("b.raw"), image);
    const char *const add[] = {"qemu-img", "bitmap", "--add", image, "since", NULL};
    run_tool(add);
    const char *const write[] = {"qemu-io",         "-f",  "qcow2", "-c", "write -P 7 8M 64k", "-c",
                                 "write -z 5M 64k", image, NULL};
    run_tool(write);
    struct disk_reader *reader = disk_reader_open_image(image, "qcow2", "since", &err);
    assert_non_null(reader);
    assert_int_equal(sum_kind(reader, DISK_EXTENT_DATA, 1), 65536);
    assert_int_equal(sum_kind(reader, DISK_EXTENT_ZERO, 16), 65536);
    assert_int_equal(sum_kind(reader, DISK_EXTENT_UNCHANGED, 3), 16 * MIB - 2 * 65536);
    disk_reader_close(reader);
}

static void absent_bitmap_is_an_error(void **state)
{
    (void)state;
    struct error err;
    const uint64_t start = 0;
    make_file(in_directory("c.raw"), MIB, &start, 1, 512, 'x');
    make_qcow2(in_directory("c.raw"), in_directory("c.qcow2"));
    assert_null(disk_reader_open_image(in_directory("c.qcow2"), "qcow2", "nosuch", &err));
    assert_int_equal(err.code, ERROR_DISK_READ_FAILED);
    assert_non_null(strstr(err.cause, "nosuch"));
    assert_null(disk_reader_open_nbd("nbd+unix:///?socket=/nonexistent", NULL, &err));
    assert_int_equal(err.code, ERROR_DISK_READ_FAILED);
}

static void large_sparse_image_is_walked_quickly(void **state)
{
    (void)state;
    struct error err;
    const char *image = in_directory("large.qcow2");
    const char *const create[] = {"qemu-img", "create", "-q", "-f", "qcow2", image, "8T", NULL};
    run_tool(create);
    const char *const write[] = {"qemu-io", "-f", "qcow2", "-c", "write -P 7 5T 64k", image, NULL};
    run_tool(write);
    struct disk_reader *reader = disk_reader_open_image(image, "qcow2", NULL, &err);
    assert_non_null(reader);
    uint64_t offset = 0;
    uint64_t data = 0;
    while (offset < disk_reader_size(reader)) {
        struct disk_extent extents[64];
        size_t count = 0;
        assert_int_equal(disk_reader_extents(reader, offset, UINT64_MAX, extents, 64, &count, &err), 0);
        for (size_t i = 0; i < count; i++) {
            data += extents[i].kind == DISK_EXTENT_DATA ? extents[i].length : 0;
            offset += extents[i].length;
        }
    }
    assert_int_equal(data, 65536);
    disk_reader_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_file_tells_holes_from_data),
        cmocka_unit_test(odd_size_is_read_to_its_last_byte),
        cmocka_unit_test(shrinking_file_is_noticed),
        cmocka_unit_test(missing_or_strange_files_are_refused),
        cmocka_unit_test(qcow2_reads_like_its_raw_twin),
        cmocka_unit_test(persistent_bitmap_tells_what_is_unchanged),
        cmocka_unit_test(absent_bitmap_is_an_error),
        cmocka_unit_test(large_sparse_image_is_walked_quickly),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
