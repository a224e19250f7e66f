/* The index against a plain array: names that crowd and such that don't, replaced, moved, their containers
 * removed; segments that are written and merged meanwhile; closed, damaged and opened again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/os_file.h"
#include "storage/index_internal.h"

enum { NAMES = 30000, CROWDED = 10000, BATCHES = 120, BATCH = 1500, RECENT = 4000, CONTAINERS = BATCHES + 1 };

/* A name whose newest container went may be found at an older place that is still there, or not at all. */
enum place { NOWHERE, KNOWN, LEFT };

struct model {
    struct stored_name name;
    struct chunk_location location;
    bool node;
    enum place place;
};

static struct model *models;
static bool live[CONTAINERS];
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
        model->node = i % 4 == 0;
        model->place = KNOWN;
        pending_put(pending, &model->name, &model->location, model->node);
    }
    assert_int_equal(index_add(index, pending, &watermark, 1, &err), 0);
    live[container] = true;
    pending_destroy(pending);
}

static void remove_container(struct index *index, uint64_t container)
{
    struct error err;
    for (size_t i = 0; i < NAMES; i++) {
        if (models[i].place == KNOWN && models[i].location.container == container) {
            models[i].place = LEFT;
        }
    }
    live[container] = false;
    assert_int_equal(index_remove_container(index, container, &err), 0);
}

static void expect_found(const struct model *model, const struct chunk_location *found)
{
    if (model->place == KNOWN) {
        assert_int_equal(found->container, model->location.container);
        assert_int_equal(found->offset, model->location.offset);
        assert_int_equal(found->length, model->location.length);
        assert_int_equal(found->position, model->location.position);
        assert_int_equal(found->run_count, model->location.run_count);
    } else if (model->place == LEFT && found->container != 0) {
        assert_true(live[found->container]);
    } else {
        assert_int_equal(found->container, 0);
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
            while (at < NAMES && models[at].place != KNOWN &&
                   memcmp(models[at].name.bytes, entries[i].name.bytes, INDEX_NAME_SIZE) != 0) {
                at++;
            }
            assert_true(at < NAMES);
            assert_memory_equal(entries[i].name.bytes, models[at].name.bytes, INDEX_NAME_SIZE);
            expect_found(&models[at], &entries[i].location);
            if (models[at].place == KNOWN) {
                assert_int_equal(entries[i].node, models[at].node);
            }
            last = entries[i].name;
        }
        first = false;
    } while (count == portion);
    while (at < NAMES && models[at].place != KNOWN) {
        at++;
    }
    assert_int_equal(at, NAMES);
    free(entries);
}

static void expect_all(struct index *index)
{
    struct error err;
    enum { GROUP = 200 };
    struct stored_name names[GROUP];
    struct chunk_location found[GROUP];
    for (size_t from = 0; from < NAMES; from += GROUP) {
        for (size_t i = 0; i < GROUP; i++) {
            names[i] = models[from + i].name;
        }
        assert_int_equal(index_find_many(index, names, GROUP, found, &err), 0);
        for (size_t i = 0; i < GROUP; i++) {
            expect_found(&models[from + i], &found[i]);
        }
    }
    expect_walk(index, 1000);
    expect_walk(index, 37);
}

static struct index *open_index(void)
{
    struct error err;
    bool unusable;
    struct index *index = index_open(path, uuid, &unusable, &err);
    assert_non_null(index);
    index->recent_max = RECENT;
    return index;
}

static void remove_some(struct index *index)
{
    for (int i = 0; i < 3; i++) {
        uint64_t container = 1 + (uint64_t)rand_r(&seed) % BATCHES;
        if (live[container]) {
            remove_container(index, container);
        }
    }
}

static void test_against_array(void **state)
{
    (void)state;
    struct index *index = open_index();
    for (unsigned i = 1; i <= BATCHES; i++) {
        add_batch(index, i);
        if (i % 4 == 0) {
            remove_some(index);
        }
        if (i % 30 == 0) {
            expect_all(index); /* while they are merged */
            index_wait_merged(index);
            expect_all(index);
        }
        if (i % 50 == 0) {
            index_close(index);
            index = open_index();
            expect_all(index);
        }
    }
    index_wait_merged(index);
    assert_true(index->set->count > 0 && index->set->count <= 12);
    for (uint64_t i = 1; i <= BATCHES; i++) {
        remove_container(index, i);
    }
    expect_all(index);
    struct error err;
    struct index_figures figures;
    assert_int_equal(index_figures_read(index, &figures, &err), 0);
    assert_int_equal(figures.chunks + figures.nodes, 0);
    index_close(index);
}

