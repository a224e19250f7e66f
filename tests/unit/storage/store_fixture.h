/* A store in a directory of its own, and chunks to fill it with. */
#ifndef HOLDFAST_TESTS_STORE_FIXTURE_H
#define HOLDFAST_TESTS_STORE_FIXTURE_H

#include "check.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/os_file.h"
#include "storage/maintenance.h"

struct fixture {
    char root[64];
    char *directory;
    struct store *store;
};

static void fixture_open(struct fixture *fixture)
{
    struct error err;
    struct store_open_options options = {.reserved_bytes = 1};
    fixture->store = store_open(fixture->directory, &options, &err);
    if (fixture->store == NULL) {
        char text[1024];
        print_error("%s\n", error_format(&err, text, sizeof text));
    }
    assert_non_null(fixture->store);
}

static int fixture_set_up(void **state)
{
    struct error err;
    struct fixture *fixture = memory_zalloc(sizeof *fixture);
    snprintf(fixture->root, sizeof fixture->root, "/tmp/holdfast-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->root));
    fixture->directory = os_path_join(fixture->root, "store");
    struct store_settings settings = {0};
    assert_int_equal(store_create(fixture->directory, &settings, &err), 0);
    fixture_open(fixture);
    *state = fixture;
    return 0;
}

static int fixture_tear_down(void **state)
{
    struct error err;
    struct fixture *fixture = *state;
    store_close(fixture->store);
    assert_int_equal(os_path_remove_tree(fixture->root, &err), 0);
    free(fixture->directory);
    free(fixture);
    return 0;
}

/* A chunk that is a function of its seed. */
static inline void make_chunk(uint32_t seed, uint8_t *out)
{
    uint64_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < STORE_CHUNK_SIZE_DEFAULT; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(state >> 56);
    }
}

static inline struct chunk_name put_chunk(struct store *store, uint32_t seed)
{
    static uint8_t plain[STORE_CHUNK_SIZE_DEFAULT];
    struct chunk_name name;
    struct chunk_put_result result;
    struct error err;
    make_chunk(seed, plain);
    chunk_name_of(plain, sizeof plain, &name);
    struct chunk_run run = {.names = &name, .count = 1, .payload = plain, .length = sizeof plain};
    assert_int_equal(chunk_put_run(store, &run, &result, &err), 0);
    return name;
}

/* One bit of a file becomes another. Frees the path. */
static inline void fixture_flip(char *path, uint64_t offset)
{
    struct error err;
    uint8_t byte;
    struct os_file *file = os_file_open(path, OS_FILE_READ_WRITE, &err);
    assert_non_null(file);
    assert_int_equal(os_file_read_at(file, offset, &byte, 1, &err), 0);
    byte ^= 4;
    assert_int_equal(os_file_write_at(file, offset, &byte, 1, &err), 0);
    os_file_close(file);
    free(path);
}

#endif
