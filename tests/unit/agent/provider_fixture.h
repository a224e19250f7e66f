/* A directory for the files of a test of a provider, and files with a known content. */
#ifndef HOLDFAST_TESTS_PROVIDER_FIXTURE_H
#define HOLDFAST_TESTS_PROVIDER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/os_file.h"
#include "base/os_process.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static inline const char *in_directory(const char *name)
{
    static char paths[8][160];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static inline void write_text(const char *path, const char *text)
{
    struct error err;
    assert_int_equal(os_file_write_whole(path, text, strlen(text), 0600, &err), 0);
}

static inline void check_text(const char *path, const char *text)
{
    struct error err;
    uint8_t *bytes = NULL;
    size_t length = 0;
    assert_int_equal(os_file_read_whole(path, 1024 * 1024, &bytes, &length, &err), 0);
    assert_string_equal((char *)bytes, text);
    free(bytes);
}

static inline void run_tool(const char *const *argv)
{
    struct error err;
    char text[2 * ERROR_TEXT_MAX];
    if (os_process_run(argv, 1024 * 1024, NULL, &err) != 0)
        fail_msg("%s", error_format(&err, text, sizeof text));
}

#define check_ok(call, err)                                                                                  \
    do {                                                                                                     \
        char text_[3 * ERROR_TEXT_MAX];                                                                      \
        if ((call) != 0)                                                                                     \
            fail_msg("%s", error_format(&(err), text_, sizeof text_));                                       \
    } while (0)

#endif
