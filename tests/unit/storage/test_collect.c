/* Garbage collection: what is needed stays, whatever goes on beside it; the rest goes. */
#include "store_fixture.h"

#include "base/identity.h"
#include "storage/index_internal.h"
#include "storage/point.h"
#include "storage/store_internal.h"
#include "storage/writers.h"
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

enum { CHUNKS = 160, CHUNK = STORE_CHUNK_SIZE_DEFAULT, CONTAINER = 1024 * 1024 };
static const uint64_t disk_size = (uint64_t)CHUNKS * CHUNK;

static void open_small(struct fixture *fixture)
{
    struct error err;
    struct store_open_options options = {.reserved_bytes = 1, .container_bytes = CONTAINER};
    store_close(fixture->store);
    fixture->store = store_open(fixture->directory, &options, &err);
    assert_non_null(fixture->store);
}

static int set_up(void **state)
{
    fixture_set_up(state);
    open_small(*state);
    return 0;
}

/* A map of the chunks seeds, seeds + 1, ... in runs of up to `run` chunks. */
static void write_map(struct store *store, uint32_t seed, size_t run, struct chunk_name *root)
{
    static uint8_t plain[STORE_RUN_MAX * CHUNK];
    struct chunk_name names[STORE_RUN_MAX];
    struct error err;
    struct map_writer *writer = map_writer_open(store, disk_size, NULL, 0, &err);
    assert_non_null(writer);
    for (uint32_t i = 0; i < CHUNKS; i += (uint32_t)run) {
        for (uint32_t j = 0; j < run; j++) {
            make_chunk(seed + i + j, plain + j * CHUNK);
            chunk_name_of(plain + j * CHUNK, CHUNK, &names[j]);
        }
        struct chunk_run put = {.names = names, .count = run, .payload = plain, .length = run * CHUNK};
        struct chunk_put_result result;
        check(chunk_put_run(store, &put, &result, &err), err);
        for (uint32_t j = 0; j < run; j++) {
            check(map_writer_set(writer, i + j, &names[j], &err), err);
        }
    }
    check(map_writer_flush(writer, root, &err), err);
    map_writer_destroy(writer);
}

static void commit_root(struct store *store, const struct chunk_name *root, char id[IDENTITY_SIZE])
{
    struct error err;
    struct point *point = point_create();
    identity_create(point->id);
    identity_create(point->datasource);
    struct point_disk *disk = point_add_disk(point, "vda");
    disk->size = disk_size;
    disk->root = *root;
    memcpy(id, point->id, IDENTITY_SIZE);
    check(point_commit(store, point, &err), err);
    point_destroy(point);
}

static void commit(struct store *store, uint32_t seed, size_t run, char id[IDENTITY_SIZE])
{
    struct chunk_name root;
    write_map(store, seed, run, &root);
    commit_root(store, &root, id);
}

static void assert_reads(struct store *store, const char *id, uint32_t seed)
{
    static uint8_t chunk[CHUNK];
    static uint8_t wanted[CHUNK];
    struct error err;
    struct point *point = point_read(store, id, &err);
    assert_non_null(point);
    struct map_reader *reader = map_reader_open(store, &point->disks[0].root, disk_size, &err);
    check(reader != NULL ? 0 : -1, err);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        struct chunk_name name;
        check(map_reader_get(reader, i, &name, &err), err);
        check(chunk_read(store, &name, chunk, &err), err);
        make_chunk(seed + i, wanted);
        assert_memory_equal(chunk, wanted, CHUNK);
    }
    map_reader_destroy(reader);
    point_destroy(point);
}

static void assert_whole(struct fixture *fixture)
{
    struct error err;
    struct verify_report report;
    check(store_verify(fixture->store, NULL, NULL, &report, &err), err);
    assert_int_equal(report.damaged_chunks, 0);
    assert_int_equal(report.damaged_point_count, 0);
    verify_report_clear(&report);
}