/* Entries of a container that the index knows no more go when segments are merged. */
static void test_dead_entries_go(void **state)
{
    (void)state;
    struct index *index = open_index();
    uint64_t before = 0;
    uint64_t after = 0;
    for (size_t i = 0; i < index->set->count; i++) {
        before += index_segment_count(index->set->segments[i]);
    }
    memset(live, 0, sizeof live);
    for (unsigned i = 1; i <= 4; i++) {
        add_batch(index, i);
    }
    index_wait_merged(index);
    for (size_t i = 0; i < index->set->count; i++) {
        after += index_segment_count(index->set->segments[i]);
    }
    assert_true(after <= 4 * BATCH && after < before + BATCH);
    expect_all(index);
    index_close(index);
}

/* Merging that lags behind catches up, however many small segments there are. */
static void test_merging_catches_up(void **state)
{
    (void)state;
    struct index *index = open_index();
    index->recent_max = BATCH / 2;
    index_retire(index);
    for (unsigned i = 61; i <= 100; i++) {
        add_batch(index, i);
    }
    assert_true(index->set->count >= 40);
    expect_all(index);
    index_close(index);
    index = open_index();
    index->recent_max = BATCH / 2;
    for (unsigned i = 101; i <= 105; i++) {
        add_batch(index, i);
    }
    index_wait_merged(index);
    assert_true(index->set->count <= 8);
    expect_all(index);
    index_close(index);
}

struct reading {
    struct index *index;
    atomic_bool stop;
    atomic_uint_fast64_t found;
};

static void *read_all_the_time(void *cookie)
{
    struct reading *reading = cookie;
    struct error err;
    struct index_entry entries[100];
    size_t count;
    for (size_t i = 0; !atomic_load(&reading->stop); i = (i + 7) % NAMES) {
        struct chunk_location location;
        assert_true(index_find(reading->index, &models[i].name, &location, &err) >= 0);
        assert_true(location.container < CONTAINERS);
        atomic_fetch_add(&reading->found, location.container != 0);
        if (i % 50 == 0) {
            assert_int_equal(index_read_entries(reading->index, &models[i].name, entries, 100, &count, &err),
                             0);
        }
    }
    return NULL;
}

static void test_reading_beside_writing(void **state)
{
    (void)state;
    struct reading reading = {.index = open_index()};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, read_all_the_time, &reading);
    }
    for (unsigned i = 5; i <= 60; i++) {
        add_batch(reading.index, i);
        if (i % 4 == 0) {
            remove_container(reading.index, i - 4);
        }
    }
    atomic_store(&reading.stop, true);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(atomic_load(&reading.found) > 0);
    expect_all(reading.index);
    index_close(reading.index);
}

static int cut_segment(void *cookie, const char *name)
{
    struct error err;
    (void)cookie;
    if (strstr(name, ".hfx") == NULL) {
        return 0;
    }
    char *file_path = os_path_join(path, name);
    struct os_file *file = os_file_open(file_path, OS_FILE_READ_WRITE, &err);
    assert_non_null(file);
    assert_int_equal(os_file_truncate(file, 5000, &err), 0);
    os_file_close(file);
    free(file_path);
    return 1;
}

static void test_damaged_segment_is_no_index(void **state)
{
    (void)state;
    struct error err;
    bool unusable;
    assert_int_equal(os_path_list(path, cut_segment, NULL, &err), 1);
    assert_null(index_open(path, uuid, &unusable, &err));
    assert_true(unusable);
}

static int set_up(void **state)
{
    (void)state;
    make_names();
    return mkdtemp(path) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct error err;
    (void)state;
    free(models);
    return os_path_remove_tree(path, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_array),
        cmocka_unit_test(test_dead_entries_go),
        cmocka_unit_test(test_reading_beside_writing),
        cmocka_unit_test(test_merging_catches_up),
        cmocka_unit_test(test_damaged_segment_is_no_index),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
