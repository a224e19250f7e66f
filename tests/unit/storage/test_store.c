/* The store as a whole: what is committed comes back, after a reopen, a lost index and a crash; damage is
 * found, named and healed. */
#include "store_fixture.h"

#include "base/identity.h"
#include "storage/keys.h"
#include "storage/point.h"
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNKS = 300 };
static const uint64_t disk_size = (uint64_t)CHUNKS * STORE_CHUNK_SIZE_DEFAULT;

static struct point *make_point(struct store *store, uint32_t first_seed)
{
    struct error err;
    struct point *point = point_create();
    identity_create(point->id);
    identity_create(point->datasource);
    point->vm_name = memory_copy_text("web1");
    point->kind = memory_copy_text("image");
    point->consistency = memory_copy_text("crash");
    struct point_disk *disk = point_add_disk(point, "vda");
    disk->size = disk_size;
    disk->format = memory_copy_text("raw");
    struct map_writer *writer = map_writer_open(store, disk_size, NULL, 0, &err);
    assert_non_null(writer);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        struct chunk_name name = put_chunk(store, first_seed + i);
        assert_int_equal(map_writer_set(writer, i, &name, &err), 0);
    }
    assert_int_equal(map_writer_flush(writer, &disk->root, &err), 0);
    map_writer_destroy(writer);
    return point;
}

static int read_back(struct store *store, const char *id, uint32_t first_seed, struct error *err)
{
    static uint8_t chunk[STORE_CHUNK_SIZE_DEFAULT];
    static uint8_t wanted[STORE_CHUNK_SIZE_DEFAULT];
    struct point *point = point_read(store, id, err);
    assert_non_null(point);
    struct map_reader *reader = map_reader_open(store, &point->disks[0].root, disk_size, err);
    int result = reader != NULL ? 0 : -1;
    for (uint32_t i = 0; i < CHUNKS && result == 0; i++) {
        struct chunk_name name;
        result = map_reader_get(reader, i, &name, err);
        if (result == 0) {
            result = chunk_read(store, &name, chunk, err);
        }
        if (result == 0) {
            make_chunk(first_seed + i, wanted);
            assert_memory_equal(chunk, wanted, sizeof chunk);
        }
    }
    map_reader_destroy(reader);
    point_destroy(point);
    return result;
}

static void reopen(struct fixture *fixture)
{
    store_close(fixture->store);
    fixture_open(fixture);
}

static void remove_index(struct fixture *fixture)
{
    struct error err;
    char *path = os_path_join(fixture->directory, "index");
    assert_int_equal(os_path_remove_tree(path, &err), 0);
    free(path);
}

static void test_commit_and_reopen(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct point *point = make_point(fixture->store, 1);
    assert_int_equal(point_commit(fixture->store, point, &err), 0);
    assert_int_equal(point_commit(fixture->store, point, &err), -1);
    assert_int_equal(read_back(fixture->store, point->id, 1, &err), 0);
    reopen(fixture);
    assert_int_equal(read_back(fixture->store, point->id, 1, &err), 0);
    /* the same again is deduplicated */
    struct store_status before;
    struct store_status after;
    assert_int_equal(store_status_read(fixture->store, &before, &err), 0);
    struct point *again = make_point(fixture->store, 1);
    assert_int_equal(point_commit(fixture->store, again, &err), 0);
    assert_int_equal(store_status_read(fixture->store, &after, &err), 0);
    assert_int_equal(after.chunks, before.chunks);
    assert_int_equal(after.points, 2);
    assert_int_equal(point_delete(fixture->store, again->id, &err), 0);
    assert_int_equal(point_delete(fixture->store, again->id, &err), -1);
    assert_int_equal(err.code, ERROR_RP_NOT_FOUND);
    point_destroy(again);
    point_destroy(point);
}

static void test_lost_index(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct point *point = make_point(fixture->store, 1);
    assert_int_equal(point_commit(fixture->store, point, &err), 0);
    /* removed under a running store */
    remove_index(fixture);
    assert_int_equal(store_rebuild_index(fixture->store, NULL, NULL, &err), 0);
    assert_int_equal(read_back(fixture->store, point->id, 1, &err), 0);
    /* removed while it was closed */
    store_close(fixture->store);
    remove_index(fixture);
    fixture_open(fixture);
    assert_int_equal(read_back(fixture->store, point->id, 1, &err), 0);
    /* garbage in its place */
    store_close(fixture->store);
    char *path = os_path_join(fixture->directory, "index/data.mdb");
    assert_int_equal(os_file_write_whole(path, "not a database", 14, 0600, &err), 0);
    free(path);
    fixture_open(fixture);
    assert_int_equal(read_back(fixture->store, point->id, 1, &err), 0);
    point_destroy(point);
}