static struct collect_report collect(struct store *store, maintenance_watch watch, void *cookie)
{
    struct error err;
    struct collect_options options = {0};
    struct collect_report report;
    check(store_collect(store, &options, watch, cookie, &report, &err), err);
    return report;
}

static struct store_status status(struct store *store)
{
    struct error err;
    struct store_status status;
    check(store_status_read(store, &status, &err), err);
    return status;
}

static void remove_point(struct store *store, const char *id)
{
    struct error err;
    check(point_delete(store, id, &err), err);
}

/* --- alone */

static void test_frees_what_nobody_needs(void **state)
{
    struct fixture *fixture = *state;
    char first[IDENTITY_SIZE];
    char second[IDENTITY_SIZE];
    commit(fixture->store, 1, 1, first);
    commit(fixture->store, 1 + CHUNKS / 2, 1, second); /* half of it is the same */
    assert_int_equal(collect(fixture->store, NULL, NULL).freed_bytes, 0);
    struct store_status before = status(fixture->store);
    remove_point(fixture->store, first);
    struct collect_report report = collect(fixture->store, NULL, NULL);
    assert_true(report.freed_bytes > CHUNKS / 3 * (uint64_t)CHUNK);
    struct store_status after = status(fixture->store);
    assert_int_equal(after.chunks, CHUNKS);
    assert_true(after.container_bytes + report.freed_bytes <= before.container_bytes + CONTAINER);
    assert_reads(fixture->store, second, 1 + CHUNKS / 2);
    assert_whole(fixture);
    open_small(fixture);
    assert_reads(fixture->store, second, 1 + CHUNKS / 2);
    struct error err;
    check(store_rebuild_index(fixture->store, NULL, NULL, &err), err);
    assert_reads(fixture->store, second, 1 + CHUNKS / 2);
    assert_int_equal(status(fixture->store).chunks, CHUNKS);
    remove_point(fixture->store, second);
    collect(fixture->store, NULL, NULL);
    assert_int_equal(status(fixture->store).chunks, 0);
    assert_int_equal(status(fixture->store).nodes, 0);
}

static void test_runs_that_are_live_in_part(void **state)
{
    struct fixture *fixture = *state;
    char first[IDENTITY_SIZE];
    char second[IDENTITY_SIZE];
    commit(fixture->store, 1, STORE_RUN_MAX, first);
    commit(fixture->store, 1 + CHUNKS - 8, STORE_RUN_MAX, second); /* shares half a run */
    remove_point(fixture->store, first);
    collect(fixture->store, NULL, NULL);
    assert_in_range(status(fixture->store).chunks, CHUNKS, CHUNKS + 8); /* little dead is left alone */
    assert_reads(fixture->store, second, 1 + CHUNKS - 8);
    assert_whole(fixture);
}

static void test_dry_run_frees_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char id[IDENTITY_SIZE];
    commit(fixture->store, 1, 1, id);
    remove_point(fixture->store, id);
    struct collect_options options = {.dry_run = true};
    struct collect_report report;
    struct store_status before = status(fixture->store);
    check(store_collect(fixture->store, &options, NULL, NULL, &report, &err), err);
    assert_true(report.freed_bytes > CHUNKS / 2 * (uint64_t)CHUNK);
    assert_true(status(fixture->store).container_bytes >= before.container_bytes);
    assert_int_equal(status(fixture->store).chunks, CHUNKS);
}

static void test_partial_maps_are_roots(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char datasource[IDENTITY_SIZE];
    struct chunk_name root;
    identity_create(datasource);
    write_map(fixture->store, 1, 1, &root);
    check(partial_save(fixture->store, datasource, "vda", disk_size, &root, &err), err);
    collect(fixture->store, NULL, NULL);
    assert_int_equal(status(fixture->store).chunks, CHUNKS);
    check(partial_remove(fixture->store, datasource, &err), err);
    collect(fixture->store, NULL, NULL);
    assert_int_equal(status(fixture->store).chunks, 0);
}

