/* Images of disks, made with the tools that make real ones, and what disk_pages_find says of them. */
#ifndef HOLDFAST_TESTS_PAGES_FIXTURE_H
#define HOLDFAST_TESTS_PAGES_FIXTURE_H

#include "base/bytes.h"
#include "disk/disk_pages.h"
#include "disk_fixture.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

/* As printf; the command has an empty input. */
static inline void __attribute__((format(printf, 1, 2))) shell(const char *format, ...)
{
    char command[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    assert_true(length > 0 && (size_t)length < sizeof command);
    const char *const argv[] = {"sh", "-ec", command, NULL};
    run_tool(argv);
}

static inline void make_empty(const char *path, uint64_t size)
{
    make_file(path, size, NULL, 0, 1, 0);
}

static inline void write_bytes(const char *path, uint64_t offset, const void *bytes, size_t length)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, (off_t)offset), (ssize_t)length);
    close(fd);
}

static inline void read_bytes(const char *path, uint64_t offset, void *bytes, size_t length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, length, (off_t)offset), (ssize_t)length);
    close(fd);
}

/* The partition's content, made in a file of its own, goes to its place in the disk. */
static inline void place(const char *disk, uint64_t offset, const char *content)
{
    assert_string_not_equal(disk, content);
    shell("dd if=%s of=%s bs=64K seek=%llu oflag=seek_bytes conv=notrunc,sparse status=none", content, disk,
          (unsigned long long)offset);
}

static inline struct disk_pages *find_pages(const char *path)
{
    struct error err;
    char text[2 * ERROR_TEXT_MAX];
    struct disk_reader *reader = disk_reader_open_raw(path, &err);
    assert_non_null(reader);
    struct disk_pages *pages = disk_pages_find(reader, &err);
    if (!pages)
        fail_msg("%s", error_format(&err, text, sizeof text));
    disk_reader_close(reader);
    return pages;
}

static inline void expect_ranges(const char *path, const struct disk_pages_range *expected, size_t count)
{
    struct disk_pages *pages = find_pages(path);
    assert_int_equal(disk_pages_count(pages), count);
    for (size_t i = 0; i < count; i++) {
        const struct disk_pages_range *range = disk_pages_get(pages, i);
        assert_int_equal(range->offset, expected[i].offset);
        assert_int_equal(range->length, expected[i].length);
        assert_int_equal(range->kind, expected[i].kind);
    }
    assert_false(disk_pages_asleep(pages));
    disk_pages_destroy(pages);
}

static inline void expect_nothing(const char *path)
{
    expect_ranges(path, NULL, 0);
}

static inline void expect_asleep(const char *path)
{
    struct disk_pages *pages = find_pages(path);
    assert_true(disk_pages_asleep(pages));
    assert_int_equal(disk_pages_count(pages), 0);
    disk_pages_destroy(pages);
}

#endif
