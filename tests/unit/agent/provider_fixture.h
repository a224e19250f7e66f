/* Files of a test of a provider, and their content. */
#ifndef HOLDFAST_TESTS_PROVIDER_FIXTURE_H
#define HOLDFAST_TESTS_PROVIDER_FIXTURE_H

#include "directory_fixture.h"

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

#endif