static bool cancel_in_sweep(void *cookie, const struct maintenance_progress *progress)
{
    (void)cookie;
    return strcmp(progress->phase, "sweep") == 0 && progress->done == 3;
}

static void test_cancelled_anywhere(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char first[IDENTITY_SIZE];
    char second[IDENTITY_SIZE];
    struct collect_options options = {0};
    struct collect_report report;
    commit(fixture->store, 1, 1, first);
    commit(fixture->store, 1 + CHUNKS / 2, 1, second);
    remove_point(fixture->store, first);
    assert_int_equal(store_collect(fixture->store, &options, cancel_in_sweep, NULL, &report, &err), -1);
    assert_int_equal(err.code, ERROR_JOB_CANCELLED);
    assert_reads(fixture->store, second, 1 + CHUNKS / 2);
    open_small(fixture);
    assert_reads(fixture->store, second, 1 + CHUNKS / 2);
    collect(fixture->store, NULL, NULL);
    assert_int_equal(status(fixture->store).chunks, CHUNKS);
    assert_whole(fixture);
}

/* --- beside a writer */

struct beside {
    struct fixture *fixture;
    struct store_writer *old_writer;
    struct store_writer *new_writer;
    char old_point[IDENTITY_SIZE];
    struct chunk_name new_root;
    bool done;
};

/* While the collection waits for the writer that was there before it, another comes and uses what is garbage
 * but for it; then the old one commits. */
static bool on_wait(void *cookie, const struct maintenance_progress *progress)
{
    struct beside *beside = cookie;
    if (strcmp(progress->phase, "wait") == 0 && !beside->done) {
        beside->done = true;
        beside->new_writer = store_writer_begin(beside->fixture->store);
        write_map(beside->fixture->store, 1, 1, &beside->new_root);
        struct chunk_name root;
        write_map(beside->fixture->store, 1001, 1, &root);
        commit_root(beside->fixture->store, &root, beside->old_point);
        store_writer_end(beside->old_writer);
    }
    return false;
}

static void test_writers_before_and_during_the_mark(void **state)
{
    struct fixture *fixture = *state;
    struct beside beside = {.fixture = fixture};
    char garbage[IDENTITY_SIZE];
    char new_point[IDENTITY_SIZE];
    commit(fixture->store, 1, 1, garbage);
    remove_point(fixture->store, garbage);
    beside.old_writer = store_writer_begin(fixture->store);
    struct chunk_name root;
    write_map(fixture->store, 1001, 1, &root); /* put, and in no point yet */
    collect(fixture->store, on_wait, &beside);
    assert_true(beside.done);
    commit_root(fixture->store, &beside.new_root, new_point);
    store_writer_end(beside.new_writer);
    assert_reads(fixture->store, beside.old_point, 1001);
    assert_reads(fixture->store, new_point, 1);
    assert_whole(fixture);
}

static bool on_sweep(void *cookie, const struct maintenance_progress *progress)
{
    struct beside *beside = cookie;
    if (strcmp(progress->phase, "sweep") == 0 && !beside->done) {
        struct error err;
        struct chunk_name name;
        static uint8_t plain[CHUNK];
        beside->done = true;
        beside->new_writer = store_writer_begin(beside->fixture->store);
        make_chunk(CHUNKS, plain); /* the last of the garbage */
        chunk_name_of(plain, CHUNK, &name);
        assert_false(chunk_exists(beside->fixture->store, &name));
        write_map(beside->fixture->store, 1, 1, &beside->new_root);
        assert_true(chunk_exists(beside->fixture->store, &name));
        assert_int_equal(store_writer_pin(beside->new_writer, &beside->new_root, &err), 0);
    }
    return false;
}

