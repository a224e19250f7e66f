#include "disk/disk_reader.h"
#include "disk/disk_writer.h"
#include "disk_fixture.h"
#include <pthread.h>
#include <sys/stat.h>

enum { MIB = 1024 * 1024, BLOCK = 65536 };

static unsigned char block[BLOCK];

static void check_block(struct disk_reader *reader, uint64_t offset, int fill)
{
    struct error err;
    static unsigned char bytes[BLOCK];
    unsigned char expected[BLOCK];
    memset(expected, fill, sizeof expected);
    assert_int_equal(disk_reader_read(reader, offset, bytes, sizeof bytes, &err), 0);
    assert_memory_equal(bytes, expected, sizeof bytes);
}

static void write_and_read_back(const char *format)
{
    struct error err;
    char name[32];
    snprintf(name, sizeof name, "new.%s", format);
    const char *path = in_directory(name);
    struct disk_writer *writer = disk_writer_create(path, format, 64 * MIB, &err);
    assert_non_null(writer);
    memset(block, 'q', sizeof block);
    assert_int_equal(disk_writer_write(writer, 32 * MIB, block, sizeof block, &err), 0);
    assert_int_equal(disk_writer_write(writer, 64 * MIB - BLOCK, block, sizeof block, &err), 0);
    assert_int_equal(disk_writer_write(writer, 64 * MIB - BLOCK + 1, block, sizeof block, &err), -1);
    assert_int_equal(disk_writer_finish(writer, &err), 0);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_blocks * 512 < 16 * MIB);
    struct disk_reader *reader = disk_reader_open_image(path, format, NULL, &err);
    assert_non_null(reader);
    assert_int_equal(disk_reader_size(reader), 64 * MIB);
    check_block(reader, 0, 0);
    check_block(reader, 32 * MIB, 'q');
    check_block(reader, 32 * MIB + BLOCK, 0);
    check_block(reader, 64 * MIB - BLOCK, 'q');
    disk_reader_close(reader);
    assert_null(disk_writer_create(path, format, MIB, &err));
    assert_int_equal(err.code, ERROR_RESTORE_PATH_EXISTS);
}

static void raw_file_is_sparse_and_exact(void **state)
{
    (void)state;
    write_and_read_back("raw");
}

static void qcow2_is_thin_and_exact(void **state)
{
    (void)state;
    write_and_read_back("qcow2");
}

static void vhdx_is_thin_and_exact(void **state)
{
    (void)state;
    write_and_read_back("vhdx");
}

static void abandoned_file_is_gone(void **state)
{
    (void)state;
    struct error err;
    static const char *const formats[] = {"raw", "qcow2"};
    for (size_t i = 0; i < 2; i++) {
        const char *path = in_directory("abandoned");
        struct disk_writer *writer = disk_writer_create(path, formats[i], MIB, &err);
        assert_non_null(writer);
        assert_int_equal(disk_writer_write(writer, 0, block, sizeof block, &err), 0);
        disk_writer_abandon(writer);
        assert_false(os_path_exists(path));
    }
    disk_writer_abandon(NULL);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    struct error err;
    assert_null(disk_writer_create(in_directory("x"), "floppy", MIB, &err));
    assert_int_equal(err.code, ERROR_REQUEST_INVALID);
    assert_null(disk_writer_create(in_directory("x"), "raw", UINT64_MAX, &err));
    assert_int_equal(err.code, ERROR_REQUEST_INVALID);
    assert_null(disk_writer_create(in_directory("no/x"), "qcow2", MIB, &err));
    assert_int_equal(err.code, ERROR_RESTORE_FAILED);
    assert_null(disk_writer_create(in_directory("no/x"), "raw", MIB, &err));
    assert_int_equal(err.code, ERROR_RESTORE_FAILED);
}