static void test_second_opener(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct store_open_options options = {0};
    assert_null(store_open(fixture->directory, &options, &err));
    assert_int_equal(err.code, ERROR_STORE_LOCKED);
    assert_null(store_open("/nowhere", &options, &err));
    assert_int_equal(err.code, ERROR_STORE_INVALID);
    struct store_settings settings = {0};
    assert_int_equal(store_create(fixture->directory, &settings, &err), -1);
    settings.chunk_size = 100000;
    assert_int_equal(store_create("/nowhere/x", &settings, &err), -1);
    assert_int_equal(err.code, ERROR_REQUEST_INVALID);
}

static void flip_byte(struct fixture *fixture, uint64_t offset)
{
    fixture_flip(os_path_join(fixture->directory, "containers/01/0000000000000001.hfc"), offset);
}

static void test_damage(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct verify_report report;
    struct point *whole = make_point(fixture->store, 1000);
    struct point *point = make_point(fixture->store, 1);
    assert_int_equal(point_commit(fixture->store, whole, &err), 0);
    assert_int_equal(point_commit(fixture->store, point, &err), 0);
    assert_int_equal(store_verify(fixture->store, NULL, NULL, &report, &err), 0);
    assert_int_equal(report.damaged_chunks, 0);
    assert_int_equal(report.damaged_point_count, 0);
    assert_int_equal(report.chunks, 2 * CHUNKS);
    verify_report_clear(&report);
    /* both points lie in container 1, the second behind the first */
    flip_byte(fixture, 64 + (uint64_t)CHUNKS * 65640 + 200000);
    assert_int_equal(store_verify(fixture->store, NULL, NULL, &report, &err), 0);
    assert_int_equal(report.damaged_chunks, 1);
    assert_int_equal(report.damaged_point_count, 1);
    assert_string_equal(report.damaged_points[0], point->id);
    verify_report_clear(&report);
    assert_int_equal(read_back(fixture->store, point->id, 1, &err), -1);
    assert_int_equal(err.code, ERROR_CHUNK_DAMAGED);
    assert_int_equal(read_back(fixture->store, whole->id, 1000, &err), 0);
    /* remembered */
    reopen(fixture);
    uint64_t missing;
    assert_int_equal(store_check_point(fixture->store, point->id, &missing, &err), 0);
    assert_int_equal(missing, 1);
    /* the same data put again heals it */
    point_destroy(make_point(fixture->store, 1));
    assert_int_equal(store_sync(fixture->store, &err), 0);
    assert_int_equal(store_check_point(fixture->store, point->id, &missing, &err), 1);
    assert_int_equal(read_back(fixture->store, point->id, 1, &err), 0);
    assert_int_equal(store_verify(fixture->store, NULL, NULL, &report, &err), 0);
    assert_int_equal(report.damaged_chunks, 0);
    assert_int_equal(report.damaged_point_count, 0);
    verify_report_clear(&report);
    point_destroy(whole);
    point_destroy(point);
}

/* A damaged header hides the record's names; the index still knows what should be there. */
static void test_damaged_header(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct verify_report report;
    struct point *point = make_point(fixture->store, 1);
    assert_int_equal(point_commit(fixture->store, point, &err), 0);
    flip_byte(fixture, 64);
    flip_byte(fixture, 0);
    assert_int_equal(store_verify(fixture->store, NULL, NULL, &report, &err), 0);
    assert_int_equal(report.damaged_chunks, 1);
    assert_int_equal(report.damaged_point_count, 1);
    verify_report_clear(&report);
    point_destroy(point);
}

static void test_bad_runs(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct chunk_put_result result;
    static uint8_t plain[2 * STORE_CHUNK_SIZE_DEFAULT];
    struct chunk_name names[17];
    make_chunk(1, plain);
    memset(names, 0, sizeof names);
    chunk_name_of(plain, STORE_CHUNK_SIZE_DEFAULT, &names[0]);
    names[1] = names[0];
    const struct chunk_run bad[] = {
        {.names = names, .count = 0, .payload = plain, .length = 65536},
        {.names = names, .count = 17, .payload = plain, .length = 65536},
        {.names = names, .count = 1, .payload = plain, .length = 65535},
        {.names = names, .count = 1, .payload = plain, .length = 0},
        {.names = names, .count = 2, .payload = plain, .length = 2 * 65536}, /* the second has another name */
        {.names = names, .count = 1, .compression = COMPRESSION_ZSTD, .payload = plain, .length = 65536},
        {.names = names, .count = 1, .compression = 7, .payload = plain, .length = 65536},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(chunk_put_run(fixture->store, &bad[i], &result, &err), -1);
        assert_int_equal(err.code, ERROR_PROTOCOL_INVALID);
    }
    assert_false(chunk_exists(fixture->store, &names[0]));
    assert_true(chunk_exists(fixture->store, &names[16]));
}

