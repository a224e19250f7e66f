/* A directory for the files of a test, and files with a known content. */
#ifndef HOLDFAST_TESTS_DISK_FIXTURE_H
#define HOLDFAST_TESTS_DISK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/os_file.h"
#include "base/os_process.h"
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[64];

static inline int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/holdfast-test-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static inline int remove_directory(void **state)
{
    (void)state;
    struct error err;
    return os_path_remove_tree(directory, &err);
}

/* Good until it has been called 16 more times. */
static inline const char *in_directory(const char *name)
{
    static char paths[16][128];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

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

static inline void run_tool(const char *const *argv)
{
    struct error err;
    char text[2 * ERROR_TEXT_MAX];
    if (os_process_run(argv, 1024 * 1024, NULL, &err) != 0)
        fail_msg("%s", error_format(&err, text, sizeof text));
}

#endif