static void test_writer_during_the_sweep(void **state)
{
    struct fixture *fixture = *state;
    struct beside beside = {.fixture = fixture};
    char garbage[IDENTITY_SIZE];
    char point[IDENTITY_SIZE];
    commit(fixture->store, 1, 1, garbage);
    remove_point(fixture->store, garbage);
    collect(fixture->store, on_sweep, &beside);
    assert_true(beside.done);
    commit_root(fixture->store, &beside.new_root, point);
    store_writer_end(beside.new_writer);
    assert_reads(fixture->store, point, 1);
    assert_whole(fixture);
    open_small(fixture);
    assert_reads(fixture->store, point, 1);
}

static bool on_wait_pin(void *cookie, const struct maintenance_progress *progress)
{
    struct beside *beside = cookie;
    struct error err;
    if (strcmp(progress->phase, "wait") == 0 && !beside->done) {
        beside->done = true;
        beside->new_writer = store_writer_begin(beside->fixture->store);
        check(store_writer_pin(beside->new_writer, &beside->new_root, &err), err);
        store_writer_end(beside->old_writer);
    }
    return false;
}

static void test_what_a_writer_builds_on_stays(void **state)
{
    struct fixture *fixture = *state;
    struct beside beside = {.fixture = fixture};
    char parent[IDENTITY_SIZE];
    char point[IDENTITY_SIZE];
    write_map(fixture->store, 1, 1, &beside.new_root);
    commit_root(fixture->store, &beside.new_root, parent);
    remove_point(fixture->store, parent); /* under the writer's feet */
    beside.old_writer = store_writer_begin(fixture->store);
    collect(fixture->store, on_wait_pin, &beside);
    commit_root(fixture->store, &beside.new_root, point);
    store_writer_end(beside.new_writer);
    assert_reads(fixture->store, point, 1);
    assert_whole(fixture);
}

/* --- killed in it */

static char *container_path(struct fixture *fixture, unsigned container)
{
    return memory_format("%s/containers/%02x/%016x.hfc", fixture->directory, container, container);
}

static void expect_damaged(struct store *store, uint64_t chunks)
{
    struct error err;
    struct verify_report report;
    check(store_verify(store, NULL, NULL, &report, &err), err);
    assert_int_equal(report.damaged_chunks, chunks);
    verify_report_clear(&report);
}

/* A container was out of the index and its file not yet removed. What it has of a chunk that was damaged and
 * stored again must not take the place of the good copy. */
static void test_killed_before_a_file_goes(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char old[IDENTITY_SIZE];
    char new[IDENTITY_SIZE];
    uint8_t *bytes;
    size_t length;
    commit(fixture->store, 1000, 1, old);
    fixture_flip(container_path(fixture, 1), 1000); /* in the chunk 1000 */
    expect_damaged(fixture->store, 1);
    commit(fixture->store, 1000 - CHUNKS + 1, 1, new); /* ends with the chunk 1000 */
    assert_reads(fixture->store, new, 1000 - CHUNKS + 1);
    remove_point(fixture->store, old);
    char *path = container_path(fixture, 1);
    check(os_file_read_whole(path, 2 * CONTAINER, &bytes, &length, &err), err);
    collect(fixture->store, NULL, NULL);
    assert_false(os_path_exists(path));
    store_close(fixture->store);
    fixture->store = NULL;
    check(os_file_write_whole(path, bytes, length, 0600, &err), err);
    open_small(fixture);
    assert_reads(fixture->store, new, 1000 - CHUNKS + 1);
    collect(fixture->store, NULL, NULL);
    assert_reads(fixture->store, new, 1000 - CHUNKS + 1);
    assert_whole(fixture);
    free(bytes);
    free(path);
}

/* --- on damage */

