/* Copies of a snapshot's disk: everything that differs and nothing else. Files stand for the devices. */
#include "provider_fixture.h"

#include "agent/snapshots/volume_copy.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1024 * 1024, SIZE = 3 * MIB + 5000 };

/* Bytes that no two blocks share. */
static uint8_t *pattern(size_t length)
{
    uint8_t *bytes = malloc(length);
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(1 + (i * 7 + i / 4096) % 255);
    return bytes;
}

static void write_file(const char *path, const uint8_t *bytes, size_t length)
{
    struct error err;
    check(os_file_write_whole(path, bytes, length, 0600, &err), err);
}

static uint8_t *read_file(const char *path, size_t length)
{
    struct error err;
    uint8_t *bytes = NULL;
    size_t got = 0;
    check(os_file_read_whole(path, 16 * MIB, &bytes, &got, &err), err);
    assert_int_equal(got, length);
    return bytes;
}

static void a_device_becomes_what_the_snapshot_is(void **state)
{
    (void)state;
    struct error err;
    static const struct {
        size_t at, length;
    } changes[] = {{0, 1}, {4096, 4096}, {70000, 3}, {MIB - 1, 2}, {2 * MIB, MIB}, {SIZE - 1, 1}};
    uint8_t *wanted = pattern(SIZE);
    uint8_t *before = pattern(SIZE + 1000); /* the device is larger */
    write_file(in_directory("snapshot"), wanted, SIZE);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        memset(before + changes[i].at, 0, changes[i].length);
    write_file(in_directory("device"), before, SIZE + 1000);
    check(volume_copy_to_device(in_directory("snapshot"), SIZE, in_directory("device"), &err), err);
    uint8_t *after = read_file(in_directory("device"), SIZE + 1000);
    assert_memory_equal(after, wanted, SIZE);
    assert_memory_equal(after + SIZE, before + SIZE, 1000);
    free(after);
    free(before);
    free(wanted);
}

/* As many bytes of the file as have a place on its disk. */
static long allocated(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (long)info.st_blocks * 512;
}

static void what_is_the_same_is_not_written(void **state)
{
    (void)state;
    struct error err;
    int file = open(in_directory("empty"), O_RDWR | O_CREAT, 0600);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, 8 * MIB), 0);
    assert_int_equal(pwrite(file, "x", 1, 5 * MIB), 1);
    close(file);
    file = open(in_directory("hole"), O_RDWR | O_CREAT, 0600);
    assert_int_equal(ftruncate(file, 8 * MIB), 0);
    close(file);
    check(volume_copy_to_device(in_directory("empty"), 8 * MIB, in_directory("hole"), &err), err);
    assert_true(allocated(in_directory("hole")) <= 64 * 1024);
    const char *const compare[] = {"cmp", in_directory("empty"), in_directory("hole"), NULL};
    run_tool(compare);
    check(volume_copy_to_file(in_directory("empty"), in_directory("new"), &err), err);
    assert_true(allocated(in_directory("new")) <= 64 * 1024);
    const char *const compare_new[] = {"cmp", in_directory("empty"), in_directory("new"), NULL};
    run_tool(compare_new);
}

static void failures_say_whose_they_are(void **state)
{
    (void)state;
    struct error err;
    uint8_t *bytes = pattern(SIZE);
    write_file(in_directory("source"), bytes, SIZE);
    write_file(in_directory("small"), bytes, SIZE - 1);
    write_file(in_directory("large"), bytes, SIZE);
    free(bytes);
    assert_int_equal(volume_copy_to_device(in_directory("source"), SIZE, in_directory("small"), &err), -1);
    assert_int_equal(err.code, ERROR_RESTORE_NO_SPACE);
    assert_int_equal(volume_copy_to_device(in_directory("none"), SIZE, in_directory("large"), &err), -1);
    assert_int_equal(err.code, ERROR_SNAPSHOT_GONE);
    assert_int_equal(volume_copy_to_device(in_directory("small"), SIZE, in_directory("large"), &err), -1);
    assert_int_equal(err.code, ERROR_SNAPSHOT_GONE); /* it ended in the middle */
    assert_int_equal(volume_copy_to_file(in_directory("none"), in_directory("other"), &err), -1);
    assert_int_equal(err.code, ERROR_SNAPSHOT_GONE);
    assert_false(os_path_exists(in_directory("other")));
    assert_int_equal(volume_copy_to_file(in_directory("source"), in_directory("large"), &err), -1);
    assert_int_equal(err.code, ERROR_RESTORE_PATH_EXISTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_becomes_what_the_snapshot_is),
        cmocka_unit_test(what_is_the_same_is_not_written),
        cmocka_unit_test(failures_say_whose_they_are),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