/* The process dies without a word: what was committed is there, whatever came behind it. */
static void test_killed(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char id[IDENTITY_SIZE];
    int answer[2];
    store_close(fixture->store);
    fixture->store = NULL;
    assert_int_equal(pipe(answer), 0);
    pid_t child = fork();
    if (child == 0) {
        fixture_open(fixture);
        struct point *point = make_point(fixture->store, 1);
        if (point_commit(fixture->store, point, &err) == 0 &&
            write(answer[1], point->id, IDENTITY_SIZE) > 0) {
            make_point(fixture->store, 5000);
        }
        _exit(0);
    }
    assert_int_equal(read(answer[0], id, IDENTITY_SIZE), IDENTITY_SIZE);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(answer[0]);
    close(answer[1]);
    fixture_open(fixture);
    assert_int_equal(read_back(fixture->store, id, 1, &err), 0);
}

static void test_partial(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char datasource[IDENTITY_SIZE];
    struct chunk_name root = {{3}};
    struct chunk_name loaded;
    uint64_t size;
    identity_create(datasource);
    assert_int_equal(partial_load(fixture->store, datasource, "vda", &size, &loaded, &err), 0);
    assert_int_equal(partial_save(fixture->store, datasource, "vda", 12345, &root, &err), 0);
    assert_int_equal(partial_load(fixture->store, datasource, "vda", &size, &loaded, &err), 1);
    assert_int_equal(size, 12345);
    assert_memory_equal(&root, &loaded, sizeof root);
    assert_int_equal(partial_load(fixture->store, datasource, "vdb", &size, &loaded, &err), 0);
    assert_int_equal(partial_remove(fixture->store, datasource, &err), 0);
    assert_int_equal(partial_load(fixture->store, datasource, "vda", &size, &loaded, &err), 0);
}

/* A disk that fails for a moment damages nothing for good. */
static void test_damage_that_was_none(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct verify_report report;
    uint64_t missing;
    struct point *point = make_point(fixture->store, 1);
    struct chunk_name name = put_chunk(fixture->store, 7);
    assert_int_equal(point_commit(fixture->store, point, &err), 0);
    chunk_report_damage(fixture->store, &name);
    chunk_report_damage(fixture->store, &point->disks[0].root);
    assert_int_equal(store_check_point(fixture->store, point->id, &missing, &err), 0);
    assert_int_equal(store_verify(fixture->store, NULL, NULL, &report, &err), 0);
    assert_int_equal(report.damaged_chunks, 0);
    assert_int_equal(report.damaged_point_count, 0);
    verify_report_clear(&report);
    assert_int_equal(read_back(fixture->store, point->id, 1, &err), 0);
    point_destroy(point);
}

/* A name that can't be looked up is no name that is not there. */
static void test_a_failed_lookup_is_no_absence(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char id[IDENTITY_SIZE];
    char *points = os_path_join(fixture->directory, "points");
    identity_create(id);
    assert_int_equal(symlink("points", points), 0); /* a loop */
    assert_null(point_read(fixture->store, id, &err));
    assert_int_equal(err.code, ERROR_STORE_UNAVAILABLE);
    assert_int_equal(unlink(points), 0);
    assert_null(point_read(fixture->store, id, &err));
    assert_int_equal(err.code, ERROR_RP_NOT_FOUND);
    free(points);
}

static const uint8_t key_bytes[2][STORE_KEY_FILE_MIN] = {{1}, {2}};
static const struct store_secret keys[2] = {
    {.kind = STORE_KEY_FILE, .bytes = key_bytes[0], .length = sizeof key_bytes[0]},
    {.kind = STORE_KEY_FILE, .bytes = key_bytes[1], .length = sizeof key_bytes[1]},
};

/* A change of the key that failed has changed nothing, wherever it failed. */
static void test_failed_change_of_key(void **state)
{
    static const char *const files[] = {"holdfast-store.json.tmp", "holdfast-store-copy.json.tmp"};
    struct fixture *fixture = *state;
    struct error err;
    char *directory = os_path_join(fixture->root, "sealed");
    const struct store_settings settings = {.secret = &keys[0]};
    const struct store_open_options options = {.reserved_bytes = 1, .secret = &keys[0]};
    assert_int_equal(store_create(directory, &settings, &err), 0);
    for (size_t i = 0; i < 2; i++) {
        char *obstacle = os_path_join(directory, files[i]);
        struct store *store = store_open(directory, &options, &err);
        assert_non_null(store);
        assert_int_equal(mkdir(obstacle, 0700), 0);
        assert_int_equal(store_key_change(store, &keys[0], &keys[1], &err), -1);
        store_close(store);
        store =
            store_open(directory, &options, &err); /* with the two different, and one that can't be written */
        assert_non_null(store);
        store_close(store);
        assert_int_equal(rmdir(obstacle), 0);
        free(obstacle);
    }
    free(directory);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_commit_and_reopen),
        STORE_TEST(test_lost_index),
        STORE_TEST(test_second_opener),
        STORE_TEST(test_damage),
        STORE_TEST(test_damaged_header),
        STORE_TEST(test_bad_runs),
        STORE_TEST(test_killed),
        STORE_TEST(test_partial),
        STORE_TEST(test_damage_that_was_none),
        STORE_TEST(test_a_failed_lookup_is_no_absence),
        STORE_TEST(test_failed_change_of_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