/* The first record of a container gets other bytes and a checksum that fits. */
static void forge_record(struct fixture *fixture, unsigned container)
{
    struct error err;
    uint8_t *bytes;
    size_t length;
    char *path = container_path(fixture, container);
    check(os_file_read_whole(path, 2 * CONTAINER, &bytes, &length, &err), err);
    bytes[CONTAINER_HEADER_SIZE + 1000] ^= 4;
    record_finish(bytes + CONTAINER_HEADER_SIZE);
    check(os_file_write_whole(path, bytes, length, 0600, &err), err);
    free(bytes);
    free(path);
}

static int is_whole(struct store *store, const char *id)
{
    struct error err;
    uint64_t missing;
    int whole = store_check_point(store, id, &missing, &err);
    check(whole < 0 ? -1 : 0, err);
    return whole;
}

/* A chunk that is known to be damaged is not well again because it was moved. */
static void test_damage_is_not_moved(void **state)
{
    struct fixture *fixture = *state;
    char old[IDENTITY_SIZE];
    char new[IDENTITY_SIZE];
    commit(fixture->store, 1000, 1, old);
    commit(fixture->store, 1000 - CHUNKS + 1, 1, new); /* of the first container it needs the first chunk */
    forge_record(fixture, 1);
    open_small(fixture);
    expect_damaged(fixture->store, 1);
    assert_int_equal(is_whole(fixture->store, new), 0);
    remove_point(fixture->store, old);
    collect(fixture->store, NULL, NULL);
    assert_int_equal(is_whole(fixture->store, new), 0);
    expect_damaged(fixture->store, 1);
    commit(fixture->store, 1000, 1, old); /* stored again */
    assert_reads(fixture->store, new, 1000 - CHUNKS + 1);
    collect(fixture->store, NULL, NULL);
    assert_whole(fixture);
}

/* Nor does a damaged chunk in a container without a table, as each is that was the last when the store was
 * closed, keep the others from being collected. */
static void test_collects_beside_damage(void **state)
{
    struct fixture *fixture = *state;
    char garbage[IDENTITY_SIZE];
    char id[IDENTITY_SIZE];
    unsigned last = 1;
    commit(fixture->store, 2000, 1, garbage);
    commit(fixture->store, 1000, 1, id);
    open_small(fixture);
    char *path = container_path(fixture, last);
    for (; os_path_exists(path); path = container_path(fixture, ++last)) {
        free(path);
    }
    free(path);
    fixture_flip(container_path(fixture, last - 1), 1000);
    remove_point(fixture->store, garbage);
    assert_true(collect(fixture->store, NULL, NULL).freed_bytes > CHUNKS / 2 * (uint64_t)CHUNK);
    expect_damaged(fixture->store, 1);
    commit(fixture->store, 1000, 1, garbage);
    assert_reads(fixture->store, id, 1000);
}

static void damage_segments(struct fixture *fixture, const struct chunk_name *name)
{
    struct error err;
    char *directory = os_path_join(fixture->directory, "index");
    unsigned found = 0;
    DIR *listing = opendir(directory);
    assert_non_null(listing);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        uint8_t *bytes;
        size_t length;
        char *path = os_path_join(directory, entry->d_name);
        if (strstr(entry->d_name, ".hfx") != NULL) {
            check(os_file_read_whole(path, 64 * CONTAINER, &bytes, &length, &err), err);
            uint8_t *place = memmem(bytes, length, name->bytes, INDEX_NAME_SIZE);
            if (place != NULL) {
                place[INDEX_NAME_SIZE - 1] ^= 1;
                found++;
                check(os_file_write_whole(path, bytes, length, 0600, &err), err);
            }
            free(bytes);
        }
        free(path);
    }
    closedir(listing);
    free(directory);
    assert_int_equal(found, 1);
}

