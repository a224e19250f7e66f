/* Files with a known content. */
#ifndef HOLDFAST_TESTS_DISK_FIXTURE_H
#define HOLDFAST_TESTS_DISK_FIXTURE_H

#include "directory_fixture.h"
#include <fcntl.h>
#include <unistd.h>

/* A sparse file: `size` bytes, with `length` bytes of `fill` at each of the offsets. */
static inline void make_file(const char *path, uint64_t size, const uint64_t *offsets, size_t count,
                             size_t length, int fill)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    unsigned char *bytes = malloc(length);
    assert_non_null(bytes);
    memset(bytes, fill, length);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pwrite(fd, bytes, length, (off_t)offsets[i]), (ssize_t)length);
    free(bytes);
    close(fd);
}

#endif