static void device_is_zeroed_where_it_is_not_written(void **state)
{
    (void)state;
    struct error err;
    const char *path = in_directory("device");
    const uint64_t start = 0;
    make_file(path, 2 * MIB, &start, 1, 2 * MIB, 'o');
    struct disk_writer *writer = disk_writer_open_device(path, 2 * MIB - 100, &err);
    assert_non_null(writer);
    memset(block, 'n', sizeof block);
    assert_int_equal(disk_writer_write(writer, 4 * BLOCK, block, sizeof block, &err), 0);
    assert_int_equal(disk_writer_write(writer, 8 * BLOCK + 100, block, 50, &err), 0);
    assert_int_equal(disk_writer_write(writer, 8 * BLOCK + 200, block, 50, &err), 0);
    assert_int_equal(disk_writer_finish(writer, &err), 0);
    static unsigned char bytes[2 * MIB];
    struct disk_reader *reader = disk_reader_open_raw(path, &err);
    assert_non_null(reader);
    assert_int_equal(disk_reader_read(reader, 0, bytes, sizeof bytes, &err), 0);
    disk_reader_close(reader);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bool written = (i >= 4 * BLOCK && i < 5 * BLOCK) || (i >= 8 * BLOCK + 100 && i < 8 * BLOCK + 150) ||
                       (i >= 8 * BLOCK + 200 && i < 8 * BLOCK + 250);
        int expected = i >= 2 * MIB - 100 ? 'o' : written ? 'n' : 0;
        if (bytes[i] != expected)
            fail_msg("byte %zu is %d, not %d", i, bytes[i], expected);
    }
    assert_null(disk_writer_open_device(path, 3 * MIB, &err));
    assert_int_equal(err.code, ERROR_RESTORE_NO_SPACE);
    assert_true(os_path_exists(path));
}

struct lane {
    struct disk_writer *writer;
    uint64_t first;
};

static void *write_lane(void *cookie)
{
    struct lane *lane = cookie;
    struct error err;
    unsigned char bytes[4096];
    for (uint64_t i = lane->first; i < 256; i += 4) {
        memset(bytes, (int)(i % 251) + 1, sizeof bytes);
        if (disk_writer_write(lane->writer, i * sizeof bytes, bytes, sizeof bytes, &err) != 0)
            return lane;
    }
    return NULL;
}

static void several_threads_write_at_once(void **state)
{
    (void)state;
    struct error err;
    static const char *const formats[] = {"raw", "qcow2"};
    for (size_t f = 0; f < 2; f++) {
        const char *path = in_directory(f ? "threads.qcow2" : "threads.raw");
        struct disk_writer *writer = disk_writer_create(path, formats[f], MIB, &err);
        assert_non_null(writer);
        pthread_t threads[4];
        struct lane lanes[4];
        for (uint64_t i = 0; i < 4; i++) {
            lanes[i] = (struct lane){writer, i};
            assert_int_equal(pthread_create(&threads[i], NULL, write_lane, &lanes[i]), 0);
        }
        for (size_t i = 0; i < 4; i++) {
            void *failed = NULL;
            pthread_join(threads[i], &failed);
            assert_null(failed);
        }
        assert_int_equal(disk_writer_finish(writer, &err), 0);
        struct disk_reader *reader = disk_reader_open_image(path, formats[f], NULL, &err);
        assert_non_null(reader);
        static unsigned char bytes[MIB];
        assert_int_equal(disk_reader_read(reader, 0, bytes, sizeof bytes, &err), 0);
        for (size_t i = 0; i < sizeof bytes; i++)
            assert_int_equal(bytes[i], (int)(i / 4096 % 251) + 1);
        disk_reader_close(reader);
    }
}

static void full_target_is_no_space(void **state)
{
    (void)state;
    struct error err;
    const char *mount_point = in_directory("full");
    assert_int_equal(os_path_make_directory(mount_point, 0700, &err), 0);
    const char *const mount[] = {"mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount_point, NULL};
    run_tool(mount);
    static const char *const formats[] = {"raw", "qcow2"};
    static unsigned char bytes[2 * MIB];
    memset(bytes, 'f', sizeof bytes);
    for (size_t i = 0; i < 2; i++) {
        const char *path = in_directory("full/disk");
        struct disk_writer *writer = disk_writer_create(path, formats[i], 8 * MIB, &err);
        assert_non_null(writer);
        int result = disk_writer_write(writer, 0, bytes, sizeof bytes, &err);
        if (result == 0)
            result = disk_writer_finish(writer, &err);
        else
            disk_writer_abandon(writer);
        assert_int_equal(result, -1);
        assert_int_equal(err.code, ERROR_RESTORE_NO_SPACE);
        unlink(path);
    }
    const char *const umount[] = {"umount", mount_point, NULL};
    run_tool(umount);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_file_is_sparse_and_exact),
        cmocka_unit_test(qcow2_is_thin_and_exact),
        cmocka_unit_test(vhdx_is_thin_and_exact),
        cmocka_unit_test(abandoned_file_is_gone),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(device_is_zeroed_where_it_is_not_written),
        cmocka_unit_test(several_threads_write_at_once),
        cmocka_unit_test(full_target_is_no_space),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