/* What only the index has lost is in the containers, and must not be collected from there. */
static void test_damaged_index(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char id[IDENTITY_SIZE];
    static uint8_t plain[CHUNK];
    struct chunk_name name;
    struct collect_options options = {.live_percent = 100};
    struct collect_report report;
    fixture->store->index->recent_max = 10;
    commit(fixture->store, 1000, 1, id);
    index_wait_merged(fixture->store->index);
    store_close(fixture->store);
    fixture->store = NULL;
    make_chunk(1000, plain);
    chunk_name_of(plain, CHUNK, &name);
    damage_segments(fixture, &name);
    open_small(fixture);
    assert_int_equal(is_whole(fixture->store, id), 0);
    assert_int_equal(store_collect(fixture->store, &options, NULL, NULL, &report, &err), -1);
    assert_int_equal(err.code, ERROR_STORE_UNAVAILABLE);
    check(store_rebuild_index(fixture->store, NULL, NULL, &err), err);
    assert_reads(fixture->store, id, 1000);
    check(store_collect(fixture->store, &options, NULL, NULL, &report, &err), err);
    assert_reads(fixture->store, id, 1000);
    assert_whole(fixture);
}

/* --- beside a reader */

static void test_lease_holds_a_container_back(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char id[IDENTITY_SIZE];
    static uint8_t plain[CHUNK];
    struct chunk_name name;
    struct chunk_location location;
    struct store_lease lease;
    commit(fixture->store, 1, 1, id);
    make_chunk(1, plain);
    chunk_name_of(plain, CHUNK, &name);
    store_lease_begin(fixture->store, &lease);
    check(chunk_locate(fixture->store, &name, 1, &location, &err), err);
    remove_point(fixture->store, id);
    collect(fixture->store, NULL, NULL);
    assert_int_equal(status(fixture->store).chunks, 0);
    struct chunk_record *record = chunk_record_read(fixture->store, &location, &err);
    assert_non_null(record);
    chunk_record_destroy(record);
    store_lease_end(&lease);
    record = chunk_record_read(fixture->store, &location, &err);
    assert_null(record);
    chunk_record_destroy(record);
}

/* --- refusing */

static void test_refuses_beside_itself_and_on_damage(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct chunk_name root;
    char id[IDENTITY_SIZE];
    char other[IDENTITY_SIZE];
    struct collect_options options = {0};
    struct collect_report report;
    commit(fixture->store, 2001, 1, other);
    write_map(fixture->store, 1, 1, &root);
    commit_root(fixture->store, &root, id);
    remove_point(fixture->store, other);
    /* a point whose root is nowhere: what it needs is not known */
    struct chunk_name nowhere;
    memset(&nowhere, 7, sizeof nowhere);
    char broken[IDENTITY_SIZE];
    commit_root(fixture->store, &nowhere, broken);
    struct store_status before = status(fixture->store);
    assert_int_equal(store_collect(fixture->store, &options, NULL, NULL, &report, &err), -1);
    assert_int_equal(err.code, ERROR_CHUNK_DAMAGED);
    assert_non_null(strstr(err.message, broken));
    assert_true(status(fixture->store).container_bytes >= before.container_bytes);
    remove_point(fixture->store, broken);
    assert_true(collect(fixture->store, NULL, NULL).freed_bytes > 0);
    assert_reads(fixture->store, id, 1);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_frees_what_nobody_needs),      WITH_STORE(test_runs_that_are_live_in_part),
        WITH_STORE(test_dry_run_frees_nothing),        WITH_STORE(test_partial_maps_are_roots),
        WITH_STORE(test_cancelled_anywhere),           WITH_STORE(test_writers_before_and_during_the_mark),
        WITH_STORE(test_writer_during_the_sweep),      WITH_STORE(test_what_a_writer_builds_on_stays),
        WITH_STORE(test_killed_before_a_file_goes),    WITH_STORE(test_damage_is_not_moved),
        WITH_STORE(test_collects_beside_damage),       WITH_STORE(test_damaged_index),
        WITH_STORE(test_lease_holds_a_container_back), WITH_STORE(test_refuses_beside_itself_and_on_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
