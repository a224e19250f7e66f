/* The index against a plain array: names that crowd under few keys and such that don't, replaced, moved and
 * removed, in many transactions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/os_file.h"
#include "storage/index.h"

enum { NAMES = 60000, CROWDED = 40000, CONTAINERS = 40, BATCHES = 60, BATCH = 1500 };

struct model {
    struct stored_name name;
    struct chunk_location location; /* container 0: not there */
    bool node;
};

static struct model *models;
static unsigned seed = 7;
static const uint8_t uuid[16] = {1, 2, 3};
static char path[] = "/tmp/holdfast-index-XXXXXX";

static int compare_models(const void *a, const void *b)
{
    return memcmp(a, b, INDEX_NAME_SIZE);
}

static void make_names(void)
{
    models = memory_array(NAMES, sizeof *models);
    for (size_t i = 0; i < NAMES; i++) {
        uint8_t *bytes = models[i].name.bytes;
        for (size_t j = 0; j < INDEX_NAME_SIZE; j++) {
            bytes[j] = (uint8_t)rand_r(&seed);
        }
        if (i < CROWDED) {
            bytes[0] = 0xFF;
            bytes[1] = (uint8_t)(0xF8 + i % 8);
        }
    }
    qsort(models, NAMES, sizeof *models, compare_models);
}

static struct chunk_location some_location(uint64_t container)
{
    uint8_t count = (uint8_t)(1 + rand_r(&seed) % 16);
    return (struct chunk_location){
        .container = container,
        .offset = (uint32_t)rand_r(&seed) % (UINT32_C(1) << 23) * 8,
        .length = (uint32_t)rand_r(&seed) % (UINT32_C(1) << 21) * 8,
        .position = (uint8_t)((unsigned)rand_r(&seed) % count),
        .run_count = count,
    };
}

static void add_batch(struct index *index, uint64_t container)
{
    struct error err;
    struct pending *pending = pending_create();
    struct index_watermark watermark = {.container = container, .offset = container * 8};
    for (size_t i = 0; i < BATCH; i++) {
        struct model *model = &models[(size_t)rand_r(&seed) % NAMES];
        model->location = some_location(container);
        model->node = rand_r(&seed) % 4 == 0;
        pending_put(pending, &model->name, &model->location, model->node);
    }
    assert_int_equal(index_add(index, pending, &watermark, 1, &err), 0);
    pending_destroy(pending);
}

/* With names that lie elsewhere by now, or nowhere. */
static void remove_container(struct index *index, uint64_t container)
{
    struct error err;
    size_t count = 0;
    struct stored_name *names = memory_array(NAMES, sizeof *names);
    for (size_t i = 0; i < NAMES; i++) {
        if (models[i].location.container == container) {
            models[i].location.container = 0;
            names[count++] = models[i].name;
        } else if (i % 100 == 0) {
            names[count++] = models[i].name;
        }
    }
    assert_int_equal(index_remove_container(index, container, names, count, &err), 0);
    free(names);
}

static void expect_location(const struct chunk_location *found, const struct chunk_location *wanted)
{
    assert_int_equal(found->container, wanted->container);
    if (wanted->container != 0) {
        assert_int_equal(found->offset, wanted->offset);
        assert_int_equal(found->length, wanted->length);
        assert_int_equal(found->position, wanted->position);
        assert_int_equal(found->run_count, wanted->run_count);
    }
}

static void expect_walk(struct index *index, size_t portion)
{
    struct error err;
    struct index_entry *entries = memory_array(portion, sizeof *entries);
    struct stored_name last;
    size_t count;
    size_t at = 0;
    bool first = true;
    do {
        assert_int_equal(index_read_entries(index, first ? NULL : &last, entries, portion, &count, &err), 0);
        for (size_t i = 0; i < count; i++, at++) {
            while (at < NAMES && models[at].location.container == 0) {
                at++;
            }
            assert_true(at < NAMES);
            assert_memory_equal(entries[i].name.bytes, models[at].name.bytes, INDEX_NAME_SIZE);
            expect_location(&entries[i].location, &models[at].location);
            assert_int_equal(entries[i].node, models[at].node);
            last = entries[i].name;
        }
        first = false;
    } while (count == portion);
    while (at < NAMES && models[at].location.container == 0) {
        at++;
    }
    assert_int_equal(at, NAMES);
    free(entries);
}

static void expect_all(struct index *index)
{
    struct error err;
    struct index_figures figures;
    struct chunk_location found;
    uint64_t chunks = 0;
    uint64_t nodes = 0;
    for (size_t i = 0; i < NAMES; i++) {
        int result = index_find(index, &models[i].name, &found, &err);
        assert_int_equal(result, models[i].location.container != 0);
        expect_location(&found, &models[i].location);
        if (result == 1) {
            *(models[i].node ? &nodes : &chunks) += 1;
        }
    }
    assert_int_equal(index_figures_read(index, &figures, &err), 0);
    assert_int_equal(figures.chunks, chunks);
    assert_int_equal(figures.nodes, nodes);
    expect_walk(index, 1000);
    expect_walk(index, 37);
}

static void test_against_array(void **state)
{
    (void)state;
    struct error err;
    bool unusable;
    assert_non_null(mkdtemp(path));
    struct index *index = index_open(path, uuid, &unusable, &err);
    assert_non_null(index);
    make_names();
    for (unsigned i = 0; i < BATCHES; i++) {
        add_batch(index, 1 + i % CONTAINERS);
        if (i % 3 == 2) {
            remove_container(index, 1 + (uint64_t)rand_r(&seed) % CONTAINERS);
        }
        if (i % 20 == 19) {
            expect_all(index);
        }
    }
    index_close(index);
    index = index_open(path, uuid, &unusable, &err);
    assert_non_null(index);
    expect_all(index);
    for (uint64_t i = 1; i <= CONTAINERS; i++) {
        remove_container(index, i);
    }
    expect_all(index);
    index_close(index);
    free(models);
    assert_int_equal(os_path_remove_tree(path, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_array)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
