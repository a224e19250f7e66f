/* A directory for the files of a test, and tools that work on them. */
#ifndef HOLDFAST_TESTS_DIRECTORY_FIXTURE_H
#define HOLDFAST_TESTS_DIRECTORY_FIXTURE_H

#include "base/os_file.h"
#include "base/os_process.h"
#include "check.h"
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

/* Good until it has been called 16 more times. */
static inline const char *in_directory(const char *name)
{
    static char paths[16][160];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static inline void run_tool(const char *const *argv)
{
    struct error err;
    check(os_process_run(argv, 1024 * 1024, NULL, &err), err);
}

#endif
